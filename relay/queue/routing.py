"""Where a recipient goes: its route, and the key of the group it waits in.

Recipients that share a key share connections, concurrency, rate and suspension. Keys by kind:

    local     ``local:<lane>``                 a few lanes, so that mailboxes spread over delivery workers and one
                                               message to many mailboxes stays one entry per lane
    smtp/lmtp ``smtp://host:port`` and so on   the next hop as text: domains with one next hop share one group
    mx        ``mx:<domain>``                  until DNS has answered which hosts that is (see Scheduler.resolved)
              ``mx-set:host,host``             then

Connections under one TLS policy are not for recipients under another: a policy other than ``none`` stands behind the
key of the next hop, as ``;tls=`` and its token (relay/mail/tls_policy.py). Without one the key is what it was before
there were policies, so that the shard of a group stays the same.

Order of decision: what the directory says is here, a relay domain's next hop, an address literal (RFC 5321 4.1.3), the
smarthost, MX.

A lane follows from the address alone, never from who exists: otherwise two delivery workers that see an account appear
at different moments would both leave a recipient to the other.

Not here: whether an address exists and which account it is (relay/directory), asked again when a lane delivers;
MX lookup (relay/delivery/mx.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from zlib import crc32

from relay.config.model import Config
from relay.directory.directory import Directory
from relay.mail.address import ascii_octets, literal_address
from relay.mail.next_hop import SMTP_PORT, NextHop
from relay.mail.tls_policy import NO_TLS, TlsPolicy

LOCAL_LANES: Final = 16
MX_PREFIX: Final = "mx:"
_CACHE_LIMIT: Final = 65_536


class Route:
    """Where one recipient goes."""

    __slots__ = ("domain", "key", "kind", "next_hop")

    def __init__(
        self,
        kind: Literal["local", "smtp", "lmtp", "mx"],
        key: str,
        next_hop: NextHop | None = None,
        domain: str = "",
    ) -> None:
        self.kind = kind
        self.key = key
        """Key of the group, or ``mx:<domain>``."""
        self.next_hop = next_hop
        """For smtp and lmtp."""
        self.domain = domain
        """For mx: the domain to look up, as in the envelope (U-labels stay)."""


_LANES: Final = tuple(Route("local", f"local:{lane}") for lane in range(LOCAL_LANES))


def shard_of(key: str, shards: int) -> int:
    """Which of ``shards`` delivery workers answers for the group or domain ``key``; stable between runs."""
    return crc32(key.encode("utf-8", "surrogateescape")) % shards


def group_key(next_hop: str, tls: TlsPolicy = NO_TLS) -> str:
    """The key of the group of those that go to ``next_hop`` under one policy."""
    token = tls.token
    return f"{next_hop};tls={token}" if token else next_hop


def mx_group_key(hosts: Iterable[str], tls: TlsPolicy = NO_TLS) -> str:
    """The same for the hosts of an MX set, in whatever order."""
    return group_key("mx-set:" + ",".join(sorted(hosts)), tls)


class Router:
    """Routes recipients by the configuration. Answers for other servers' domains are remembered, up to a bound."""

    def __init__(
        self,
        directory: Directory,
        next_hops: Mapping[str, NextHop],
        smarthost: NextHop | None = None,
        *,
        mx_port: int = SMTP_PORT,
    ) -> None:
        """``next_hops``: by relay domain."""
        self._directory = directory
        self._next_hops = {
            ascii_octets(domain.lower().encode("utf-8", "surrogateescape")): hop for domain, hop in next_hops.items()
        }
        self._smarthost = smarthost
        self._mx_port = mx_port
        self._known: dict[bytes, Route] = {}

    @classmethod
    def from_config(cls, config: Config, directory: Directory) -> Router:
        """The router of ``config``."""
        next_hops = {each.domain: each.next_hop for each in config.relay_domains}
        return cls(directory, next_hops, config.smarthost, mx_port=config.delivery.mx_port)

    def route(self, recipient: bytes) -> Route:
        """Where ``recipient`` (local part @ domain, domain in lower case) goes; never fails."""
        _, at, domain = recipient.rpartition(b"@")
        known = self._known.get(domain) if at else None
        if known is not None:
            return known
        if self._directory.is_here(recipient):
            return _LANES[crc32(self._directory.base(recipient)) % LOCAL_LANES]
        bare = domain.rstrip(b".")  # the same domain (RFC 1034 3.1), and the same group
        known = self._elsewhere(bare)
        if bare == self._directory.hostname:  # mail for postmaster there is delivered here
            return known
        if len(self._known) >= _CACHE_LIMIT:
            self._known.clear()
        self._known[domain] = known
        return known

    def _elsewhere(self, domain: bytes) -> Route:
        hop = self._next_hops.get(ascii_octets(domain))
        if hop is None:
            address = literal_address(domain.decode("ascii", "replace"))
            hop = self._smarthost or (NextHop("smtp", address, self._mx_port) if address else None)
        if hop is not None:
            return Route(hop.transport, group_key(str(hop), hop.tls), next_hop=hop)
        name = domain.decode("utf-8", "surrogateescape")
        return Route("mx", MX_PREFIX + name, domain=name)
