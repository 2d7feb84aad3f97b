"""Opens a connection for a group of recipients: which hosts, which addresses, in which order, until one greets us.

Theory: a next hop is a list of hosts, a host a list of addresses. Each address gets one try, with a time limit of its
own; one that refuses the connection, the greeting or EHLO is passed over for the next (RFC 5321 5.1). The answer is a
session that has been greeted and is already taking deliveries, or the one outcome that all recipients of the group
share: temporary when any of the hosts failed temporarily, permanent only when all were permanent.

Not here: the decision what an MX answer means (mx.py), DNS itself (relay/net/dns.py), when to try again (relay/queue).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from relay.delivery._client import ClientSession
from relay.delivery.mx import leads_back, mx_hosts, no_addresses
from relay.delivery.owner import Limits, Owner
from relay.mail.address import literal_address
from relay.mail.outcome import FAILED, Outcome, deferred, failed
from relay.net.dns import FOUND, Addresses, Resolver

if TYPE_CHECKING:
    from relay.config.model import Config
    from relay.delivery.chunking import Chunking
    from relay.mail.next_hop import NextHop
    from relay.net._poll import Poll
    from relay.net.wheel import TimingWheel


class ConnectSettings(NamedTuple):
    """What all connections of a worker share."""

    hostname: str
    """Our own name: said in EHLO, and the one that makes an MX list a loop."""
    limits: Limits = Limits()
    mx_port: int = 25
    own_names: frozenset[str] = frozenset()
    """Further names of this host (lower case): an MX list that holds one is a loop."""
    source_address: str = ""
    """Local address to connect from, for peers of the same family; empty: the system's choice."""
    max_addresses: int = 20
    """Addresses tried in one attempt."""
    allows_loopback: bool = False
    """Whether an MX may point to this host's loopback; only on a port that is not 25, so for tests."""

    @classmethod
    def of(cls, config: Config) -> ConnectSettings:
        """The settings that the configuration gives."""
        return cls(
            hostname=config.hostname,
            limits=Limits.of(config.delivery),
            mx_port=config.delivery.mx_port,
            source_address=config.delivery.source_address,
            allows_loopback=config.delivery.mx_port != 25,
        )


class Connector:
    """Opens connections for one worker's loop. ``shuffle`` orders hosts of one preference in place, e.g.
    ``random.shuffle``."""

    def __init__(
        self,
        settings: ConnectSettings,
        resolver: Resolver,
        wheel: TimingWheel,
        poll: Poll,
        *,
        shuffle: Callable[[list[Any]], object],
        chunking: Chunking | None = None,
        on_opened: Callable[[float, float], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """``poll`` is what the sessions' sockets are on; without ``chunking`` contents go by DATA.
        ``on_opened(connect_seconds, greeting_seconds)`` is called for each session that was greeted."""
        self._settings = settings
        self._hostname = settings.hostname.encode("ascii")
        self._own_names = settings.own_names | {settings.hostname.lower()}
        self._resolver = resolver
        self._wheel = wheel
        self._poll = poll
        self._shuffle = shuffle
        self._chunking = chunking
        self._on_opened = on_opened
        self._loop = loop or asyncio.get_running_loop()

    async def open(self, next_hop: NextHop, owner: Owner) -> ClientSession | Outcome:
        """A greeted session with a fixed next hop (LMTP or SMTP), or why there is none.

        The session has asked ``owner`` for its first delivery before this returns, and may even be over by then.
        A name that does not exist is temporary here: it is the configuration that is wrong, not the address.
        """
        lmtp = next_hop.transport == "lmtp"
        if next_hop.path:
            return await self._try(owner, next_hop.path, "", 0, lmtp=lmtp)
        found = await self._resolver.configured_addresses(next_hop.host)
        attempt = _Attempt(deferred("4.4.3", found.text, "dns", next_hop=next_hop.host))
        for address in found.addresses[: self._settings.max_addresses]:
            attempt.note(await self._try(owner, next_hop.host, address, next_hop.port, lmtp=lmtp))
            if attempt.session is not None:
                break
        return attempt.result

    async def exchangers(self, domain: str) -> tuple[str, ...] | Outcome:
        """The hosts that take mail for ``domain`` (a domain name or an address literal), best first, or why not."""
        if literal_address(domain):
            return (domain,)
        if domain.startswith("["):
            return failed("5.1.2", f"{domain} is not an address literal", "dns")
        return mx_hosts(domain, await self._resolver.mx(domain), self._own_names, self._shuffle)

    async def open_mx(self, domain: str, owner: Owner) -> ClientSession | Outcome:
        """A greeted session with a mail exchanger of ``domain`` (a domain name or an address literal), or why not."""
        hosts = await self.exchangers(domain)
        return hosts if isinstance(hosts, Outcome) else await self.open_hosts(hosts, owner, domain)

    async def open_hosts(self, hosts: tuple[str, ...], owner: Owner, domain: str = "") -> ClientSession | Outcome:
        """A greeted session with one of ``hosts`` (names or address literals), tried in order, or why not.

        ``domain``, or else the first host, is named in the outcome.
        """
        domain = domain or hosts[0]
        hosts = hosts[: self._settings.max_addresses]
        without: list[Addresses] = []
        attempt = _Attempt(failed("5.4.6", f"mail for {domain} would come back to this host", "dns"))
        tries = self._settings.max_addresses
        for host in hosts:
            literal = literal_address(host)
            found = Addresses(FOUND, (literal,)) if literal else await self._resolver.addresses(host)
            if not found.addresses:
                without.append(found)
            for address in found.addresses:
                if tries > 0 and (self._settings.allows_loopback or not leads_back(address)):
                    tries -= 1
                    attempt.note(await self._try(owner, host, address, self._settings.mx_port))
                if attempt.session is not None:
                    return attempt.session
        if len(without) == len(hosts):
            return no_addresses(without, domain)
        if without and attempt.outcome.kind == FAILED:
            attempt.note(no_addresses(without, domain))
        return attempt.outcome

    async def _try(
        self, owner: Owner, host: str, address: str, port: int, *, lmtp: bool = False
    ) -> ClientSession | Outcome:
        """One address, or the Unix socket at ``host`` when there is none."""
        name = f"{host}[{address}]:{port}" if address and address != host else f"{host}:{port}" if address else host
        greeted: asyncio.Future[Outcome | None] = self._loop.create_future()
        client = ClientSession(
            self._hostname, self._settings.limits, owner, self._wheel, self._loop, name, lmtp=lmtp,
            chunking=self._chunking, on_greeted=lambda why: None if greeted.done() else greeted.set_result(why),
        )  # fmt: skip
        began = self._loop.time()
        try:
            client.connect(self._poll, self._begin(host, address, port))
        except OSError as fault:
            return deferred("4.4.1", f"cannot connect: {fault.strerror or fault}", "connect", next_hop=name)
        try:
            why = await greeted  # bounded by the session's own deadlines
        except BaseException:
            client.abort()
            raise
        if why is not None:
            return why
        if self._on_opened is not None:
            self._on_opened(client.connected_at - began, self._loop.time() - client.connected_at)
        return client

    def _begin(self, host: str, address: str, port: int) -> int:
        """A socket that is being connected. OSError when that is known to fail at once."""
        if not address:
            return begin_connecting(socket.AF_UNIX, host)
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        family, _, _, _, peer = found[0]
        source = self._settings.source_address
        return begin_connecting(family, peer, source if (":" in source) == (":" in address) else "")


def begin_connecting(family: int, peer: Any, source: str = "") -> int:
    """A non-blocking socket, the caller's, that is connected to ``peer`` or will say how that ended when it becomes
    writable. OSError when that is known to fail at once."""
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)) as opened:
        if family != socket.AF_UNIX:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a content's last segment waits for no ACK
        if source:
            opened.bind((source, 0))
        error = opened.connect_ex(peer)
        if error not in {0, errno.EINPROGRESS}:
            raise OSError(error, os.strerror(error))
        return opened.detach()


class _Attempt:
    """What has come of the tries so far."""

    def __init__(self, outcome: Outcome) -> None:
        self.session: ClientSession | None = None
        self.outcome = outcome
        self._is_noted = False

    def note(self, result: ClientSession | Outcome) -> None:
        """A session ends the search. The last temporary outcome stands, or else the last one."""
        if not isinstance(result, Outcome):
            self.session = result
        elif not self._is_noted or result.kind != FAILED or self.outcome.kind == FAILED:
            self.outcome = result
            self._is_noted = True

    @property
    def result(self) -> ClientSession | Outcome:
        return self.session or self.outcome
