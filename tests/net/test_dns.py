"""The caching resolver against a DNS server on loopback."""

from __future__ import annotations

import asyncio

import dns.rcode
import pytest

from relay.net.dns import FOUND, NO_NAME, NO_RECORDS, TEMPORARY, MxRecord, Resolver
from tests.net.dns_server import Zone, serving
from tests.support.waiting import reached

RECORDS: dict = {
    ("example.test", "MX"): ["20 Backup.Example.test.", "10 mx.example.test."],
    ("null.test", "MX"): ["0 ."],
    ("mx.example.test", "A"): ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    ("mx.example.test", "AAAA"): ["2001:db8::1"],
    ("v4.test", "A"): ["192.0.2.9"],
    ("half.test", "A"): dns.rcode.SERVFAIL,
    ("half.test", "AAAA"): ["2001:db8::9"],
    ("broken.test", "MX"): dns.rcode.SERVFAIL,
    ("refused.test", "MX"): dns.rcode.REFUSED,
    ("broken.test", "A"): dns.rcode.SERVFAIL,
    ("xn--bcher-kva.test", "MX"): ["10 mx.example.test."],
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def resolver(server, clock=None, **options) -> Resolver:
    return Resolver(servers=[server], now=clock or Clock(), **{"timeout": 3.0, **options})


async def test_mx_records_are_found_in_lower_case():
    async with serving(Zone(RECORDS)) as server:
        answer = await resolver(server).mx("Example.TEST.")
    assert answer.kind == FOUND
    assert set(answer.records) == {MxRecord(10, "mx.example.test"), MxRecord(20, "backup.example.test")}


async def test_questions_are_told_and_answers_from_the_cache_are_not():
    told = []
    async with serving(Zone(RECORDS)) as server:
        asked = resolver(server, on_answer=lambda kind, seconds: told.append((kind, seconds >= 0)))
        for _ in range(3):
            await asked.mx("example.test")
        await asked.mx("nothing.test")
    assert told == [(FOUND, True), (NO_NAME, True)]
    assert (asked.hits, asked.cached) == (2, 2)


async def test_the_null_mx_has_an_empty_host():
    """RFC 7505."""
    async with serving(Zone(RECORDS)) as server:
        assert (await resolver(server).mx("null.test")).records == (MxRecord(0, ""),)


async def test_a_domain_in_its_own_script_is_asked_by_its_a_labels():
    async with serving(Zone(RECORDS)) as server:
        assert (await resolver(server).mx("bücher.test")).kind == FOUND


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        ("nothing.test", NO_NAME),
        ("v4.test", NO_RECORDS),
        ("broken.test", TEMPORARY),
        ("refused.test", TEMPORARY),
        ("a..b", NO_NAME),
        ("x" * 64 + ".test", NO_NAME),
        (".".join(["x" * 60] * 5), NO_NAME),
        ("\udcff.test", NO_NAME),
    ],
)
async def test_what_is_not_found_says_why(domain, kind):
    async with serving(Zone(RECORDS)) as server:
        answer = await resolver(server).mx(domain)
    assert (answer.kind, answer.records) == (kind, ())
    assert answer.text


async def test_a_silent_server_is_temporary_within_the_deadline():
    zone = Zone(RECORDS)
    zone.silent = True
    async with serving(zone) as server:
        answer = await asyncio.wait_for(resolver(server, timeout=0.2).mx("example.test"), 5)
    assert answer.kind == TEMPORARY
    assert answer.text == "MX lookup of example.test failed: no answer in time"


async def test_addresses_of_both_families_alternate_and_ipv6_is_first():
    async with serving(Zone(RECORDS)) as server:
        found = await resolver(server).addresses("mx.example.test")
    assert found.kind == FOUND
    assert found.addresses[0] == "2001:db8::1"
    assert set(found.addresses[1:]) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


@pytest.mark.parametrize(
    ("host", "kind", "addresses"),
    [
        ("v4.test", FOUND, ("192.0.2.9",)),
        ("half.test", FOUND, ("2001:db8::9",)),
        ("broken.test", TEMPORARY, ()),
        ("example.test", NO_RECORDS, ()),
        ("nothing.test", NO_NAME, ()),
    ],
)
async def test_one_family_is_enough_and_a_failure_of_either_is_temporary(host, kind, addresses):
    async with serving(Zone(RECORDS)) as server:
        found = await resolver(server).addresses(host)
    assert (found.kind, found.addresses) == (kind, addresses)


async def asked_again_after(clock: Clock, seconds: float, domain: str, zone: Zone, **options) -> bool:
    async with serving(zone) as server:
        dns_resolver = resolver(server, clock, **options)
        await dns_resolver.mx(domain)
        first = zone.asked[domain, "MX"]
        clock.now += seconds
        await dns_resolver.mx(domain)
        return zone.asked[domain, "MX"] > first


@pytest.mark.parametrize(
    ("domain", "zone", "options", "seconds"),
    [
        ("example.test", {"ttl": 60}, {}, 60),
        ("example.test", {"ttl": 100_000}, {"max_ttl": 3600.0}, 3600),
        ("example.test", {"ttl": 0}, {"min_ttl": 5.0}, 5),
        ("nothing.test", {"negative_ttl": 40}, {}, 40),
        ("v4.test", {"negative_ttl": 40}, {}, 40),
        ("nothing.test", {"negative_ttl": 100_000}, {"max_negative_ttl": 300.0}, 300),
        ("broken.test", {}, {"temporary_ttl": 5.0}, 5),
    ],
)
async def test_answers_are_remembered_for_their_time_and_no_longer(domain, zone, options, seconds):
    """RFC 2308 for the negative ones."""
    assert not await asked_again_after(Clock(), seconds - 0.01, domain, Zone(RECORDS, **zone), **options)
    assert await asked_again_after(Clock(), seconds, domain, Zone(RECORDS, **zone), **options)


async def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago():
    """I5."""
    zone = Zone(RECORDS)
    async with serving(zone) as server:
        dns_resolver = resolver(server, cache_size=2)
        for domain in ("example.test", "null.test", "example.test", "v4.test", "example.test", "null.test"):
            await dns_resolver.mx(domain)
        assert len(dns_resolver._cache) == 2
    assert zone.asked == {("example.test", "MX"): 1, ("null.test", "MX"): 2, ("v4.test", "MX"): 1}
    assert (dns_resolver.hits, dns_resolver.questions) == (2, 4)


async def test_many_who_ask_the_same_share_one_question_and_one_who_leaves_does_not_end_it():
    zone = Zone(RECORDS)
    zone.holds = True
    async with serving(zone) as server:
        dns_resolver = resolver(server, timeout=5)
        askers = [asyncio.ensure_future(dns_resolver.mx("example.test")) for _ in range(50)]
        await reached(lambda: zone.held)
        askers[0].cancel()
        zone.release()
        answers = await asyncio.gather(*askers[1:])
        assert askers[0].cancelled()
    assert all(answer.kind == FOUND for answer in answers)
    assert zone.asked["example.test", "MX"] == 1
    assert not dns_resolver._in_flight


async def test_configured_hosts_may_be_addresses_or_names_this_machine_knows():
    assert (await Resolver().configured_addresses("192.0.2.7")).addresses == ("192.0.2.7",)
    assert (await Resolver().configured_addresses("2001:db8::7")).addresses == ("2001:db8::7",)
    assert "127.0.0.1" in (await Resolver().configured_addresses("localhost")).addresses
    async with serving(Zone(RECORDS)) as server:
        assert (await resolver(server).configured_addresses("v4.test")).addresses == ("192.0.2.9",)
