"""What the queue costs: memory of a deferred entry, time of add + take + done, of deferral, of finding and waking.

    python -m benchmarks.micro_queue [entries]      default 1,000,000 for memory; a few seconds

Figures are printed, one a line; nothing is decided by them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from relay.config.queue import QueueSettings
from relay.mail.envelope import Envelope
from relay.mail.next_hop import NextHop
from relay.mail.outcome import deferred, delivered
from relay.mail.queue_id import encode
from relay.queue.action import Connect
from relay.queue.entry import Entry
from relay.queue.group import Connection, Settings
from relay.queue.intake import Intake
from relay.queue.retry import RetryPolicy
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000


def resident() -> int:
    """Octets of memory this process has in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def scheduler() -> Scheduler:
    """One with the default settings."""
    return Scheduler(Settings(), RetryPolicy(QueueSettings()), NOW)


def say(what: str, value: float, unit: str) -> None:
    """Prints one figure."""
    print(f"{what:<58} {value:10.2f} {unit}")


def opened(queue: Scheduler, key: str) -> Connection:
    """An open connection of the group ``key``, for which something is ready."""
    for action in queue.actions(NOW):
        if isinstance(action, Connect) and action.connection.group.key == key:
            queue.connection_opened(action.connection, NOW)
            return action.connection
    raise AssertionError("no connection was asked for")


def running(messages: int = 200_000) -> None:
    """add + take + done of one recipient in a group that runs, with the connection always busy (PIPELINING)."""
    queue = scheduler()
    group = queue.group("smtp://h:25", NextHop("smtp", "h", 25))
    entries = [Entry(1, n >> 14, n, 1500, encode(n << 22), NOW, group, None, 1) for n in range(messages + 2)]
    outcomes = [delivered("2.0.0", "ok", next_hop="h[192.0.2.1]:25")]
    queue.add(entries[0], NOW)
    connection = opened(queue, "smtp://h:25")
    before = queue.take(connection, NOW)
    began = perf_counter()
    for n in range(1, messages + 1):
        queue.add(entries[n], NOW)
        entry = queue.take(connection, NOW)
        assert before is not None
        queue.done(connection, before, outcomes, NOW, 0.5)
        before = entry
    say("add + take + done, one recipient delivered", (perf_counter() - began) / messages * 1e6, "us")


def lock_step(messages: int = 100_000) -> None:
    """The same without PIPELINING: the connection is idle between messages and has to be woken."""
    queue = scheduler()
    group = queue.group("smtp://h:25", NextHop("smtp", "h", 25))
    entries = [Entry(1, n >> 14, n, 1500, encode(n << 22), NOW, group, None, 1) for n in range(messages + 1)]
    outcomes = [delivered("2.0.0", "ok")]
    queue.add(entries[0], NOW)
    connection = opened(queue, "smtp://h:25")
    first = queue.take(connection, NOW)
    assert first is not None
    queue.done(connection, first, outcomes, NOW, 0.5)
    began = perf_counter()
    for n in range(1, messages + 1):
        queue.add(entries[n], NOW)
        queue.actions(NOW)
        entry = queue.take(connection, NOW)
        assert entry is not None
        queue.done(connection, entry, outcomes, NOW, 0.5)
    say("the same, woken by actions() for each message", (perf_counter() - began) / messages * 1e6, "us")


def taking_in(messages: int = 200_000) -> None:
    """From an unpacked envelope to a queued entry."""
    queue = scheduler()
    from tests.support.directories import local_directory

    intake = Intake(queue, Router(local_directory("demo.test"), {"relay.test": NextHop("smtp", "h", 25)}))
    envelope = Envelope(encode(1 << 62), NOW, b"a@example.org", (b"user@relay.test",), 0, 1000)
    began = perf_counter()
    for n in range(messages):
        intake.record(1, n >> 14, n, 1500, envelope, NOW)
    say("intake of a record with one recipient", (perf_counter() - began) / messages * 1e6, "us")


def deferring(count: int) -> None:
    """A million deferred entries: memory, time of deferral, finding, waking."""
    queue = scheduler()
    group = queue.group("smtp://h:25", NextHop("smtp", "h", 25))
    outcomes = [deferred("4.2.2", "mailbox full", "rcpt", code=452, next_hop="h[192.0.2.1]:25")]
    queue.add(Entry(1, 0, 0, 1500, encode(1), NOW, group, None, 1), NOW)
    connection = opened(queue, "smtp://h:25")
    at_first, began = resident(), perf_counter()
    for n in range(1, count + 1):
        queue.add(Entry(1, n >> 14, n * 64, 1500, encode(n << 22), NOW, group, None, 1), NOW)
        entry = queue.take(connection, NOW)
        assert entry is not None
        if not n & 63:
            queue.actions(NOW)
        queue.done(connection, entry, outcomes, NOW + n, (n * 2654435761 % 2**32) / 2**32)
    say("add + take + done, deferred", (perf_counter() - began) / count * 1e6, "us")
    say(f"memory of a deferred entry, of {count}", (resident() - at_first) / count, "octets")
    began = perf_counter()
    found = queue.places.find(number=1 << 22)
    say(f"finding a queue id among {count} ({len(found)} found)", (perf_counter() - began) * 1e3, "ms")
    began = perf_counter()
    said = sum(1 for _ in queue.ledger.snapshot(queue.places.entries(), lambda _log, _segment: True))
    say(f"saying {said} of them for a compacted journal", (perf_counter() - began), "s")
    began, slowest, moved = perf_counter(), 0.0, 0
    while (at := queue.next_wakeup()) is not None and at < NOW + HOUR:
        step = perf_counter()
        queue.actions(max(at, NOW))
        slowest = max(slowest, perf_counter() - step)
        moved += 1
    say(f"waking all of them up, in {moved} calls", (perf_counter() - began), "s")
    say("the slowest of these calls", slowest * 1e3, "ms")


if __name__ == "__main__":
    running()
    lock_step()
    taking_in()
    deferring(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
