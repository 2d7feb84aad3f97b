"""What stands between one client session, which pulls, and the scheduler, which decides.

It is on the hot path, so it is compiled (feed.pxd); it behaves identically uncompiled.

Not here: opening connections (outbound.py), what an outcome changes (settle.py).
"""

from __future__ import annotations

import time
from random import random

from relay.delivery._client import ClientSession
from relay.delivery._delivery import Delivery
from relay.dispatch._attempt import Attempt, new_attempt
from relay.dispatch.feeds import Feeds
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.mail.outcome import Outcome, deferred, failed
from relay.net.clock import now_us
from relay.queue.entry import Entry
from relay.queue.group import Connection
from relay.spool import LogReader, Message, MissingRecord


def load(reader: LogReader, entry: Entry) -> Attempt | Outcome:
    """The entry's record, ready to be sent; or the outcome when the record is not there any more."""
    record = reader.remembered(entry.log, entry.segment, entry.offset)
    if record is not None:
        return new_attempt(entry, record, None)
    try:
        message: Message = reader.load(entry.log, entry.segment, entry.offset)
    except MissingRecord as fault:
        return failed("5.3.0", f"the message was damaged on our disk: {fault}", "store")
    except OSError as fault:
        return deferred("4.3.0", f"cannot read the spool: {fault.strerror}", "store")
    return new_attempt(entry, message.record, message.content)


class Feed:
    """The owner of one client session (relay.delivery.owner.Owner)."""

    __slots__ = (
        "_began",
        "_feeds",
        "_opened_after",
        "_reader",
        "_scheduler",
        "_settler",
        "client",
        "connection",
        "is_open",
    )

    def __init__(self, shard: Shard, feeds: Feeds, settler: Settler, connection: Connection) -> None:
        self._scheduler = shard.scheduler
        self._reader = shard.reader
        self._settler = settler
        self._feeds = feeds
        self.connection = connection
        self.client: ClientSession | None = None
        self.is_open = False
        self._began = time.monotonic()
        self._opened_after = -1.0
        """What opening took, until the first delivery carries it; negative: none does."""
        connection.tag = self

    def take(self, client: ClientSession) -> Delivery | None:
        if not self.is_open:
            self._opened(client)
        while not self._feeds.is_draining:
            entry = self._scheduler.take(self.connection, now_us())
            if entry is None:
                self._opened_after = -1.0
                self.connection.appetite = client.appetite
                self._feeds.changed()
                return None
            attempt = load(self._reader, entry)
            if isinstance(attempt, Attempt):
                if self._opened_after >= 0:
                    attempt.connect_seconds, self._opened_after = self._opened_after, -1.0
                return attempt
            self._settle_unread(entry, attempt)
        client.quit()
        return None

    def finished(self, client: ClientSession, delivery: Delivery, outcomes: list[Outcome]) -> None:
        attempt = delivery
        assert isinstance(attempt, Attempt)
        settled = self._scheduler.done(self.connection, attempt.entry, outcomes, now_us(), random())
        use = client.messages
        self._settler.attempted(attempt, settled.outcomes, use)
        self._settler.settled(settled, attempt, use)
        if not self._settler.is_awaited:
            self._settler.is_awaited = True
            self._feeds.changed()

    def closed(self, client: ClientSession, unsent: list[Delivery], why: Outcome | None) -> None:
        if not self.is_open:
            return
        now = now_us()
        for attempt in reversed(unsent):
            assert isinstance(attempt, Attempt)
            self._scheduler.put_back(self.connection, attempt.entry, now)
        self._scheduler.connection_closed(self.connection, why, now, random())
        self._feeds.session_closed(self)

    def wake(self) -> None:
        if self.client is not None:
            self.client.wake()
        # What it did not take, because its peer or the size of what it took did not let it, is for others.
        self._scheduler.pool.give_up_claim(self.connection)

    def quit(self) -> None:
        if self.client is not None:
            self.client.quit()

    def withdraw(self) -> None:
        """Ends the session unless the peer might have accepted what it has not answered for."""
        if self.client is not None:
            self.client.withdraw()

    def abort(self) -> None:
        if self.client is not None:
            self.client.abort("delivery was stopped here")

    def _opened(self, client: ClientSession) -> None:
        self.is_open = True
        self.client = client
        self._opened_after = time.monotonic() - self._began
        self._feeds.session_opened(self)
        self._scheduler.connection_opened(self.connection, now_us())

    def _settle_unread(self, entry: Entry, outcome: Outcome) -> None:
        self._settler.settled(self._scheduler.done(self.connection, entry, [outcome] * entry.count, now_us(), random()))
