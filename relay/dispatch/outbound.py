"""Connections out: carries out what the scheduler asks for, feeds client sessions, hands outcomes on.

Not here: what stands between a client session and the scheduler (feed.py), or a lane of mailboxes and it
(lanes.py), which entry is next (relay/queue), how it is sent (relay/delivery), what an outcome changes (settle.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from relay.delivery.connect import Connector
from relay.directory.directory import Directory
from relay.dispatch.feed import Feed
from relay.dispatch.filtered import FilteredDelivery
from relay.dispatch.lanes import LocalFeed
from relay.dispatch.remote import ForeignEntries, MxHosts, RemoteFeeds, RemoteGroup
from relay.dispatch.settle import Settler
from relay.mail.next_hop import NextHop
from relay.mail.outcome import FAILED, Outcome, deferred
from relay.mda.local_runs import LocalRuns
from relay.net.clock import now_us
from relay.queue.group import Connection
from relay.queue.scheduler import Scheduler
from relay.spool import LogReader
from relay.telemetry import metrics

DRAIN_PATIENCE: Final = 5.0
"""Seconds that a drain waits for next hops which have no content to answer for."""
REFUSED_SECONDS: Final = 60
"""How long a permanent refusal by all hosts of a domain counts for further messages."""


class Outbound:
    """All connections of one delivery worker."""

    def __init__(  # noqa: PLR0913, PLR0917 - it joins as many parts
        self,
        scheduler: Scheduler,
        reader: LogReader,
        connector: Connector,
        settler: Settler,
        foreign: ForeignEntries,
        remote: RemoteFeeds,
        directory: Directory,
        local: FilteredDelivery,
        runs: LocalRuns,
        row: memoryview[int],
        changed: Callable[[], None],
    ) -> None:
        self.scheduler = scheduler
        self.reader = reader
        self.connector = connector
        self.settler = settler
        self.foreign = foreign
        self.remote = remote
        self.directory = directory
        self.local = local
        self.hand = runs.hand
        self._runs = runs
        self.row = row
        self.changed = changed
        """Tells the worker that scheduler.actions() should be asked again soon."""
        self.is_draining = False
        self.feeds: set[Feed | LocalFeed] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = metrics.index("relay_delivery_connections_total", "opened")
        self._failed = metrics.index("relay_delivery_connections_total", "failed")
        self._open = metrics.index("relay_delivery_connections_open")

    def connect(self, connection: Connection) -> None:
        """Carries out Connect."""
        if connection.group.hop is None:
            feed = LocalFeed(self, connection)
            self.feeds.add(feed)
            self.spawn(feed.run())
        elif isinstance(connection.group.hop, RemoteGroup):
            self.remote.connect(connection, connection.group.hop)
        else:
            self.spawn(self._open_session(connection))

    def wake(self, connection: Connection) -> None:
        """Carries out Wake."""
        tag: Any = connection.tag
        if tag is not None:
            tag.wake()

    def quit(self, connection: Connection) -> None:
        """Carries out Quit."""
        tag: Any = connection.tag
        if tag is not None:
            tag.quit()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a coroutine that is waited for when the worker ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def look(self) -> None:
        """Sees to local deliveries that are slow; several times a second."""
        self._runs.turn()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "delivery task", "exception": fault})

    async def drain(self, seconds: float) -> None:
        """Takes nothing more and lets what is being sent end, for ``seconds`` at most; then cuts what is left.

        A next hop that is slow to answer is not waited for to the end: after a part of the time, whatever it cannot
        have accepted is taken back. What it may have accepted is worth the wait, or it would come twice.
        """
        self.is_draining = self.remote.is_draining = True
        for feed in list(self.feeds):
            feed.quit()
        began = time.monotonic()
        await self._until_quiet(began + min(DRAIN_PATIENCE, seconds / 2))
        for feed in list(self.feeds):
            feed.withdraw()
        await self._until_quiet(began + seconds)
        for feed in list(self.feeds):
            feed.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0)
        self._runs.close()

    async def _until_quiet(self, deadline: float) -> None:
        while self.feeds and time.monotonic() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)

    async def _open_session(self, connection: Connection) -> None:
        feed = Feed(self, connection)
        hop = connection.group.hop
        try:
            if isinstance(hop, MxHosts):
                answer = await self.connector.open_hosts(hop, feed)
            else:
                assert isinstance(hop, NextHop)
                answer = await self.connector.open(hop, feed)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            # Its text goes to the log alone: an outcome's is told to senders (I8).
            context = {"message": "connection not opened", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)
            answer = deferred("4.3.0", f"internal error: {type(fault).__name__}", "connect")
        if isinstance(answer, Outcome):
            self.row[self._failed] += 1
            if feed.is_open:  # greeted, and lost before open() returned: closed() has told the scheduler
                return
            self.settler.connect_failed(connection.group.key, answer)
            if answer.kind == FAILED and isinstance(hop, MxHosts):
                self._refuse_domains(connection, answer)
            self.scheduler.connection_failed(connection, answer, now_us(), random.random())
            self.changed()

    def _refuse_domains(self, connection: Connection, outcome: Outcome) -> None:
        """None of the hosts will ever take mail for these domains, they say: their messages fail now."""
        until = now_us() + REFUSED_SECONDS * 1_000_000
        for domain in list(connection.group.domains):
            self.scheduler.rejected(domain.key, outcome, until)

    def count_open(self, change: int) -> None:
        self.row[self._open] = max(0, self.row[self._open] + change)
        if change > 0:
            self.row[self._opened] += 1
