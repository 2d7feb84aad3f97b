"""What is counted of the parts of a delivery worker, as it happens or by a look once a second or so.

Nothing here is on the hot path but ``JournalMeter.written``, once a batch.

Not here: its log, which smtp workers have, too (relay/spool/meter.py); what is counted per outcome (settle.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from relay import spool
from relay.net.dns import FOUND, NO_NAME, NO_RECORDS, TEMPORARY, Resolver
from relay.queue.intake import Intake as QueueIntake
from relay.queue.scheduler import Scheduler
from relay.telemetry import metrics

SHARE: Final = 0.01
"""Counting ages passes over all entries: it may take this share of the time."""


class JournalMeter:
    """Counts what a Journal does."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._entries = {
            kind: metrics.index("relay_spool_journal_entries_total", kind)
            for kind in ("finished", "deferred", "failed", "notified", "held", "released")
        }
        self._results = {
            True: metrics.index("relay_spool_journal_syncs_total", "synced"),
            False: metrics.index("relay_spool_journal_syncs_total", "failed"),
        }
        self._seconds = metrics.histogram_cells("relay_spool_journal_sync_seconds")
        self._bytes = metrics.Total(row, "relay_spool_journal_written_bytes_total")

    def written(self, entries: Sequence[tuple[Any, ...]]) -> None:
        """``entries`` were appended."""
        kinds = [entry[0] for entry in entries]
        finished = kinds.count("finished")
        self._row[self._entries["finished"]] += finished
        if finished < len(kinds):
            for kind in kinds:
                if kind != "finished":
                    self._row[self._entries[kind]] += 1

    def synced(self, seconds: float, is_synced: bool) -> None:
        """Journal's ``on_sync``."""
        self._row[self._results[is_synced]] += 1
        self._seconds.observe(self._row, round(seconds * 1_000_000))

    def look(self, journal: spool.Journal) -> None:
        """Once a second or so."""
        self._bytes.is_now(journal.written_bytes)


class QueueMeter:
    """Depth by state, age, groups, and what came in, of one shard."""

    def __init__(self, scheduler: Scheduler, intake: QueueIntake, row: memoryview[int]) -> None:
        self._scheduler = scheduler
        self._intake = intake
        self._row = row
        self._states = {
            state: metrics.index("relay_queue_entries", state) for state in ("incoming", "active", "deferred", "hold")
        }
        self._groups = {
            state: metrics.index("relay_queue_groups", state) for state in ("running", "waiting", "suspended")
        }
        self._added = {
            origin: metrics.Total(row, "relay_queue_added_entries_total", origin)
            for origin in ("new", "recovered", "copied")
        }
        self._recovered = 0
        self._is_recovering = True
        self._suspensions = metrics.Total(row, "relay_queue_suspensions_total")
        self._ages = [metrics.index("relay_queue_age_entries", age) for age in metrics.AGES]
        self._oldest = metrics.index("relay_queue_oldest_seconds")
        self._next_ages = 0.0

    def recovered(self) -> None:
        """What was added up to now was there before this process, but for what came out of copies."""
        self._recovered = self._intake.added - self._intake.copied
        self._is_recovering = False

    def look(self, now: int) -> None:
        """Once a second or so; ``now`` in microseconds since the epoch."""
        row, scheduler = self._row, self._scheduler
        counts = scheduler.counts()
        for state, cell in self._states.items():
            row[cell] = max(0, getattr(counts, state))
        groups = scheduler.pool.counts()
        for state, cell in self._groups.items():
            row[cell] = max(0, getattr(groups, state))
        added = self._intake.added - self._intake.copied
        if self._is_recovering:
            self._recovered = added
        self._added["recovered"].is_now(self._recovered)
        self._added["copied"].is_now(self._intake.copied)
        self._added["new"].is_now(added - self._recovered)
        self._suspensions.is_now(scheduler.pool.suspensions)
        began = time.monotonic()
        if began >= self._next_ages:
            self._count_ages(now)
            self._next_ages = time.monotonic() + (time.monotonic() - began) / SHARE

    def _count_ages(self, now: int) -> None:
        older = [0] * len(self._ages)
        oldest = now
        for entry in self._scheduler.places.entries():
            received_at = entry.received_at
            oldest = min(oldest, received_at)
            age = (now - received_at) / 1_000_000
            older[metrics.AGES.index(metrics.age_bucket(age))] += 1
        for cell, count in zip(self._ages, older, strict=True):
            self._row[cell] = count
        self._row[self._oldest] = max(0, now - oldest)


class DnsMeter:
    """Counts what a Resolver does."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._answers = {
            FOUND: metrics.index("relay_dns_queries_total", "found"),
            NO_RECORDS: metrics.index("relay_dns_queries_total", "empty"),
            NO_NAME: metrics.index("relay_dns_queries_total", "not_found"),
            TEMPORARY: metrics.index("relay_dns_queries_total", "failed"),
        }
        self._seconds = metrics.histogram_cells("relay_dns_query_seconds")
        self._hits = metrics.Total(row, "relay_dns_cache_hits_total")
        self._cached = metrics.index("relay_dns_cache_entries")

    def answered(self, kind: str, seconds: float) -> None:
        """Resolver's ``on_answer``."""
        self._row[self._answers[kind]] += 1
        self._seconds.observe(self._row, round(seconds * 1_000_000))

    def look(self, resolver: Resolver) -> None:
        """Once a second or so."""
        self._hits.is_now(resolver.hits)
        self._row[self._cached] = resolver.cached
