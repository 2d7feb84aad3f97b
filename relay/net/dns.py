"""DNS for delivery: MX and address records, asked once however many ask, remembered for as long as they may be.

Theory: an answer is a value (found, no such name, no such records, temporary failure). Answers are cached by their
TTL between a floor and a cap, negative ones by the SOA's (RFC 2308), temporary failures for a few seconds, so that a
dead resolver is not asked for each message. The cache is bounded, least recently used first out. Questions in flight
are shared. Every question has a deadline.

Not here: what an MX answer means for a message (relay/delivery/mx.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, cast

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.resolver

FOUND: Final = "found"
NO_NAME: Final = "no-name"
"""NXDOMAIN: the name does not exist."""
NO_RECORDS: Final = "no-records"
"""The name exists without records of the asked type."""
TEMPORARY: Final = "temporary"
"""SERVFAIL, REFUSED, a timeout, no reachable server: ask again later."""

MAX_RECORDS: Final = 100
"""More records of one answer are not looked at."""
SYSTEM_TTL: Final = 30.0
"""How long, in seconds, an address from the system's own resolver (which gives no TTL) is kept."""


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


class _Found(NamedTuple):
    """An answer of any type, as it is cached."""

    kind: str
    records: tuple[str | MxRecord, ...]
    text: str
    ttl: float


class Resolver:
    """A caching stub resolver for one event loop.

    ``servers`` are (address, port); empty: those of the system. ``timeout`` bounds a whole question, retries
    included. ``cache_size`` counts answers. All times in seconds; ``now`` is a monotonic clock.
    """

    def __init__(
        self,
        *,
        servers: Sequence[tuple[str, int]] = (),
        timeout: float = 10.0,
        cache_size: int = 10_000,
        min_ttl: float = 1.0,
        max_ttl: float = 3600.0,
        max_negative_ttl: float = 300.0,
        temporary_ttl: float = 5.0,
        on_answer: Callable[[str, float], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_answer(kind, seconds)`` is called after each question that was not answered from the cache."""
        self.hits = 0
        self.questions = 0
        """Answers from the cache, and questions that were asked; for metrics."""
        self._on_answer = on_answer
        self._has_own_servers = bool(servers)
        self._resolver = _stub_resolver(servers, timeout)
        self._timeout = timeout
        self._cache: OrderedDict[tuple[str, str], tuple[float, _Found]] = OrderedDict()
        self._cache_size = cache_size
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._max_negative_ttl = max_negative_ttl
        self._temporary_ttl = temporary_ttl
        self._now = now
        self._in_flight: dict[tuple[str, str], asyncio.Task[_Found]] = {}

    @property
    def cached(self) -> int:
        """Answers in the cache, those out of date included."""
        return len(self._cache)

    async def mx(self, domain: str) -> Answer:
        """The MX records of ``domain``. Never raises for what the network does."""
        found = await self._cached("MX", domain)
        return Answer(found.kind, cast("tuple[MxRecord, ...]", found.records), found.text)

    async def addresses(self, host: str) -> Addresses:
        """The AAAA and A records of ``host``. Temporary when neither was found and one of them failed temporarily."""
        v6, v4 = await asyncio.gather(self._cached("AAAA", host), self._cached("A", host))
        mixed = itertools.chain.from_iterable(itertools.zip_longest(v6.records, v4.records))
        addresses = tuple(address for address in cast("itertools.chain[str | None]", mixed) if address is not None)
        if addresses:
            return Addresses(FOUND, addresses)
        worst = next((found for found in (v4, v6) if found.kind == TEMPORARY), v4)
        return Addresses(worst.kind, (), worst.text if worst.kind != NO_RECORDS else f"{host} has no address")

    async def configured_addresses(self, host: str) -> Addresses:
        """The addresses of a host that the configuration names: an IP address, or a name as this machine knows it
        (its hosts file and search list count), unless the configuration names DNS servers of its own."""
        try:
            return Addresses(FOUND, (str(ipaddress.ip_address(host)),))
        except ValueError:
            pass
        if self._has_own_servers and host != "localhost":
            return await self.addresses(host)
        found = await self._cached("system", host)
        return Addresses(found.kind, cast("tuple[str, ...]", found.records), found.text)

    async def _cached(self, kind: str, name: str) -> _Found:
        key = (kind, name.rstrip(".").lower())
        entry = self._cache.get(key)
        if entry is not None and self._now() < entry[0]:
            self._cache.move_to_end(key)
            self.hits += 1
            return entry[1]
        task = self._in_flight.get(key)
        if task is None:
            self.questions += 1
            task = asyncio.get_running_loop().create_task(self._ask(*key))
            self._in_flight[key] = task
            task.add_done_callback(lambda _: self._in_flight.pop(key, None))
        # One who asks and gives up does not end the question for the others.
        return await asyncio.shield(task)

    async def _ask(self, kind: str, name: str) -> _Found:
        began = time.monotonic()
        question: Awaitable[_Found] = self._ask_system(name) if kind == "system" else self._ask_dns(kind, name)
        try:
            async with asyncio.timeout(self._timeout + 1.0):
                found = await question
        except Exception as fault:  # noqa: BLE001  # whatever octets of a stranger do in the library: unknown is temporary
            found = _Found(TEMPORARY, (), f"{kind} lookup of {name} failed: {_cause(fault)}", self._temporary_ttl)
        self._remember((kind, name), found)
        if self._on_answer is not None:
            self._on_answer(found.kind, time.monotonic() - began)
        return found

    def _remember(self, key: tuple[str, str], found: _Found) -> None:
        cap = self._max_ttl if found.kind == FOUND else self._max_negative_ttl
        ttl = self._temporary_ttl if found.kind == TEMPORARY else min(max(found.ttl, self._min_ttl), cap)
        self._cache[key] = (self._now() + ttl, found)
        self._cache.move_to_end(key)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    async def _ask_dns(self, kind: str, name: str) -> _Found:
        try:
            query = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_Practical)
        except (dns.exception.DNSException, ValueError):
            return _Found(NO_NAME, (), f"{name} is not a domain name", self._max_negative_ttl)
        try:
            answer = await self._resolver.resolve(query, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as nothing:
            return _Found(NO_NAME, (), f"domain {name} does not exist", _negative_ttl(nothing, self._max_negative_ttl))
        ttl = float(answer.chaining_result.minimum_ttl)
        if answer.rrset is None:
            return _Found(NO_RECORDS, (), f"{name} has no {kind} record", ttl)
        return _Found(FOUND, tuple(_record(rdata) for rdata in itertools.islice(answer.rrset, MAX_RECORDS)), "", ttl)

    async def _ask_system(self, name: str) -> _Found:
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except socket.gaierror as fault:
            kind = NO_NAME if fault.errno == socket.EAI_NONAME else TEMPORARY
            return _Found(kind, (), f"{name}: {fault.strerror}", SYSTEM_TTL)
        addresses = dict.fromkeys(str(info[4][0]) for info in infos)
        return _Found(FOUND, tuple(addresses), "", SYSTEM_TTL)


def _stub_resolver(servers: Sequence[tuple[str, int]], timeout: float) -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)  # every question then fails temporarily
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    resolver.lifetime = timeout
    resolver.timeout = max(timeout / 3, 0.1)
    resolver.use_edns(0, 0, 1232)
    return resolver


def _record(rdata: dns.rdata.Rdata) -> str | MxRecord:
    if isinstance(rdata, dns.rdtypes.ANY.MX.MX):
        host = "" if rdata.exchange == dns.name.root else rdata.exchange.to_text(omit_final_dot=True).lower()
        return MxRecord(rdata.preference, host)
    return rdata.to_text()


def _negative_ttl(nothing: dns.resolver.NXDOMAIN, default: float) -> float:
    """RFC 2308 5: the lesser of the SOA's TTL and MINIMUM, when the answer holds the SOA."""
    try:
        responses: dict[dns.name.Name, dns.message.QueryMessage] = nothing.kwargs["responses"]
        (response,) = responses.values()
        return float(response.resolve_chaining().minimum_ttl)
    except (dns.exception.DNSException, ValueError, KeyError):
        return default


def _cause(fault: Exception) -> str:
    if isinstance(fault, (dns.exception.Timeout, TimeoutError)):
        return "no answer in time"
    if isinstance(fault, dns.resolver.NoNameservers):
        return "no server could answer"
    return type(fault).__name__
