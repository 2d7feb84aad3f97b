"""Finds the group of hosts that takes mail for a domain (RFC 5321 5.1), for the scheduler, which asks for it.

The group may live in another delivery worker (DESIGN section 5): then it is a ``RemoteGroup`` here.

Limit: LOOKUPS domains are looked up at once; the others wait for their turn in the order in which they were asked for.
Each lookup has the resolver's deadline. The scheduler asks for a domain again only when it has an answer.

Not here: DNS (relay/net/dns.py), what an MX answer means (relay/delivery/mx.py), when a domain is asked for
(relay/queue/domains.py).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from relay.dispatch.remote import MxHosts, RemoteGroup
from relay.dispatch.shard import Shard
from relay.dispatch.tasks import report_failure
from relay.mail.outcome import FAILED, Outcome, deferred
from relay.net.clock import now_us
from relay.queue.routing import mx_group_key, shard_of

RESOLVED_SECONDS: Final = 300
"""How long a domain keeps the group that DNS gave it; the resolver's cache keeps to the TTLs."""
LOOKUPS: Final = 500
"""Domains looked up at once: each takes a socket or two."""

Exchangers = Callable[[str], Awaitable[tuple[str, ...] | Outcome]]
"""The hosts that take mail for a domain, best first, or why there are none (relay.delivery.connect.Connector)."""


class MxResolution:
    """For one shard."""

    def __init__(self, shard: Shard, exchangers: Exchangers) -> None:
        self._shard = shard
        self._place = shard.place
        self._exchangers = exchangers
        self._waiting: deque[tuple[str, str]] = deque()
        self._running = 0

    def resolve(self, key: str, domain: str) -> None:
        """Carries out Resolve."""
        self._waiting.append((key, domain))
        if self._running < LOOKUPS:
            self._running += 1
            self._shard.tasks.start(self._work())

    async def _work(self) -> None:
        """Looks up one domain after the other while any wait."""
        try:
            while self._waiting:
                key, domain = self._waiting.popleft()
                self._answered(key, domain, await self._look_up(domain))
        finally:
            self._running -= 1

    async def _look_up(self, domain: str) -> tuple[str, ...] | Outcome:
        try:
            return await self._exchangers(domain)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            report_failure("domain not looked up", fault)
            return deferred("4.4.3", f"internal error: {type(fault).__name__}", "dns")

    def _answered(self, key: str, domain: str, hosts: tuple[str, ...] | Outcome) -> None:
        now = now_us()
        until = now + RESOLVED_SECONDS * 1_000_000
        if isinstance(hosts, Outcome):
            self._unresolved(key, domain, hosts, now, until)
        else:
            self._resolved(key, hosts, now, until)
        self._shard.wakeup.changed()

    def _resolved(self, key: str, hosts: tuple[str, ...], now: int, until: int) -> None:
        here = MxHosts(hosts)
        group_key = mx_group_key(here.hosts, here.tls)
        number = shard_of(group_key, self._place.shards)
        hop = here if number == self._place.shard else RemoteGroup(number, group_key, here)
        self._shard.scheduler.resolved(key, group_key, hop, until, now)

    def _unresolved(self, key: str, domain: str, why: Outcome, now: int, until: int) -> None:
        self._shard.sink.event("warning", "domain not resolved", domain=domain, outcome=why.kind, status=why.status,
                               text=why.text)  # fmt: skip
        if why.kind == FAILED:
            self._shard.scheduler.rejected(key, why, until)
        else:
            self._shard.scheduler.unresolved(key, why, now, random.random())
