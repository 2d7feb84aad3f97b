"""Deliveries that one delivery worker asks of another, because the group of hosts lives there.

Which worker has a domain follows from its name; which has a group of mail exchangers, from the set of hosts (DESIGN
section 5), so that the limits of a group are exact without locks. The worker of the domain stays responsible: it keeps
the entry, journals the outcome and decides about retries; the worker of the group only makes the attempt.

    home -> group's worker   ("deliver", token, log, segment, offset, indexes or None, group key, hosts,
                              TLS policy), the last as TlsPolicy.pack() has it
    back                     ("outcomes", token, ((kind, code, status, text, stage, next_hop), ...))
                             one for each recipient, or one for all of them
    home -> group's worker   ("how", token)
    back                     ("how", token, waits_for, next_at, code, status, text, stage, next_hop), as in
                             relay/queue/waiting.py; code 0 and no texts when nothing has gone wrong

When the link breaks, home takes back what was asked for, and the other side forgets what it has not begun: what was
being sent at that moment may be sent twice.

Not here: the links (log_links.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from relay.dispatch.feeds import Feeds
from relay.dispatch.log_links import LogLinks
from relay.dispatch.shard import Shard
from relay.mail.outcome import Outcome, deferred
from relay.mail.tls_policy import NO_TLS, TlsPolicy
from relay.net.clock import now_us
from relay.net.frames import FrameError, FrameProtocol, Message
from relay.queue.action import Settled
from relay.queue.entry import ACTIVE, IS_FOREIGN, IS_NULL_PATH, Entry, Reason
from relay.queue.group import Connection
from relay.queue.waiting import Waiting, WaitsFor, waiting
from relay.spool import MissingRecord
from relay.telemetry import metrics

HOW_SECONDS: Final = 1.0
NOTHING: Final = (0, "", "", "", "")
WINDOW: Final = 8
"""Entries that one connection has in flight at another worker."""


class MxHosts(NamedTuple):
    """The hop of a group of domains with one MX set and one TLS policy."""

    hosts: tuple[str, ...]
    """Best first."""
    tls: TlsPolicy = NO_TLS


class RemoteGroup(NamedTuple):
    """The hop of a group that lives in another delivery worker."""

    shard: int
    key: str
    hop: MxHosts
    """What it is there."""


class RemoteFeeds:
    """Home's side: what stands in for connections to groups that live elsewhere."""

    def __init__(self, shard: Shard, feeds: Feeds, links: LogLinks, settled: Callable[[Settled], None]) -> None:
        self._scheduler = shard.scheduler
        self._open_feeds = feeds
        self._links = links
        self._settled = settled
        self._changed = shard.wakeup.changed
        self._asked: dict[int, tuple[_RemoteFeed, Entry]] = {}
        self._feeds: set[_RemoteFeed] = set()
        self._questions: dict[int, asyncio.Future[Waiting]] = {}
        self._last_token = 0

    def connect(self, connection: Connection, hop: RemoteGroup) -> None:
        """Carries out Connect."""
        link = self._links.link(hop.shard)
        if link is None:
            away = deferred("4.3.0", f"delivery worker {hop.shard} is not there yet", "connect")
            self._scheduler.connection_failed(connection, away, now_us(), random.random())
            self._changed()
            return
        feed = _RemoteFeed(self, connection, hop)
        self._feeds.add(feed)
        self._scheduler.connection_opened(connection, now_us())
        feed.wake()

    def received(self, _shard: int, message: Message) -> None:
        """What another worker answers on the link that we opened."""
        match message:
            case ("outcomes", int() as token, outcomes):
                self._outcomes(token, outcomes)
            case ("how", int() as token, waits_for, next_at, *reason):
                self._how(token, waits_for, next_at, tuple(reason))
            case _:
                raise FrameError(f"unknown message {message[:1]!r}")

    def _outcomes(self, token: int, fields_of: tuple[tuple[str, int, str, str, str, str], ...]) -> None:
        asked = self._asked.pop(token, None)
        if asked is None:
            return
        feed, entry = asked
        feed.tokens.discard(token)
        outcomes = [Outcome(*fields) for fields in fields_of]
        if len(outcomes) == 1:
            outcomes *= entry.count
        self._settled(self._scheduler.done(feed.connection, entry, outcomes, now_us(), random.random()))
        feed.wake()
        self._changed()

    async def how(self, entry: Entry) -> Waiting | None:
        """How things are with ``entry`` where it is tried; None when that is here, or nobody answers in time."""
        token, feed = next(((token, feed) for token, (feed, asked) in self._asked.items() if asked is entry), (0, None))
        link = self._links.link(feed.hop.shard) if feed is not None else None
        if link is None:
            return None
        question: asyncio.Future[Waiting] = asyncio.get_running_loop().create_future()
        answer = self._questions.setdefault(token, question)
        link.send(("how", token))
        try:
            return await asyncio.wait_for(asyncio.shield(answer), HOW_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._questions.pop(token, None)

    def _how(self, token: int, waits_for: WaitsFor, next_at: int, reason_fields: tuple[Any, ...]) -> None:
        question = self._questions.pop(token, None)
        if question is not None and not question.done():
            code, status, text, stage, next_hop = reason_fields
            reason = Reason(code, status, text, stage, next_hop) if stage or text else None
            question.set_result(Waiting(waits_for, next_at, reason))

    def lost(self, shard: int) -> None:
        """The link broke: what was asked for is ours again."""
        for feed in [feed for feed in self._feeds if feed.hop.shard == shard]:
            now = now_us()
            for token in feed.tokens:
                _, entry = self._asked.pop(token)
                self._scheduler.put_back(feed.connection, entry, now)
            feed.tokens.clear()
            self._end(feed)
        self._changed()

    def ask(self, feed: _RemoteFeed, entry: Entry) -> None:
        """Sends one request."""
        link = self._links.link(feed.hop.shard)
        assert link is not None
        self._last_token += 1
        self._asked[self._last_token] = (feed, entry)
        feed.tokens.add(self._last_token)
        hosts, tls = feed.hop.hop
        link.send(("deliver", self._last_token, *entry.ref, entry.indexes, feed.hop.key, hosts, tls.pack()))

    def take(self, feed: _RemoteFeed) -> Entry | None:
        """The next entry for ``feed``, while we are not draining and the other side is there."""
        if self._open_feeds.is_draining or self._links.link(feed.hop.shard) is None:
            return None
        return self._scheduler.take(feed.connection, now_us())

    def quit(self, feed: _RemoteFeed) -> None:
        """Carries out Quit: only an idle connection is asked to."""
        if not feed.tokens:
            self._end(feed)

    def _end(self, feed: _RemoteFeed) -> None:
        self._feeds.discard(feed)
        self._scheduler.connection_closed(feed.connection, None, now_us(), random.random())
        self._changed()


class _RemoteFeed:
    """One stand-in for a connection."""

    __slots__ = ("_feeds", "connection", "hop", "tokens")

    def __init__(self, feeds: RemoteFeeds, connection: Connection, hop: RemoteGroup) -> None:
        self._feeds = feeds
        self.connection = connection
        self.hop = hop
        self.tokens: set[int] = set()
        connection.tag = self

    def wake(self) -> None:
        """Asks for as much as the window allows."""
        while len(self.tokens) < WINDOW and (entry := self._feeds.take(self)) is not None:
            self._feeds.ask(self, entry)

    def quit(self) -> None:
        self._feeds.quit(self)


class ForeignEntries:
    """The other side: entries of other delivery workers that are tried here."""

    def __init__(self, shard: Shard) -> None:
        self._scheduler = shard.scheduler
        self._reader = shard.reader
        self._row = shard.row
        self._changed = shard.wakeup.changed
        self._handed_over = metrics.index("relay_queue_added_entries_total", "handed_over")
        self._asked: dict[Entry, tuple[FrameProtocol, int]] = {}

    def received(self, link: FrameProtocol, message: Message) -> bool:
        """What the worker of the domain asks for; False when ``message`` is something else."""
        match message:
            case ("deliver", int() as token, log, segment, offset, indexes, str() as key, hosts, tls):
                hop = MxHosts(hosts, TlsPolicy.unpack(tls))
                self._deliver(link, token, (log, segment, offset), indexes, key, hop)
            case ("how", int() as token):
                self._how(link, token)
            case _:
                return False
        return True

    def _deliver(
        self,
        link: FrameProtocol,
        token: int,
        ref: tuple[int, int, int],
        indexes: tuple[int, ...] | None,
        key: str,
        hop: MxHosts,
    ) -> None:
        try:
            record = self._reader.load(*ref).record
        except (MissingRecord, OSError) as fault:
            cause = fault.strerror if isinstance(fault, OSError) else fault
            answer = deferred("4.3.0", f"cannot read the spool: {cause}", "store")
            link.send(("outcomes", token, (tuple(answer),)))
            return
        envelope = record.envelope
        now = now_us()
        group = self._scheduler.resolved("", key, hop, 0, now)
        count = len(indexes) if indexes is not None else len(envelope.recipients)
        entry = Entry(*ref, 0, envelope.queue_id, envelope.received_at, group, indexes, count,
                      IS_NULL_PATH | IS_FOREIGN)  # fmt: skip
        self._asked[entry] = (link, token)
        self._scheduler.add(entry, now)
        self._row[self._handed_over] += 1
        self._changed()

    def _how(self, link: FrameProtocol, token: int) -> None:
        """Answers how things are with what was asked for; not when that is over: then the outcomes are on their way."""
        for entry, asked in self._asked.items():
            if asked == (link, token):
                found = waiting(self._scheduler, entry, now_us())
                reason = found.reason
                fields = (reason.code, reason.status, reason.text, reason.stage, reason.next_hop) if reason else NOTHING
                link.send(("how", token, found.waits_for, found.next_at, *fields))
                return

    def settled(self, settled: Settled) -> None:
        """Sends the outcomes of a foreign entry home."""
        asked = self._asked.pop(settled.entry, None)
        if asked is not None:
            link, token = asked
            link.send(("outcomes", token, tuple(tuple(outcome) for outcome in settled.outcomes)))

    def lost(self, link: FrameProtocol) -> None:
        """Home is gone and will ask again: what has not begun is forgotten."""
        for entry in [entry for entry, (owner, _) in self._asked.items() if owner is link]:
            if entry.state != ACTIVE:
                del self._asked[entry]
                self._scheduler.places.forget(entry, now_us())
