"""What a delivery worker does per message beside the SMTP session: python -m benchmarks.micro_delivery [messages]

Records of 1 KiB lie in a log, as an smtp worker writes them. Each turn takes in a batch of them as after a notice, asks
the scheduler once, has every connection take its messages, and settles the outcomes as sessions report them, with the
journal and the log written. No sockets, and sessions that do nothing: what is left is the queue, the reading, and what
follows from outcomes. CPU time of the loop's thread, best of three, by step; then that of the whole process (the log's
thread writes, too).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from relay.config.queue import QueueSettings
from relay.delivery._delivery import Delivery
from relay.dispatch.feed import Feed
from relay.dispatch.feeds import Feeds
from relay.dispatch.journaling import Journaling
from relay.dispatch.meters import JournalMeter
from relay.dispatch.remote import ForeignEntries
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Place, Shard
from relay.dispatch.tasks import Tasks
from relay.dispatch.wakeup import Wakeup
from relay.mail.envelope import Client, Envelope
from relay.mail.next_hop import NextHop
from relay.mail.outcome import Outcome
from relay.mail.queue_id import encode
from relay.net.clock import now_us
from relay.queue.action import Connect, Wake
from relay.queue.group import Connection, Settings
from relay.queue.intake import Intake
from relay.queue.retry import RetryPolicy
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler
from relay.spool import Journal, LogReader, LogWriter, Tail, lock_data_dir
from relay.telemetry.page import CountersPage
from relay.telemetry.sink import LogSink
from tests.support.directories import local_directory

CONTENT = b"Received: " + b"r" * 140 + b"\r\n" + b"x" * 1022 + b"\r\n"
CONNECTIONS = 20
BATCH = 40
"""Records that one notice tells of, under load."""
NEXT_HOP = "mx.relay.test[192.0.2.1]:25"


class SpoolSettings(NamedTuple):
    """Stands for config.spool."""

    segment_size: int = 64 << 20
    spare_segments: int = 2
    min_free_bytes: int = 0
    min_free_inodes: int = 0


class Last:
    """Waits for the last of some records."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waits = 0
        self.future: asyncio.Future[None] = loop.create_future()

    def spooled(self, error: Exception | None) -> None:
        if error is not None:
            raise error
        self.waits -= 1
        if not self.waits:
            self.future.set_result(None)


class Session:
    """Stands for a client session that has sent so many messages."""

    messages = 0
    appetite = 1

    def quit(self) -> None: ...


class Shares:
    """CPU seconds of this thread by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.thread_time()

    def start(self) -> None:
        """The next step begins."""
        self._last = time.thread_time()

    def end(self, step: str) -> None:
        """``step`` is over, and the next one begins."""
        now = time.thread_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


class Worker:
    """The parts of a delivery worker that see every message."""

    def __init__(self, folder: Path) -> None:
        lock = lock_data_dir(folder)
        lock.close()
        self.spool_dir = lock.spool_dir
        page = CountersPage(2)
        row = page.row(page.take_row("delivery"))
        self.sink = LogSink(folder / "log", row=row)
        self.scheduler = Scheduler(
            Settings(initial=CONNECTIONS, turn_messages=10**9), RetryPolicy(QueueSettings()), now_us()
        )
        router = Router(local_directory(), {"relay.test": NextHop("smtp", "mx.relay.test", 25)})
        self.intake = Intake(self.scheduler, router)
        self.reader = LogReader(self.spool_dir)
        journal = Journal(self.spool_dir, shard=0, shards=1, generation=1)
        self.journaling = Journaling(journal, self.sink, JournalMeter(row))
        nothing: Any = None  # no file is written here but the journal, and no loop runs
        self.shard = Shard(
            place=Place(0, 1, 1),
            config=nothing,
            scheduler=self.scheduler,
            reader=self.reader,
            writer=nothing,
            ids=nothing,
            journaling=self.journaling,
            sink=self.sink,
            row=row,
            wakeup=Wakeup(nothing),
            tasks=Tasks(),
        )
        self.settler = Settler(self.shard, nothing, ForeignEntries(self.shard))
        self.feeds = Feeds(row, self.shard.wakeup.changed)

    async def fill(self, messages: int) -> list[tuple[int, int]]:
        """Writes the records; returns how far each batch goes, as (segment, end)."""
        batches: list[tuple[int, int]] = []

        def committed(segment: int, _start: int, end: int, _count: int, _closed: bool) -> None:
            batches.append((segment, end))

        loop = asyncio.get_running_loop()
        writer = LogWriter(self.spool_dir, SpoolSettings(), loop, committed)
        client = Client("192.0.2.7", "client.example.org", "ESMTP", "", "", "mx")
        now = now_us()
        for first in range(0, messages, BATCH):
            last = Last(loop)
            for number in range(first, min(first + BATCH, messages)):
                envelope = Envelope(
                    encode((now << 4) + number), now, b"a@bench.test", (b"x@relay.test",), 0, len(CONTENT), "S1", client
                )
                last.waits += 1
                writer.append(envelope.pack(), [CONTENT], last)
            await last.future
        self.log = writer.number
        await writer.close()
        return batches

    def taken_in(self, tail: Tail, segment: int, end: int, shares: Shares) -> None:
        """As after a notice."""
        records = tail.advance(segment, end, False)
        shares.end("reading the log")
        self.reader.remember(records)
        self.intake.records(records, now_us())
        shares.end("taking in")

    def turn(self, sessions: dict[Connection, tuple[Feed, Any]], outcomes: list[Outcome], shares: Shares) -> int:
        """One turn of the loop: who is woken or opened takes one message, and then reports it delivered."""
        woken: list[Connection] = []
        for action in self.scheduler.actions(now_us()):
            assert isinstance(action, Connect | Wake)
            woken.append(action.connection)
            if isinstance(action, Connect):
                sessions[action.connection] = (Feed(self.shard, self.feeds, self.settler, action.connection), Session())
        self.scheduler.next_wakeup()
        shares.end("asking the scheduler")
        done = 0
        taken = [self.take(*sessions[connection]) for connection in woken]
        shares.end("taking")
        while any(delivery is not None for delivery in taken):
            ended, taken = taken, [self.take(*sessions[connection]) for connection in woken]
            shares.end("taking")
            for connection, delivery in zip(woken, ended, strict=True):
                if delivery is not None:
                    feed, session = sessions[connection]
                    session.messages += 1
                    feed.finished(session, delivery, [outcomes.pop()])
                    done += 1
            shares.end("outcomes")
        self.settler.flush()
        shares.end("outcomes")
        self.journaling.flush()
        shares.end("writing the journal")
        return done

    def take(self, feed: Feed, session: Any) -> Delivery | None:
        """What the session takes, with the times that it would set."""
        delivery = feed.take(session)
        if delivery is not None:
            delivery.taken_at, delivery.finished_at = 1000.0, 1000.002
        return delivery


def outcome_of(number: int) -> Outcome:
    """A new one for each message, as a reply gives it."""
    return Outcome("delivered", 250, "2.0.0", f"2.0.0 Ok: queued as {number:08X}", "reply", NEXT_HOP)


async def measure(messages: int) -> tuple[dict[str, float], float]:
    """CPU seconds by step, and of the whole process."""
    with tempfile.TemporaryDirectory() as name:
        worker = Worker(Path(name))
        batches = await worker.fill(messages)
        tail = Tail(worker.spool_dir, worker.log, print)
        sessions: dict[Connection, tuple[Feed, Any]] = {}
        outcomes = [outcome_of(number) for number in range(messages)]
        shares, done, began = Shares(), 0, time.process_time()
        for segment, end in batches:
            shares.start()
            worker.taken_in(tail, segment, end, shares)
            done += worker.turn(sessions, outcomes, shares)
        process = time.process_time() - began
        assert done == messages, (done, messages)
        worker.sink.finish()
        return shares.seconds, process


def main(messages: int) -> None:
    """Prints the best of three."""
    runs = [asyncio.run(measure(messages)) for _ in range(3)]
    seconds, process = min(runs, key=lambda run: sum(run[0].values()))
    for step, value in seconds.items():
        print(f"{step:<28} {value / messages * 1e6:6.2f} us")
    print(f"{'the loop, a message':<28} {sum(seconds.values()) / messages * 1e6:6.2f} us")
    print(f"{'the process, a message':<28} {process / messages * 1e6:6.2f} us")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
