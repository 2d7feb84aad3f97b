"""Dispatch without an appliance: shards of a queue on a spool in a folder, next hops in memory, a clock that is set.

A ``World`` has one or more shards in this process and loop. Messages are written to a shard's own log and come in by
the way on which all come in. Time passes when the test says so (``pass_time``); nothing waits for it.

    async with World(tmp_path) as world:
        world.hop.answer = away
        await world.submit(b"b@relay.test")
        await world.until(lambda: world.waiting() == ["b@relay.test"])
        await world.pass_time(HOUR)
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from relay.config.model import Config, DomainSettings, RelayDomain, WorkerSettings
from relay.config.queue import QueueSettings, SpoolSettings
from relay.delivery._delivery import Delivery
from relay.delivery.connect import Connector
from relay.directory.directory import Directory
from relay.dispatch.connection_report import ConnectionReport
from relay.dispatch.dispatcher import Dispatcher
from relay.dispatch.feed import Feed
from relay.dispatch.lanes import open_mda
from relay.dispatch.log_links import LogLinks
from relay.dispatch.outbound import Ways
from relay.dispatch.shard import Place, open_shard
from relay.mail.envelope import Envelope
from relay.mail.next_hop import NextHop
from relay.mail.outcome import Outcome, deferred
from relay.net import clock
from relay.queue.entry import Entry
from relay.queue.routing import Router, shard_of
from relay.spool import LogWriter, SpoolError, lock_data_dir
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from tests.support.directories import Accounts
from tests.support.waiting import reached

SECOND = 1
MINUTE = 60
HOUR = 3600
DAY = 24 * HOUR
ALICE = b"alice@local.test"
TAKEN = Outcome("delivered", 250, "2.0.0", "taken", "reply", "hop.test:25")
HOP = NextHop("smtp", "hop.test", 25)
"""Where mail for relay.test goes."""
OTHER = NextHop("smtp", "other.test", 25)
"""Where mail for other.test goes."""
CONTENT = b"Subject: mine\r\nX-Kept: yes\r\n\r\nthe body\r\n"

Answer = Callable[[str], Outcome | None]
"""The outcome of a recipient; None: the usual one."""


def refused(text: str = "nobody here") -> Outcome:
    """As a next hop refuses a recipient."""
    return Outcome("failed", 550, "5.1.1", text, "rcpt", "hop.test:25")


def put_off(text: str = "later") -> Outcome:
    """As a next hop defers a recipient."""
    return Outcome("deferred", 450, "4.2.0", text, "rcpt", "hop.test:25")


class Hop:
    """One next hop."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: None
        self.messages: list[tuple[str, ...]] = []
        """The recipients of each message that it took."""
        self.contents: list[bytes] = []
        self.connections = 0
        self.away: Outcome | None = None
        """Why it cannot be connected to."""
        self.cuts = 0
        """So many of the next messages end their connection instead."""
        self.holds = False
        """Whether it leaves messages without an answer; those of ``release`` get one."""
        self.held: list[Session] = []

    @property
    def recipients(self) -> list[str]:
        return [recipient for each in self.messages for recipient in each]

    def release(self) -> None:
        self.holds = False
        held, self.held = self.held, []
        for session in held:
            session.answer()

    def outcomes(self, delivery: Delivery) -> list[Outcome]:
        names = [recipient.decode() for recipient in delivery.recipients]
        outcomes = [self.answer(name) or TAKEN for name in names]
        taken = tuple(name for name, outcome in zip(names, outcomes, strict=True) if outcome is TAKEN)
        if taken:
            self.messages.append(taken)
            self.contents.append(bytes(delivery.content or b""))
        return outcomes


class Session:
    """In place of a ClientSession: one message at a time, answered with the loop's next turn."""

    appetite = 1

    def __init__(self, hop: Hop, feed: Feed) -> None:
        self.messages = 0
        self._hop = hop
        self._feed = feed
        self._taken: Delivery | None = None
        self._is_over = False
        self._quits = False
        hop.connections += 1

    def wake(self) -> None:
        if self._taken is not None or self._is_over:
            return
        self._taken = None if self._quits else self._feed.take(cast("Any", self))
        if self._taken is not None:
            asyncio.get_running_loop().call_soon(self.answer)
        elif self._quits:
            self._close([])

    def answer(self) -> None:
        delivery = self._taken
        if delivery is None:
            return
        if self._hop.holds:
            self._hop.held.append(self)
        elif self._hop.cuts:
            self._hop.cuts -= 1
            self._taken = None
            lost = deferred("4.4.2", "connection lost", "content", next_hop="hop.test:25")
            self._feed.finished(cast("Any", self), delivery, [lost] * len(delivery.recipients))
            self._close([], lost)
        else:
            self._taken = None
            self.messages += 1
            self._feed.finished(cast("Any", self), delivery, self._hop.outcomes(delivery))
            self.wake()

    def quit(self) -> None:
        self._quits = True
        if self._taken is None:
            asyncio.get_running_loop().call_soon(self._close, [])

    def withdraw(self) -> None:
        self.abort("")

    def abort(self, _why: str) -> None:
        taken, self._taken = self._taken, None
        self._close([taken] if taken is not None else [])

    def _close(self, unsent: list[Delivery], why: Outcome | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._feed.closed(cast("Any", self), unsent, why)


class Connections:
    """In place of a Connector."""

    def __init__(self, hops: Mapping[str, Hop], domains: Mapping[str, tuple[str, ...] | Outcome]) -> None:
        self._hops = hops
        self._domains = domains

    async def open(self, hop: NextHop, feed: Feed) -> Session | Outcome:
        return self._open(self._hops[hop.host], feed)

    async def open_hosts(self, hosts: tuple[str, ...], feed: Feed) -> Session | Outcome:
        found: Session | Outcome = deferred("4.4.1", "no host", "connect")
        for host in hosts:
            found = self._open(self._hops[host], feed)
            if isinstance(found, Session):
                break
        return found

    async def exchangers(self, domain: str) -> tuple[str, ...] | Outcome:
        return self._domains[domain]

    def _open(self, hop: Hop, feed: Feed) -> Session | Outcome:
        if hop.away is not None:
            return hop.away
        session = Session(hop, feed)
        session.wake()
        return session


class MemorySink:
    """In place of the LogSink."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[dict[str, Any]] = []

    def event(self, _level: str, name: str, /, **fields: Any) -> None:
        self.events.append((name, fields))

    def append(self, octets: bytes) -> None:
        self.lines += [json.loads(line) for line in octets.splitlines()]


class Spooled:
    """Waits for a record."""

    def __init__(self) -> None:
        self.done: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()

    def spooled(self, error: SpoolError | None) -> None:
        self.done.set_result(error)


class Shard:
    """One delivery worker's dispatch."""

    def __init__(self, world: World, place: Place) -> None:
        config, sink = world.config, cast("LogSink", world.sink)
        loop = asyncio.get_running_loop()
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")
        links = LogLinks(loop, config.run_dir, place.shards, sink)
        self.writer = LogWriter(config.spool_dir, config.spool, loop, links.committed)
        self.parts = open_shard(place, config, loop, self.writer, sink, self.row)
        self.mda = open_mda(self.parts, world.directory)
        router = Router.from_config(config, world.directory)
        report = ConnectionReport(sink, self.row)
        connector = world.connector or cast("Connector", Connections(world.hops, world.domains))
        self.requests: list[Any] = []
        self.dispatcher = Dispatcher(
            self.parts,
            Ways(connector, report, links, router, self.mda),
            lambda _, message: self.requests.append(message),
        )

    async def start(self) -> None:
        await self.dispatcher.start(asyncio.Event())

    async def stop(self) -> None:
        """As a worker that is drained."""
        await self._compacted()
        await self.dispatcher.drain(lambda: 5.0)
        await self._close()

    async def crash(self) -> None:
        """As far as a process can be killed inside this one: nothing is flushed, nobody is told."""
        self.parts.wakeup.stop()
        self.parts.tasks.cancel()
        self.dispatcher._notices._tasks.cancel()
        await self._compacted()
        self.mda.runs.close()
        await self._close()

    async def _compacted(self) -> None:
        """Its thread would end with the process."""
        running = self.dispatcher._compaction._running
        if running is not None:
            await asyncio.wait([running])

    async def _close(self) -> None:
        await self.dispatcher.close()
        for _ in range(5):  # connections are closed in the loop's next turns
            await asyncio.sleep(0)

    def metric(self, name: str, *labels: str) -> int:
        return self.row[metrics.index(name, *labels)]


class World:
    """Shards, next hops, mailboxes. Changes go into the configuration (``queue=``, ``spool=``, ...)."""

    def __init__(
        self,
        folder: Path,
        *,
        shards: int = 1,
        queue: QueueSettings | None = None,
        connector: Connector | None = None,
        relay_domains: tuple[RelayDomain, ...] = (),
        **changes: Any,
    ) -> None:
        lock = lock_data_dir(folder)
        lock.close()
        self.config = Config(
            hostname="mx.relay.example",
            data_dir=folder,
            domains=DomainSettings(local=("local.test",)),
            relay_domains=relay_domains or (RelayDomain("relay.test", HOP), RelayDomain("other.test", OTHER)),
            spool=SpoolSettings(segment_size=1 << 20, spare_segments=0, min_free_bytes=0, min_free_inodes=0),
            queue=queue or QueueSettings(),
            workers=WorkerSettings(smtp=1, delivery=shards, mailbox=1),
            **changes,
        )
        self.config.run_dir.mkdir(exist_ok=True)
        self.sink = MemorySink()
        self.directory = Directory.of(self.config, Accounts(ALICE))
        self.hops = {"hop.test": Hop(), "other.test": Hop()}
        self.domains: dict[str, tuple[str, ...] | Outcome] = {}
        """What MX lookups answer; the hosts are names in ``hops``."""
        self.connector = connector
        self.shards: list[Shard] = []
        self._generation = 0
        self._passed = self._set_by = 0

    @property
    def hop(self) -> Hop:
        """Where mail for relay.test goes."""
        return self.hops["hop.test"]

    # ---- life -------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            await self.stop()
        finally:
            clock.pretend(-self._passed, -self._set_by)
            clock.rebase()

    async def start(self, shards: int = 0) -> None:
        """The next generation, with so many shards if they are to be others."""
        if shards:
            self.config = replace(self.config, workers=replace(self.config.workers, delivery=shards))
        self._generation += 1
        count = self.config.workers.delivery
        self.shards = [Shard(self, Place(number, count, self._generation)) for number in range(count)]
        await asyncio.gather(*[shard.start() for shard in self.shards])

    async def stop(self) -> None:
        await asyncio.gather(*[shard.stop() for shard in self.shards])
        self.shards = []

    async def crash(self) -> None:
        """All at once."""
        for shard in self.shards:
            await shard.crash()
        self.shards = []

    async def replace(self, number: int) -> None:
        """One shard crashes, and has a successor."""
        await self.shards[number].crash()
        self._generation += 1
        successor = Shard(self, Place(number, len(self.shards), self._generation))
        self.shards[number] = successor
        await successor.start()

    # ---- time -------------------------------------------------------------------------------------------------------

    async def pass_time(self, seconds: float) -> None:
        """So much time is over, and what became due has begun."""
        self._passed += round(seconds * 1_000_000)
        clock.pretend(passed=round(seconds * 1_000_000))
        await self._look()

    async def set_wall_clock(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._set_by += round(seconds * 1_000_000)
        clock.pretend(wall_set_by=round(seconds * 1_000_000))
        await self._look()

    async def _look(self) -> None:
        for shard in self.shards:
            shard.dispatcher.look()
            shard.parts.wakeup.changed()
        for _ in range(3):
            await asyncio.sleep(0)

    async def in_time(self, condition: Callable[[], object], seconds: float, what: str = "") -> None:
        """As ``until``, while time passes in steps of ``seconds``."""
        for _ in range(100):
            with contextlib.suppress(AssertionError):
                await self.until(condition, what, patience=0.1)
                return
            await self.pass_time(seconds)
        await self.until(condition, what)

    async def until(self, condition: Callable[[], object], what: str = "", patience: float = 10.0) -> None:
        """Lets the loop turn until ``condition()``; AssertionError after ``patience`` of real time."""
        await reached(condition, lambda: f"{what}\n{self.sink.events[-20:]}\n{self.sink.lines[-20:]}", timeout=patience)

    async def written(self) -> None:
        """Until what has happened is in the journals."""
        await self.until(lambda: not any(shard.parts.wakeup.is_due for shard in self.shards), "written journals")

    async def idle(self) -> None:
        """Until the queue is empty, and nothing is on its way to it."""
        await self.until(lambda: self._has_read_all() and not self.entries() and not self._owes(), "an empty queue")

    def _has_read_all(self) -> bool:
        """Whether every shard has taken in what is in the logs of all."""
        for writer in [shard.writer for shard in self.shards]:
            ends = [(segment, end) for segment, end, _ in writer.snapshot()]
            for shard in self.shards:
                tail = shard.dispatcher._tails._tails.get(writer.number)
                if ends and (tail is None or tail.position < ends[-1]):
                    return False
        return True

    def _owes(self) -> bool:
        return any(shard.dispatcher._notices._tasks._running for shard in self.shards)

    # ---- messages ---------------------------------------------------------------------------------------------------

    async def submit(
        self, *recipients: bytes, sender: bytes = ALICE, content: bytes = CONTENT, flags: int = 0, shard: int = 0
    ) -> str:
        """Has a message spooled, in the log of ``shard``, and taken in; its queue id."""
        parts = self.shards[shard].parts
        now = clock.now_us()
        queue_id = parts.ids.next(now)
        envelope = Envelope(queue_id, now, sender, recipients, flags, len(content))
        spooled = Spooled()
        parts.writer.append(envelope.pack(), content, spooled)
        assert await spooled.done is None
        await self.until(self._has_read_all, "taken in")
        return queue_id

    def entries(self) -> list[Entry]:
        """All of the queue."""
        return [entry for shard in self.shards for entry in shard.parts.scheduler.places.entries()]

    def deliveries(self, recipient: str) -> list[dict[str, Any]]:
        """The lines of the delivery log about a recipient."""
        return [line for line in self.sink.lines if recipient in line["recipients"]]

    def outcomes(self, recipient: str) -> list[str]:
        return [line["outcome"] for line in self.deliveries(recipient)]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.sink.events if event == name]

    def stored(self, account: bytes = ALICE) -> list[bytes]:
        """What is in the account's mailbox."""
        name, _, domain = account.decode().partition("@")
        folder = self.config.mail_dir / domain / name
        paths = [path for part in ("cur", "new") for path in (folder / part).glob("*")]
        return [path.read_bytes() for path in sorted(paths, key=lambda path: path.name)]

    def reports(self, account: bytes = ALICE) -> list[EmailMessage]:
        """The DSNs among that."""
        found = [email.message_from_bytes(octets, policy=email.policy.default) for octets in self.stored(account)]
        return [each for each in found if each.get_content_type() == "multipart/report"]

    def metric(self, name: str, *labels: str) -> int:
        """Of all shards."""
        return sum(shard.metric(name, *labels) for shard in self.shards)

    def domain_in(self, shard: int, prefix: str = "d") -> str:
        """A domain whose MX is looked up by ``shard``."""
        names = (f"{prefix}{number}.test" for number in range(1000))
        return next(name for name in names if shard_of(f"mx:{name}", len(self.shards)) == shard)
