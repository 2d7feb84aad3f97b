"""Rewrites the journal when most of it is out of date, so that it stays as small as the queue.

Not here: the file (relay/spool/journal.py), what goes into it (relay/queue/ledger.py).
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from relay.dispatch.shard import Shard
from relay.spool import SpoolError, all_segments
from relay.telemetry import metrics

COMPACT_SECONDS: Final = 10.0
"""How often ``look`` is to be called."""


class Compaction:
    """Of one shard's journal."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._journal = shard.journaling.journal
        self._compactions = metrics.index("relay_spool_journal_compactions_total")
        self._running: asyncio.Task[None] | None = None
        self._is_wanted = False
        """Whether one is to follow the one that is under way."""
        self.is_allowed = False
        """Whether the ledger knows all that the journals hold: not while the logs of before the start are read."""

    def look(self) -> None:
        """Begins when it is worth it."""
        if self._journal.wants_compaction and self._running is None:
            self.begin()

    def begin(self) -> None:
        """Begins now, or after the one that is under way, which may not hold all that is so now; once it is allowed."""
        if self._running is not None:
            self._is_wanted = True
        elif self.is_allowed:
            self._running = asyncio.ensure_future(self._run())

    def cancel(self) -> None:
        """Gives up one that is under way: the old journal goes on."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        try:
            await self._rewrite()
            while self._is_wanted:
                self._is_wanted = False
                await self._rewrite()
        finally:
            self._running = None

    async def _rewrite(self) -> None:
        shard = self._shard
        try:
            shard.journaling.flush()
            there = set(all_segments(shard.config.spool_dir))
            snapshot = shard.scheduler.ledger.snapshot(
                shard.scheduler.places.entries(), lambda log, segment: (log, segment) in there
            )
            began = time.monotonic()
            await self._journal.compact(snapshot)
            shard.row[self._compactions] += 1
            shard.sink.event("debug", "journal compacted", seconds=round(time.monotonic() - began, 3))
        except SpoolError as fault:
            shard.sink.event("warning", "journal not compacted", cause=str(fault))
