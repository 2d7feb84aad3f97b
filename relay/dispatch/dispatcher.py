"""Dispatch, whole: takes entries of one shard from the queue, gets them tried, settles them.

    logs ── LogTails ── Arrivals ──► queue ◄── Pump ──► Outbound ──┬── Feed, a client session
             (read)      (queue)    (which)   (carry     (how)     ├── LocalFeed, a lane of mailboxes
                                               out)                └── RemoteFeeds, another delivery worker
    journal, delivery log, DSNs ◄── Settler ◄── outcomes ──────────┘

Connections, names and the loop come from outside, so all of it runs in a test without an appliance.

Not here: the process (relay/workers/delivery.py), what the queue decides (relay/queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from relay.dispatch.arrivals import Arrivals
from relay.dispatch.clock_watch import ClockWatch
from relay.dispatch.compaction import COMPACT_SECONDS, Compaction
from relay.dispatch.copying import Copier
from relay.dispatch.feeds import Feeds
from relay.dispatch.log_tails import REPORT_SECONDS, RESCAN_SECONDS, LogTails
from relay.dispatch.meters import QueueMeter
from relay.dispatch.mx_resolution import MxResolution
from relay.dispatch.notices import Notices
from relay.dispatch.outbound import Outbound, Ways
from relay.dispatch.pump import Pump
from relay.dispatch.remote import ForeignEntries, RemoteFeeds
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.net.clock import now_us
from relay.net.frames import FrameProtocol, Message
from relay.queue.intake import Intake

CATCH_UP_SECONDS: Final = 5.0
"""How long the first attempt waits for the owners of logs to report how far these go."""
NOTICE_SECONDS: Final = 5.0
"""How long DSNs that are being spooled may take when the worker ends."""
COPY_SECONDS: Final = 30.0
"""How often old segments are looked at, at least."""
TICK_SECONDS: Final = 0.1


class Dispatcher:
    """Everything between the logs and the next hops, for one shard."""

    def __init__(self, shard: Shard, ways: Ways, on_request: Callable[[FrameProtocol, Message], None]) -> None:
        """``on_request`` is called with what comes on the shard's socket and is for nobody here."""
        self._shard = shard
        self._links = ways.links
        self._on_request = on_request
        feeds = Feeds(shard.row, shard.wakeup.changed)
        self._notices = Notices(shard)
        self._foreign = ForeignEntries(shard)
        self.settler: Final = Settler(shard, self._notices, self._foreign)
        self.settler.died(ways.mda.runs.hand.died)
        self.remote: Final = RemoteFeeds(shard, feeds, ways.links, self.settler.settled)
        self._outbound = Outbound(shard, feeds, self.settler, self.remote, ways)
        self._pump = Pump(shard, self.settler, self._outbound, MxResolution(shard, ways.connector.exchangers))
        self._compaction = Compaction(shard)
        intake = Intake(shard.scheduler, ways.router, shard.place.shard, shard.place.shards)
        self._meter = QueueMeter(shard.scheduler, intake, shard.row)
        self._clock = ClockWatch(shard, intake, self._compaction)
        self._arrivals = Arrivals(shard, intake, self._clock, self._notices, self._compaction, self._meter)
        self._tails = LogTails(
            shard, self._arrivals.take_in, on_other=self._received, on_link_closed=self._foreign.lost
        )
        self._copier = Copier(shard)
        self._is_begun = False

    async def start(self, stop: asyncio.Event) -> None:
        """Reads journals and logs, then begins to deliver; not when ``stop`` is set meanwhile."""
        shard, loop = self._shard, asyncio.get_running_loop()
        self._arrivals.read_journals()
        await self._tails.open()
        self._links.open(shard.writer, shard.writer.snapshot, on_other=self.remote.received, on_lost=self.remote.lost)
        began = loop.time()
        while not self._tails.has_caught_up and loop.time() - began < CATCH_UP_SECONDS:
            if stop.is_set():
                return
            await asyncio.sleep(0.005)
        shard.sink.event("info", "queue read", entries=shard.scheduler.ledger.total(),
                         seconds=round(loop.time() - began, 3), all_logs=self._tails.has_caught_up)  # fmt: skip
        if self._tails.has_caught_up:
            self._arrivals.recovered()
        self._is_begun = True
        shard.wakeup.start(self._pump.turn)

    def duties(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What is to be called every so many seconds from the start on."""
        config = self._shard.config
        yield REPORT_SECONDS, self._tails.report
        yield RESCAN_SECONDS, self.look
        yield TICK_SECONDS, self._outbound.look
        yield COMPACT_SECONDS, self._compaction.look
        yield min(COPY_SECONDS, config.spool.copy_after), self._copy
        if config.queue.journal_sync:
            yield config.queue.journal_sync, self._shard.journaling.sync_soon

    def look(self) -> None:
        """Once a second or so: at the clock, at logs whose owner is gone, at what is counted."""
        self._clock.look()
        self._tails.rescan()
        self._shard.reader.let_go()
        self._meter.look(now_us())
        self._shard.journaling.look()
        self._links.catch_up()
        if self._is_begun and self._tails.has_caught_up:
            self._arrivals.recovered()

    async def drain(self, seconds_left: Callable[[], float]) -> None:
        """Lets attempts end and journals their outcomes, within ``drain_timeout`` and ``seconds_left()``."""
        await self._outbound.drain(min(seconds_left(), self._shard.config.drain_timeout))
        self._is_begun = False
        self._shard.wakeup.stop()
        await self._notices.drain(min(seconds_left(), NOTICE_SECONDS))
        self._shard.journaling.flush()
        self.settler.flush()
        self._compaction.cancel()
        self._tails.report()

    async def close(self) -> None:
        """Gives everything up, the shard's own files included."""
        await self._shard.writer.close()
        await self._shard.journaling.journal.close()
        self._tails.close()
        self._links.close()
        self._shard.reader.close()

    def _received(self, link: FrameProtocol, message: Message) -> None:
        """What comes on our socket and is not about logs."""
        if not self._foreign.received(link, message):
            self._on_request(link, message)

    def _copy(self) -> None:
        if self._is_begun and not self._arrivals.is_recovering:
            self._shard.tasks.start(self._copier.run(self._tails.tails()))
