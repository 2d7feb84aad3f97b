"""DNS for delivery: MX and address records, asked once however many ask, remembered for as long as they may be.

Theory: an answer is a value (found, no such name, no such records, temporary failure). Answers are cached by their
TTL between a floor and a cap, negative ones by the SOA's (RFC 2308), temporary failures for a few seconds, so that a
dead resolver is not asked for each message. The cache is bounded, least recently used first out. Questions in flight
are shared. Every question has a deadline.

Not here: what an MX answer means for a message (relay/delivery/mx.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

FOUND: Final = "found"
NO_NAME: Final = "no-name"
"""NXDOMAIN: the name does not exist."""
NO_RECORDS: Final = "no-records"
"""The name exists without records of the asked type."""
TEMPORARY: Final = "temporary"
"""SERVFAIL, REFUSED, a timeout, no reachable server: ask again later."""


class MxRecord(NamedTuple):
    """One MX record. ``host`` is in lower case, without the last dot; empty for the root (null MX)."""

    preference: int
    host: str


class Answer(NamedTuple):
    """What the MX question for a name gave."""

    kind: str
    """FOUND, NO_NAME, NO_RECORDS or TEMPORARY."""
    records: tuple[MxRecord, ...] = ()
    text: str = ""
    """Why there are no records, in words for the log and the sender."""


class Addresses(NamedTuple):
    """The addresses of a host in text form, families interleaved, IPv6 first."""

    kind: str
    addresses: tuple[str, ...] = ()
    text: str = ""


class Resolver:
    """A caching stub resolver for one event loop."""

    def __init__(
        self,
        *,
        servers: Sequence[str] = (),
        timeout: float = 10.0,
        cache_size: int = 10_000,
        min_ttl: float = 1.0,
        max_ttl: float = 3600.0,
        max_negative_ttl: float = 300.0,
        temporary_ttl: float = 5.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        """``servers`` are addresses, each optionally with a port (``127.0.0.1:5353``, ``[::1]:53``); empty: those of
        the system. ``timeout`` bounds a whole question, retries included. ``now`` is a monotonic clock."""

    async def mx(self, domain: str) -> Answer:
        """The MX records of ``domain`` (A-labels). Never raises for what the network does."""
        raise NotImplementedError

    async def addresses(self, host: str) -> Addresses:
        """The AAAA and A records of ``host``. Temporary when neither was found and one of them failed temporarily."""
        raise NotImplementedError
