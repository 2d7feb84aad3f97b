"""Where a recipient goes: its route, and the key of the group it waits in.

Recipients that share a key share connections, concurrency, rate and suspension. Keys by kind:

    local     ``local:<lane>``                 a few lanes, so that mailboxes spread over delivery workers and one
                                               message to many mailboxes stays one entry per lane
    smtp/lmtp ``smtp://host:port`` and so on   the next hop as text: domains with one next hop share one group
    mx        ``mx:<domain>``                  until DNS has said which hosts that is (see Scheduler.resolved)

Order of decision: a local domain, a relay domain's next hop, an address literal (RFC 5321 4.1.3), the
smarthost, MX.

Not here: whether the recipient is acceptable (relay/policy); MX lookup (relay/delivery/mx.py).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, Literal, NamedTuple
from zlib import crc32

from relay.config.model import Config
from relay.mail.next_hop import SMTP_PORT, NextHop

LOCAL_LANES: Final = 16
MX_PREFIX: Final = "mx:"
_CACHE_LIMIT: Final = 65_536


class Route(NamedTuple):
    """What the router says about one recipient."""

    kind: Literal["local", "smtp", "lmtp", "mx"]
    key: str
    """Key of the group, or ``mx:<domain>``."""
    next_hop: NextHop | None = None
    """For smtp and lmtp."""
    mailbox: bytes = b""
    """For local: the address of the account, sub-addressing removed."""
    domain: str = ""
    """For mx: the domain to look up, as in the envelope (U-labels stay)."""


def shard_of(key: str, shards: int) -> int:
    """Which of ``shards`` delivery workers answers for the group or domain ``key``; stable between runs."""
    return crc32(key.encode("utf-8", "surrogateescape")) % shards
