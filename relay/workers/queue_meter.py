"""The queue's gauges: depth by state, age, groups."""

from __future__ import annotations

import time
from typing import Final

from relay.queue.scheduler import Scheduler
from relay.telemetry import metrics

SHARE: Final = 0.01
"""Counting ages passes over all entries: it may take this share of the time."""


class QueueMeter:
    """Writes the gauges of one shard."""

    def __init__(self, scheduler: Scheduler, row: memoryview[int]) -> None:
        self._scheduler = scheduler
        self._row = row
        self._states = {
            state: metrics.index("relay_queue_entries", state) for state in ("incoming", "active", "deferred", "hold")
        }
        self._ages = [metrics.index("relay_queue_age_entries", age) for age in metrics.AGES]
        self._oldest = metrics.index("relay_queue_oldest_seconds")
        self._next_ages = 0.0

    def look(self, now: int) -> None:
        """Once a second or so; ``now`` in microseconds since the epoch."""
        counts = self._scheduler.counts()
        for state, cell in self._states.items():
            self._row[cell] = max(0, getattr(counts, state))
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
