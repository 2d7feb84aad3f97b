"""Copying forward: the few records that keep an old segment from being recycled move to this worker's own log.

The copy is synced before the old entry is finished in the journal; a crash in between leaves both, and the recovery
drops the old one because it has seen the copy (relay/queue/recovery.py).

Not here: which segments (relay/queue/ledger.py), what a copy carries (relay/queue/commands.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from relay.dispatch.shard import Shard
from relay.net.clock import now_us
from relay.queue import commands
from relay.queue.entry import Entry
from relay.spool import LargeContent, Message, MissingRecord, SpoolError
from relay.spool.waiter import Spooled
from relay.telemetry import metrics

PORTION: Final = 200
"""Copies that wait for a sync at the same time."""


class Copier:
    """Copies for one shard."""

    def __init__(self, shard: Shard) -> None:
        self._scheduler = shard.scheduler
        self._reader = shard.reader
        self._writer = shard.writer
        self._journaling = shard.journaling
        self._sink = shard.sink
        self._row = shard.row
        self._copied = metrics.index("relay_spool_copied_records_total")
        self._is_running = False

    async def run(self, tails: Mapping[int, int]) -> None:
        """Looks at every log once; ``tails``: by log, the segment that is being read."""
        if self._is_running or not self._writer.has_room():
            return
        self._is_running = True
        try:
            for log, segment in tails.items():
                for number in self._scheduler.ledger.copy_candidates(log, segment, now_us()):
                    await self._segment(log, number)
        finally:
            self._is_running = False

    async def _segment(self, log: int, number: int) -> None:
        entries = self._scheduler.places.find_in(log, number)
        for start in range(0, len(entries), PORTION):
            await asyncio.gather(*[self._copy(entry) for entry in entries[start : start + PORTION]])
            self._journaling.flush()

    async def _copy(self, entry: Entry) -> None:
        if not commands.lift(entry):
            return
        try:
            message = self._reader.load(*entry.ref)
            error = await self._spool(entry, message)
        except (MissingRecord, OSError) as fault:
            error = SpoolError(str(fault))
        if error is not None:
            self._sink.event("warning", "record not copied forward", queue_id=entry.queue_id, cause=str(error))
            commands.put_down(self._scheduler, entry, now_us())
            return
        self._row[self._copied] += 1
        self._journaling.add(commands.copied(self._scheduler, entry, now_us()))

    async def _spool(self, entry: Entry, message: Message) -> SpoolError | None:
        loop = asyncio.get_running_loop()
        large: LargeContent | None = None
        if message.record.large is not None:
            linked: asyncio.Future[SpoolError | None] = loop.create_future()
            large = self._writer.link_large(message, linked.set_result)
            if (error := await linked) is not None:
                return error
        spooled: asyncio.Future[SpoolError | None] = loop.create_future()
        envelope = commands.copy_envelope(entry, message.record.envelope)
        self._writer.append(envelope.pack(), bytes(message.content), Spooled(spooled), large)
        return await spooled
