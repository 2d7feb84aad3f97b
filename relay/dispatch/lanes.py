"""Lanes of local mailboxes: takes messages from the scheduler, has them delivered, and hands the outcomes on.

Theory: a ``LocalFeed`` is to a lane what a client session is to a next hop. It takes a batch, has it written by a
thread, and takes the next. A message is settled as soon as all its deliveries have an outcome, so a slow one delays
only itself.

A delivery that hangs, fails in a way that nobody expected, or was in hand when the worker died, counts against its
message (hand.py): the message is tried again, apart from others, and after a death alone in the whole worker; the
second time it is set aside: held, with the reason where ``relay queue show`` has it, until an operator releases or
removes it.

Not here: which entry is next (relay/queue), threads (relay/mda/local_runs.py), what an outcome changes (settle.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from relay.directory.directory import Directory
from relay.dispatch._attempt import Attempt
from relay.dispatch.feed import load
from relay.dispatch.feeds import Feeds
from relay.dispatch.filtered import FilteredDelivery
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.mail.outcome import DEFERRED, Outcome, deferred
from relay.mda.addressee import account_of
from relay.mda.hand import STRIKES, Hand, Key, key_of
from relay.mda.local import LocalJob, Suspect, shown
from relay.mda.local_runs import LocalRuns
from relay.net.clock import now_us
from relay.queue import commands
from relay.queue.entry import Entry
from relay.queue.group import Connection
from relay.queue.routing import Router

LOCAL_BATCH: Final = 32
"""Messages for one lane that are written and synced together."""
SLOW_BEHIND: Final = 2
"""Slow deliveries of one feed that go on while it takes more."""
_DIED: Final = "the delivery worker died during the delivery into the mailbox"


class Lanes(NamedTuple):
    """What all lanes of a delivery worker share."""

    router: Router
    directory: Directory
    delivery: FilteredDelivery
    runs: LocalRuns

    @classmethod
    def open(cls, shard: Shard, router: Router, directory: Directory) -> Lanes:
        """Those of one shard. Threads belong to the running loop."""
        config, row, sink = shard.config, shard.row, shard.sink
        hand = Hand(config.run_dir / f"in-hand-{shard.place.shard}")
        runs = LocalRuns(row, sink, hand, config.delivery.local_timeout)
        return cls(router, directory, FilteredDelivery(config, shard.writer, shard.ids, sink, row, runs), runs)


class Message:
    """One message on its way into the mailboxes of a lane."""

    __slots__ = ("attempt", "is_set_aside", "missing", "outcomes")

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.outcomes: list[Outcome | None] = []
        self.missing = 0
        """Deliveries whose outcome is not known yet."""
        self.is_set_aside = False


class Piece(NamedTuple):
    """One delivery of it."""

    message: Message
    place: int
    job: LocalJob
    key: Key


class LocalFeed:
    """A "connection" to a lane of mailboxes: takes a batch, has it written and synced in a thread, and so on."""

    def __init__(self, shard: Shard, feeds: Feeds, settler: Settler, lanes: Lanes, connection: Connection) -> None:
        self._scheduler = shard.scheduler
        self._reader = shard.reader
        self._feeds = feeds
        self._settler = settler
        self._lanes = lanes
        self._hand = lanes.runs.hand
        self._tasks = shard.tasks
        self.connection = connection
        self._wake = asyncio.Event()
        self._behind: set[asyncio.Task[None]] = set()
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
        """Until ``quit`` is called."""
        self._feeds.lane_opened(self)
        self._scheduler.connection_opened(self.connection, now_us())
        try:
            while not self._quits and not self._feeds.is_draining:
                self._wake.clear()
                batch = self._take()
                if batch:
                    await self._deliver(batch)
                else:
                    self._feeds.changed()
                    await self._wake.wait()
            while self._behind:
                await asyncio.wait(self._behind)
        finally:
            self._scheduler.connection_closed(self.connection, None, now_us(), random.random())
            self._feeds.lane_closed(self)

    def _take(self) -> list[Attempt]:
        batch: list[Attempt] = []
        while len(batch) < LOCAL_BATCH:
            entry = self._scheduler.take(self.connection, now_us())
            if entry is None:
                break
            attempt = load(self._reader, entry)
            if isinstance(attempt, Attempt):
                batch.append(attempt)
            else:
                self._done(entry, [attempt] * entry.count, None)
        return batch

    async def _deliver(self, batch: list[Attempt]) -> None:
        suspects, pieces, apart = self._hand.suspects, list[Piece](), list[list[Piece]]()
        for attempt in batch:
            message = Message(attempt)
            these = await self._pieces(message)
            if not message.missing:
                self._finish(message)
            elif suspects and any(piece.key in suspects for piece in these):
                apart.append(these)
            else:
                pieces += these
        if pieces:
            await self._write(pieces)
        for these in apart:
            await self._write_apart(these)

    async def _pieces(self, message: Message) -> list[Piece]:
        """The deliveries of a message; recipients that cannot be delivered to have their outcome already."""
        attempt, pieces = message.attempt, list[Piece]()
        number = attempt.entry.number
        for recipient in attempt.recipients:
            mailbox = await account_of(self._lanes.directory, recipient)
            if isinstance(mailbox, bytes):
                job = LocalJob(attempt, mailbox, recipient, attempt.envelope.queue_id)
                pieces.append(Piece(message, len(message.outcomes), job, key_of(number, mailbox)))
                message.outcomes.append(None)
                message.missing += 1
            else:
                message.outcomes.append(mailbox)
        return pieces

    async def _write_apart(self, pieces: list[Piece]) -> None:
        """A message with a suspected delivery; one that a worker died with twice is not tried again."""
        hand, left = self._hand, list[Piece]()
        for piece in pieces:
            if hand.suspects.get(piece.key, 0) >= STRIKES:
                self._set_aside(piece, "died", deferred("4.3.0", _DIED, "store", next_hop=shown(piece.job.mailbox)))
            else:
                left.append(piece)
        if left:
            await self._write(left, alone=any(piece.key in hand.deadly for piece in left))

    async def _write(self, pieces: list[Piece], *, alone: bool = False) -> None:
        def tell(number: int, found: Outcome | Suspect) -> None:
            self._told(pieces[number], found)

        began = time.monotonic()
        jobs, keys = [piece.job for piece in pieces], [piece.key for piece in pieces]
        try:
            await self._lanes.delivery.deliver(jobs, keys, tell, self._goes_on, alone=alone)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            for piece in pieces:
                if piece.message.outcomes[piece.place] is None:
                    self._told(piece, deferred("4.3.0", f"internal error: {type(fault).__name__}", "store"))
        self._settler.stored(len(jobs), time.monotonic() - began)
        while len(self._behind) >= SLOW_BEHIND:
            await asyncio.wait(self._behind, return_when=asyncio.FIRST_COMPLETED)

    def _goes_on(self, slow: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.start(slow)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def _told(self, piece: Piece, found: Outcome | Suspect) -> None:
        hand = self._hand
        if isinstance(found, Suspect):
            self._settler.suspected(found.cause, piece.job.queue_id, piece.job.mailbox, found.outcome)
            if hand.strike(piece.key) >= STRIKES:
                self._set_aside(piece, found.cause, found.outcome)
                return
            found = found.outcome
        elif hand.suspects and found.kind != DEFERRED:
            hand.forgive(piece.key)
        self._outcome(piece, found)

    def _set_aside(self, piece: Piece, cause: str, outcome: Outcome) -> None:
        self._hand.set_aside(piece.key)
        self._settler.set_aside(cause, piece.job.queue_id, piece.job.mailbox)
        piece.message.is_set_aside = True
        text = f"set aside after it happened {STRIKES} times: {outcome.text}"
        self._outcome(piece, deferred(outcome.status, text, outcome.stage, next_hop=outcome.next_hop))

    def _outcome(self, piece: Piece, outcome: Outcome) -> None:
        message = piece.message
        message.outcomes[piece.place] = outcome
        message.missing -= 1
        if not message.missing:
            self._finish(message)

    def _finish(self, message: Message) -> None:
        outcomes = [outcome for outcome in message.outcomes if outcome is not None]
        entry = message.attempt.entry
        if message.is_set_aside:
            commands.hold(self._scheduler, entry, now_us())  # it goes there when the attempt is over
        self._done(entry, outcomes, message.attempt)
        if message.is_set_aside and entry.count:
            self._settler.held(entry)

    def _done(self, entry: Entry, outcomes: list[Outcome], attempt: Attempt | None) -> None:
        settled = self._scheduler.done(self.connection, entry, outcomes, now_us(), random.random())
        if attempt is not None:
            self._settler.attempted(attempt, settled.outcomes, 0)
        self._settler.settled(settled, attempt, 0)
        self._feeds.changed()
