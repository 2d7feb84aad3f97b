"""Feeds of local mailboxes: take messages from the scheduler for a lane (relay/mda/lane.py), and hand its outcomes on.

Theory: a ``LocalFeed`` is to a lane what a client session is to a next hop. It takes a batch, has it delivered, and
takes the next. A message is settled as soon as all its deliveries have an outcome.

Not here: which entry is next (relay/queue), delivery (relay/mda), what an outcome changes (settle.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from relay.directory.directory import Directory
from relay.dispatch._attempt import Attempt
from relay.dispatch.feed import load
from relay.dispatch.feeds import Feeds
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.mail.outcome import Outcome
from relay.mda.hand import Hand
from relay.mda.lane import Lane, Mda
from relay.mda.local_runs import LocalRuns
from relay.mda.mailbox_delivery import MailboxDelivery
from relay.net.clock import now_us
from relay.queue import commands
from relay.queue.entry import Entry
from relay.queue.group import Connection

LOCAL_BATCH: Final = 32
"""Messages for one lane that are written and synced together."""


def open_mda(shard: Shard, directory: Directory) -> Mda:
    """Final delivery for one shard. Threads belong to the running loop."""
    config, row, sink = shard.config, shard.row, shard.sink
    hand = Hand(config.run_dir / f"in-hand-{shard.place.shard}")
    runs = LocalRuns(row, sink, hand, config.delivery.local_timeout)
    return Mda(directory, MailboxDelivery(config, shard.writer, shard.ids, sink, row, runs), runs)


class LocalFeed:
    """A "connection" to a lane of mailboxes."""

    def __init__(self, shard: Shard, feeds: Feeds, settler: Settler, mda: Mda, connection: Connection) -> None:
        self._scheduler = shard.scheduler
        self._reader = shard.reader
        self._feeds = feeds
        self._settler = settler
        self._lane = Lane[Attempt](mda, settler, shard.tasks.start, self._finish)
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
        """Until ``quit`` is called."""
        self._feeds.lane_opened(self)
        self._scheduler.connection_opened(self.connection, now_us())
        try:
            while not self._quits and not self._feeds.is_draining:
                self._wake.clear()
                batch = self._take()
                if batch:
                    await self._lane.deliver(batch)
                else:
                    self._feeds.changed()
                    await self._wake.wait()
            await self._lane.ended()
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

    def _finish(self, attempt: Attempt, outcomes: Sequence[Outcome], is_set_aside: bool) -> None:
        entry = attempt.entry
        if is_set_aside:
            commands.hold(self._scheduler, entry, now_us())  # it goes there when the attempt is over
        self._done(entry, list(outcomes), attempt)
        if is_set_aside and entry.count:
            self._settler.held(entry)

    def _done(self, entry: Entry, outcomes: list[Outcome], attempt: Attempt | None) -> None:
        settled = self._scheduler.done(self.connection, entry, outcomes, now_us(), random.random())
        if attempt is not None:
            self._settler.attempted(attempt, settled.outcomes, 0)
        self._settler.settled(settled, attempt, 0)
        self._feeds.changed()
