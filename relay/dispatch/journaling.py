"""What goes into the outcomes journal, gathered between two turns of the loop and written with one system call.

Order (I1): a delivered or deferred outcome is *written* with the next flush, not synced: a crash may repeat an attempt,
it never loses a message. What was written is synced every ``queue.journal_sync`` in the background (``sync_soon``), so
that a power failure repeats what was delivered in about that time and no more. What a DSN will report is synced before
that is made (notices.py).

Not here: the file (relay/spool/journal.py), what the entries mean (relay/queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from relay.dispatch.meters import JournalMeter
from relay.spool import Journal, SpoolError
from relay.telemetry.sink import LogSink

BACKLOG: Final = 100_000
"""Entries kept while the disk refuses them; what is above is forgotten (and so may be delivered again)."""


class Journaling:
    """The one way to this delivery worker's journal."""

    def __init__(self, journal: Journal, sink: LogSink, meter: JournalMeter) -> None:
        self.journal = journal
        self._sink = sink
        self._meter = meter
        self._entries: list[tuple[Any, ...]] = []
        self._is_refusing = False
        self._syncing: asyncio.Task[None] | None = None
        self._is_unsynced = False

    def add(self, entries: Iterable[tuple[Any, ...]]) -> None:
        """Has ``entries`` written with the next flush."""
        self._entries.extend(entries)

    def flush(self) -> bool:
        """Writes what waits; keeps it for the next flush when the disk refuses, and then returns False."""
        if not self._entries:
            return True
        try:
            self.journal.append(self._entries)
        except SpoolError as fault:
            if not self._is_refusing:
                self._is_refusing = True
                self._sink.event("error", "journal not written", cause=str(fault))
            del self._entries[:-BACKLOG]
            return False
        if self._is_refusing:
            self._is_refusing = False
            self._sink.event("info", "journal is written again")
        self._meter.written(self._entries)
        self._entries = []  # not cleared: a journal that is being compacted keeps the list
        return True

    def look(self) -> None:
        """Once a second or so, for the metrics."""
        self._meter.look(self.journal)

    def sync_soon(self) -> None:
        """Has what is written synced in the background, when there is anything and no such sync is under way."""
        if self._syncing is None and self.journal.is_dirty:
            self._syncing = asyncio.ensure_future(self._sync())

    async def _sync(self) -> None:
        try:
            await self.journal.sync()
            self._is_unsynced = False
        except SpoolError as fault:  # the journal asks for a compaction then, which repairs it
            if not self._is_unsynced:
                self._is_unsynced = True
                self._sink.event("error", "journal not synced", cause=str(fault))
        finally:
            self._syncing = None

    async def sync(self) -> None:
        """*Synced* when it returns: all that was added before. SpoolError when it is not."""
        if not self.flush():
            raise SpoolError("the journal cannot be written")
        await self.journal.sync()
