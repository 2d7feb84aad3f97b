"""Connections out: carries out what the scheduler asks for, feeds client sessions, hands outcomes on.

A ``LocalFeed`` takes from the scheduler for a lane of mailboxes, whose deliveries run in a small thread pool.

Not here: what stands between a client session and the scheduler (feed.py), which entry is next (relay/queue), how it is
sent (relay/delivery), what an outcome changes (settle.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from relay.delivery.connect import Connector
from relay.delivery.local import LocalJob
from relay.mail.next_hop import NextHop
from relay.mail.outcome import FAILED, Outcome, deferred, failed
from relay.queue.entry import Entry
from relay.queue.group import Connection
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler
from relay.spool import LogReader
from relay.telemetry import metrics
from relay.workers._attempt import Attempt
from relay.workers.clock import now_us
from relay.workers.feed import Feed, load
from relay.workers.filtered import FilteredDelivery
from relay.workers.remote import ForeignEntries, MxHosts, RemoteFeeds, RemoteGroup
from relay.workers.settle import Settler

LOCAL_BATCH: Final = 32
"""Messages for one lane that are written and synced together."""
LOCAL_THREADS: Final = 4
DRAIN_PATIENCE: Final = 5.0
"""Seconds that a drain waits for next hops which have no content to answer for."""
REFUSED_SECONDS: Final = 60
"""How long a permanent refusal by all hosts of a domain counts for further messages."""


class Mailboxes(Protocol):
    """What tells whether a mailbox exists."""

    def __contains__(self, address: bytes, /) -> bool: ...


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
        router: Router,
        mailboxes: Mailboxes,
        local: FilteredDelivery,
        row: memoryview[int],
        changed: Callable[[], None],
    ) -> None:
        self.scheduler = scheduler
        self.reader = reader
        self.connector = connector
        self.settler = settler
        self.foreign = foreign
        self.remote = remote
        self.router = router
        self.mailboxes = mailboxes
        self.local = local
        self.row = row
        self.changed = changed
        """Tells the worker that scheduler.actions() should be asked again soon."""
        self.is_draining = False
        self.feeds: set[Feed | LocalFeed] = set()
        self.threads = ThreadPoolExecutor(LOCAL_THREADS, thread_name_prefix="mailbox")
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

    def spawn(self, work: Any) -> None:
        """Runs a coroutine that is waited for when the worker ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

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
        self.threads.shutdown(wait=False)

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


class LocalFeed:
    """A "connection" to a lane of mailboxes: takes a batch, has it written and synced in a thread, and so on."""

    __slots__ = ("_outbound", "_quits", "_wake", "connection")

    def __init__(self, outbound: Outbound, connection: Connection) -> None:
        self._outbound = outbound
        self.connection = connection
        self._wake = asyncio.Event()
        self._quits = False
        connection.tag = self

    def wake(self) -> None:
        self._wake.set()

    def quit(self) -> None:
        self._quits = True
        self._wake.set()

    def withdraw(self) -> None:
        """A batch that a thread writes now ends by itself."""

    def abort(self) -> None:
        """Nothing to cut: a batch that a thread writes now ends by itself and may then be delivered again."""

    async def run(self) -> None:
        """Until told to quit."""
        outbound = self._outbound
        outbound.scheduler.connection_opened(self.connection, now_us())
        try:
            while not self._quits and not outbound.is_draining:
                self._wake.clear()
                batch = self._take()
                if batch:
                    await self._deliver(batch)
                else:
                    outbound.changed()
                    await self._wake.wait()
        finally:
            outbound.scheduler.connection_closed(self.connection, None, now_us(), random.random())
            outbound.feeds.discard(self)
            outbound.changed()

    def _take(self) -> list[Attempt]:
        outbound = self._outbound
        batch: list[Attempt] = []
        while len(batch) < LOCAL_BATCH:
            entry = outbound.scheduler.take(self.connection, now_us())
            if entry is None:
                break
            attempt = load(outbound.reader, entry)
            if isinstance(attempt, Attempt):
                batch.append(attempt)
            else:
                self._done(entry, [attempt] * entry.count, None)
        return batch

    async def _deliver(self, batch: list[Attempt]) -> None:
        outbound = self._outbound
        outcomes: list[list[Outcome | None]] = []
        jobs: list[LocalJob] = []
        places: list[tuple[int, int]] = []
        for number, attempt in enumerate(batch):
            row: list[Outcome | None] = []
            for recipient in attempt.recipients:
                mailbox = outbound.router.route(recipient).mailbox
                if mailbox in outbound.mailboxes:
                    places.append((number, len(row)))
                    jobs.append(LocalJob(attempt, mailbox, recipient, attempt.envelope.queue_id))
                    row.append(None)
                else:
                    row.append(failed("5.1.1", "no such mailbox here", "store", code=550))
            outcomes.append(row)
        began = time.monotonic()
        results = await self._write(jobs)
        outbound.settler.stored(len(jobs), time.monotonic() - began)
        for (number, place), result in zip(places, results, strict=True):
            outcomes[number][place] = result
        for attempt, row in zip(batch, outcomes, strict=True):
            self._done(attempt.entry, [outcome for outcome in row if outcome is not None], attempt)

    async def _write(self, jobs: list[LocalJob]) -> list[Outcome]:
        outbound = self._outbound
        if not jobs:
            return []
        try:
            return await outbound.local.deliver(outbound.threads, jobs)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            return [deferred("4.3.0", f"internal error: {type(fault).__name__}", "store")] * len(jobs)

    def _done(self, entry: Entry, outcomes: list[Outcome], attempt: Attempt | None) -> None:
        outbound = self._outbound
        settled = outbound.scheduler.done(self.connection, entry, outcomes, now_us(), random.random())
        if attempt is not None:
            outbound.settler.attempted(attempt, settled.outcomes, 0)
        outbound.settler.settled(settled, attempt, 0)
        outbound.changed()
