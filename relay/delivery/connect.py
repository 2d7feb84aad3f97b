"""Opens a connection for a group of recipients: which hosts, which addresses, in which order, until one greets us.

Theory: a next hop is a list of hosts, a host a list of addresses. Each address gets one try, with a time limit of its
own; a host that refuses the connection, the greeting or EHLO is passed over for the next one (RFC 5321 5.1). The
answer is a session that has been greeted and is already taking deliveries, or the one outcome that all recipients of
the group share: temporary when any of the hosts failed temporarily, permanent only when all were permanent.

Not here: the decision what an MX answer means (mx.py), DNS itself (relay/net/dns.py), when to try again (relay/queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from relay.delivery._client import ClientSession
    from relay.delivery.owner import Limits, Owner
    from relay.mail.next_hop import NextHop
    from relay.mail.outcome import Outcome
    from relay.net.dns import Resolver
    from relay.net.wheel import TimingWheel


class ConnectSettings(NamedTuple):
    """What all connections of a worker share."""

    hostname: str
    """Our own name: said in EHLO, and the one that makes an MX list a loop."""
    limits: Limits
    connect_timeout: float = 30.0
    """Seconds for each address."""
    mx_port: int = 25
    own_names: frozenset[str] = frozenset()
    """Further names of this host (lower case): an MX list that holds one is a loop."""
    source_v4: str = ""
    source_v6: str = ""
    """Local addresses to connect from; empty: the system's choice."""
    max_addresses: int = 20
    """Addresses tried in one attempt."""


class Connector:
    """Opens connections for one worker's loop."""

    def __init__(
        self,
        settings: ConnectSettings,
        resolver: Resolver,
        wheel: TimingWheel[ClientSession],
        *,
        shuffle: Callable[[list[Any]], object],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """``shuffle`` orders hosts of one preference in place, e.g. ``random.shuffle``."""

    async def open(self, next_hop: NextHop, owner: Owner) -> ClientSession | Outcome:
        """A greeted session with a fixed next hop (LMTP or SMTP), or why there is none.

        The session has asked ``owner`` for its first delivery before this returns.
        """
        raise NotImplementedError

    async def open_mx(self, domain: str, owner: Owner) -> ClientSession | Outcome:
        """A greeted session with a mail exchanger of ``domain`` (A-labels or an address literal), or why not."""
        raise NotImplementedError
