"""A pretend world around the scheduler: hosts with latencies and moods, a clock, and a worker that obeys actions."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from relay.config.queue import QueueSettings
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome, deferred, delivered
from relay.queue.action import Connect, Quit, Resolve, Settle, Settled, Wake
from relay.queue.entry import Entry
from relay.queue.group import Connection, Settings
from relay.queue.retry import RetryPolicy
from relay.queue.scheduler import Scheduler

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
BEGIN = 1_700_000_000 * SECOND
ID = "01HV3Z0000000"


def policy(**changes: float) -> RetryPolicy:
    return RetryPolicy(QueueSettings(**changes))  # type: ignore[arg-type]


def envelope(*recipients: bytes, **changes: Any) -> Envelope:
    base = Envelope(ID, BEGIN, b"sender@example.org", recipients or (b"a@relay.test",), 0, 1000)
    return base._replace(**changes)


class Host:
    """One next hop. ``connect``: the failure of a connection, or None; ``reply``: the outcome of one recipient."""

    def __init__(
        self,
        *,
        latency: int = SECOND // 100,
        connect_time: int = SECOND // 100,
        connect: Callable[[int], Outcome | None] = lambda _: None,
        reply: Callable[[Entry, int], Outcome] = lambda _entry, _now: delivered("2.0.0", "ok"),
    ) -> None:
        self.latency = latency
        self.connect_time = connect_time
        self.connect = connect
        self.reply = reply
        self.attempts = 0
        self.connects = 0
        self.open = 0
        self.most_open = 0


DEAD = deferred("4.4.1", "connection refused", "connect")


class World:
    """Runs a scheduler against hosts by group key."""

    def __init__(self, hosts: dict[str, Host], settings: Settings | None = None, retry: RetryPolicy | None = None):
        self.now = BEGIN
        self.hosts = hosts
        self.scheduler = Scheduler(settings or Settings(), retry or policy(), BEGIN)
        self.random = random.Random(7)
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.journal: list[tuple[Any, ...]] = []
        self.settled: list[Settled] = []
        self.delivered_at: dict[int, int] = {}
        self.resolve: Callable[[str, str], None] = lambda _key, _domain: None
        self.most_total = 0

    def add(self, key: str, offset: int = 0, *, due_at: int = 0, received_at: int | None = None, flags: int = 0,
            domain: str = "", indexes: tuple[int, ...] | None = None, count: int = 1) -> Entry:  # fmt: skip
        group = self.scheduler.group(key, key, domain)
        received = self.now if received_at is None else received_at
        entry = Entry(1, offset // 1000, offset, 1000, ID, received, group, indexes, count, flags, 0, due_at)
        self.scheduler.add(entry, self.now)
        return entry

    def after(self, delay: int, event: Callable[[], None]) -> None:
        self.count += 1
        heappush(self.events, (self.now + delay, self.count, event))

    def run(self, until: int) -> None:
        """Lets the time pass up to ``until`` (or to the end of everything)."""
        while True:
            self._obey()
            wakeup = self.scheduler.next_wakeup()
            times = [self.events[0][0]] if self.events else []
            if wakeup is not None:
                times.append(max(wakeup, self.now))
            if not times or min(times) > until:
                self.now = max(self.now, until)
                return
            self.now = min(times)
            while self.events and self.events[0][0] <= self.now:
                heappop(self.events)[2]()

    def _obey(self) -> None:
        for action in self.scheduler.actions(self.now):
            match action:
                case Connect(connection):
                    self._connect(connection)
                case Wake(connection):
                    self._pull(connection)
                case Quit(connection):
                    if not connection.in_flight:
                        self._close(connection, None)
                case Resolve(key, domain):
                    self.resolve(key, domain)
                case Settle(settled):
                    self._settled(settled)
        self.most_total = max(self.most_total, self.scheduler.pool.total)

    def _connect(self, connection: Connection) -> None:
        host = self.hosts[connection.group.key]
        host.connects += 1
        self.after(host.connect_time, lambda: self._connected(connection, host))

    def _connected(self, connection: Connection, host: Host) -> None:
        failure = host.connect(self.now)
        if failure is not None:
            self.scheduler.connection_failed(connection, failure, self.now, self.random.random())
            return
        host.open += 1
        host.most_open = max(host.most_open, host.open)
        self.scheduler.connection_opened(connection, self.now)
        self._pull(connection)

    def _pull(self, connection: Connection) -> None:
        if connection.in_flight or not connection.is_open:
            return
        entry = self.scheduler.take(connection, self.now)
        if entry is None:
            if connection.is_quitting:
                self._close(connection, None)
            return
        host = self.hosts[connection.group.key]
        host.attempts += 1
        self.after(host.latency, lambda: self._finish(connection, entry, host))

    def _finish(self, connection: Connection, entry: Entry, host: Host) -> None:
        outcomes = [host.reply(entry, self.now) for _ in range(entry.count)]
        if all(outcome.kind == "delivered" for outcome in outcomes):
            self.delivered_at[entry.offset] = self.now
        self._settled(self.scheduler.done(connection, entry, outcomes, self.now, self.random.random()))
        self._pull(connection)

    def _close(self, connection: Connection, why: Outcome | None) -> None:
        self.hosts[connection.group.key].open -= 1
        self.scheduler.connection_closed(connection, why, self.now, self.random.random())

    def _settled(self, settled: Settled) -> None:
        self.settled.append(settled)
        self.journal.extend(settled.journal)
        if settled.notice is not None:
            notice = settled.notice
            self.journal.extend(self.scheduler.notice_spooled(notice, self.now))

    def notices(self, kind: str) -> list[Any]:
        return [each.notice for each in self.settled if each.notice is not None and each.notice.kind == kind]
