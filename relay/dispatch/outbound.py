"""Connections out: carries out what the scheduler asks for, feeds client sessions, hands outcomes on.

Not here: what stands between a client session and the scheduler (feed.py), or a lane of mailboxes and it
(lanes.py), which entry is next (relay/queue), how it is sent (relay/delivery), what an outcome changes (settle.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final, NamedTuple

from relay.delivery.connect import Connector
from relay.dispatch.connection_report import ConnectionReport
from relay.dispatch.feed import Feed
from relay.dispatch.feeds import Feeds
from relay.dispatch.lanes import LocalFeed
from relay.dispatch.log_links import LogLinks
from relay.dispatch.remote import MxHosts, RemoteFeeds, RemoteGroup
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.dispatch.tasks import report_failure
from relay.mail.next_hop import NextHop
from relay.mail.outcome import FAILED, Outcome, deferred
from relay.mda.lane import Mda
from relay.net.clock import now_us
from relay.queue.group import Connection
from relay.queue.routing import Router

DRAIN_PATIENCE: Final = 5.0
"""Seconds that a drain waits for next hops which have no content to answer for."""
REFUSED_SECONDS: Final = 60
"""How long a permanent refusal by all hosts of a domain counts for further messages."""


class Ways(NamedTuple):
    """The ways out of a shard."""

    connector: Connector
    """To next hops."""
    report: ConnectionReport
    links: LogLinks
    """To the other delivery workers, and to all that read our log."""
    router: Router
    """Which of them a recipient goes."""
    mda: Mda
    """To mailboxes."""


class Outbound:
    """All connections of one delivery worker."""

    def __init__(self, shard: Shard, feeds: Feeds, settler: Settler, remote: RemoteFeeds, ways: Ways) -> None:
        self._shard = shard
        self._scheduler = shard.scheduler
        self._feeds = feeds
        self._settler = settler
        self._remote = remote
        self._connector = ways.connector
        self._report = ways.report
        self._mda = ways.mda

    def connect(self, connection: Connection) -> None:
        """Carries out Connect; not in a drain, which would not see the connection that is being opened."""
        if self._feeds.is_draining:
            return
        if connection.group.hop is None:
            feed = LocalFeed(self._shard, self._feeds, self._settler, self._mda, connection)
            self._shard.tasks.start(feed.run())
        elif isinstance(connection.group.hop, RemoteGroup):
            self._remote.connect(connection, connection.group.hop)
        else:
            self._shard.tasks.start(self._open_session(connection))

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

    def look(self) -> None:
        """Looks after local deliveries that are slow; several times a second."""
        self._mda.runs.turn()

    async def drain(self, seconds: float) -> None:
        """Takes nothing more and lets what is being sent end, for ``seconds`` at most; then cuts what is left.

        A next hop that is slow to answer is not waited for to the end: after a part of the time, whatever it cannot
        have accepted is taken back. What it may have accepted is worth the wait, or it would come twice.
        """
        self._feeds.is_draining = True
        for feed in list(self._feeds.open):
            feed.quit()
        began = time.monotonic()
        await self._until_quiet(began + min(DRAIN_PATIENCE, seconds / 2))
        for feed in list(self._feeds.open):
            feed.withdraw()
        await self._until_quiet(began + seconds)
        for feed in list(self._feeds.open):
            feed.abort()
        self._shard.tasks.cancel()
        await asyncio.sleep(0)
        self._mda.runs.close()

    async def _until_quiet(self, deadline: float) -> None:
        while self._feeds.open and time.monotonic() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)

    async def _open_session(self, connection: Connection) -> None:
        feed = Feed(self._shard, self._feeds, self._settler, connection)
        hop = connection.group.hop
        try:
            if isinstance(hop, MxHosts):
                answer = await self._connector.open_hosts(hop.hosts, feed)
            else:
                assert isinstance(hop, NextHop)
                answer = await self._connector.open(hop, feed)
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            report_failure("connection not opened", fault)
            answer = deferred("4.3.0", f"internal error: {type(fault).__name__}", "connect")
        if isinstance(answer, Outcome):
            if feed.is_open:  # greeted, and lost before open() returned: closed() has done the rest
                self._report.lost()
                return
            self._report.failed(connection.group.key, answer)
            if answer.kind == FAILED and isinstance(hop, MxHosts):
                self._refuse_domains(connection, answer)
            self._scheduler.connection_failed(connection, answer, now_us(), random.random())
            self._shard.wakeup.changed()

    def _refuse_domains(self, connection: Connection, outcome: Outcome) -> None:
        """All hosts have refused mail for these domains for good: their messages fail now."""
        until = now_us() + REFUSED_SECONDS * 1_000_000
        for domain in list(connection.group.domains):
            self._scheduler.rejected(domain.key, outcome, until)
