"""A DNS server of a few lines on loopback: answers from a table, counts, keeps silent when told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Zone(asyncio.DatagramProtocol):
    """``records``: (name, type) -> texts, or an rcode. Other types of a known name are empty, other names NXDOMAIN;
    both with an SOA whose MINIMUM is ``negative_ttl``."""

    def __init__(
        self, records: dict[tuple[str, str], list[str] | dns.rcode.Rcode], *, ttl: int = 60, negative_ttl: int = 30
    ):
        self.records = records
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.asked: Counter[tuple[str, str]] = Counter()
        self.silent = False
        self.held: list[tuple[bytes, tuple]] = []
        self.holds = False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if self.holds:
            self.held.append((data, addr))
            return
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        if self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = self.records.get((name, kind))
        if isinstance(found, dns.rcode.Rcode):
            response.set_rcode(found)
        elif found:
            kept = "CNAME" if (name, "CNAME") in self.records else kind
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kept, *found))
        else:
            if not any(known == name for known, _ in self.records):
                response.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns.test. host.test. 1 3600 600 86400 {self.negative_ttl}"
            response.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", soa))
        self.transport.sendto(response.to_wire(), addr)

    def release(self) -> None:
        """Answers what was held back."""
        self.holds = False
        for data, addr in self.held:
            self.datagram_received(data, addr)
        self.held.clear()


@contextlib.asynccontextmanager
async def serving(zone: Zone) -> AsyncIterator[tuple[str, int]]:
    """Serves ``zone``; yields its address and port."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: zone, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[:2]
    finally:
        transport.close()
