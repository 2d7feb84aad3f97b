"""Connecting to the mail exchangers of a domain: DNS and SMTP servers on loopback."""

from __future__ import annotations

import dns.rcode
import pytest

from relay.delivery._client import ClientSession
from relay.delivery.connect import Connector, ConnectSettings
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED, Outcome
from relay.net.dns import Resolver
from tests.delivery.network import serving, turning
from tests.delivery.peer import Peer, RecordingOwner, message
from tests.net import dns_server
from tests.support.waiting import reached


async def attempt(records: dict, domain: str, *, peer=Peer, **settings):
    """What ``open_mx`` gives for ``domain``, the owner, and which hosts were tried."""
    tried: list[str] = []

    class Watched(Connector):
        async def _try(self, owner, host, address, port, *, lmtp=False):
            tried.append(host)
            return await super()._try(owner, host, address, port, lmtp=lmtp)

    owner = RecordingOwner([message(1, 1)])
    async with dns_server.serving(dns_server.Zone(records)) as server, serving(peer) as port, turning() as ground:
        shared = ConnectSettings(
            "relay.test", mx_port=port, **{"allows_loopback": True, "max_addresses": 5, **settings}
        )
        connector = Watched(shared, Resolver(servers=[server], timeout=0.5), *ground, shuffle=list.sort)
        client = await connector.open_mx(domain, owner)
        if isinstance(client, ClientSession):
            client.quit()
            await reached(lambda: owner.closings)
    return client, owner, tried


ILL: dict = {("ill.test", "A"): dns.rcode.SERVFAIL}
ADDRESS = {("a.test", "A"): ["127.0.0.1"], ("b.test", "A"): ["127.0.0.1"], ("dead.test", "A"): ["127.0.0.9"]}


@pytest.mark.parametrize(
    ("records", "tried"),
    [
        ({("x.test", "MX"): ["10 a.test.", "5 dead.test."]}, ["dead.test", "a.test"]),
        ({("x.test", "MX"): ["10 b.test.", "10 a.test."]}, ["a.test"]),
        ({("x.test", "MX"): ["5 nothing.test.", "10 a.test."]}, ["a.test"]),
        ({("x.test", "A"): ["127.0.0.1"]}, ["x.test"]),
    ],
)
async def test_the_best_host_that_greets_gets_the_mail(records, tried):
    client, owner, hosts = await attempt({**ADDRESS, **records}, "x.test")
    assert isinstance(client, ClientSession)
    assert hosts == tried
    assert owner.of(0)[0].kind == DELIVERED
    assert owner.of(0)[0].next_hop.startswith(f"{tried[-1]}[127.0.0.1]:")


async def test_an_address_literal_needs_no_dns():
    client, owner, _ = await attempt({}, "[127.0.0.1]")
    assert isinstance(client, ClientSession)
    assert owner.of(0)[0].kind == DELIVERED


@pytest.mark.parametrize(
    ("records", "domain", "kind", "status"),
    [
        ({}, "nothing.test", FAILED, "5.1.2"),
        ({}, "[nonsense]", FAILED, "5.1.2"),
        ({("x.test", "MX"): ["0 ."]}, "x.test", FAILED, "5.1.10"),
        ({("x.test", "MX"): ["0 relay.test."]}, "x.test", FAILED, "5.4.6"),
        ({("x.test", "MX"): dns.rcode.SERVFAIL}, "x.test", DEFERRED, "4.4.3"),
        ({("x.test", "TXT"): ["x"]}, "x.test", FAILED, "5.1.2"),
        ({("x.test", "MX"): ["1 nothing.test.", "2 nix.test."]}, "x.test", FAILED, "5.1.2"),
        ({("x.test", "MX"): ["1 nothing.test.", "2 ill.test."], **ILL}, "x.test", DEFERRED, "4.4.3"),
        ({("x.test", "MX"): ["1 dead.test."]}, "x.test", DEFERRED, "4.4.1"),
    ],
)  # fmt: skip
async def test_what_ends_the_matter(records, domain, kind, status):
    why, owner, _ = await attempt({**ADDRESS, **records}, domain)
    assert isinstance(why, Outcome)
    assert (why.kind, why.status) == (kind, status)
    assert not owner.taken


@pytest.mark.parametrize(
    ("greetings", "kind"),
    [
        ([b"554 no", b"554 no"], FAILED),
        ([b"421 busy", b"554 no"], DEFERRED),
        ([b"554 no", b"421 busy"], DEFERRED),
    ],
)
async def test_refusing_hosts_are_permanent_only_when_all_are(greetings, kind):
    greetings = list(greetings)
    records = {**ADDRESS, ("x.test", "MX"): ["1 a.test.", "2 b.test."]}
    why, _, tried = await attempt(records, "x.test", peer=lambda: Peer({("banner", 0): greetings.pop(0)}))
    assert isinstance(why, Outcome)
    assert why.kind == kind
    assert tried == ["a.test", "b.test"]


async def test_an_exchanger_that_points_to_our_loopback_is_a_loop():
    records = {**ADDRESS, ("x.test", "MX"): ["1 a.test."]}
    why, _, tried = await attempt(records, "x.test", allows_loopback=False)
    assert isinstance(why, Outcome)
    assert (why.kind, why.status, tried) == (FAILED, "5.4.6", [])


async def test_a_domain_with_very_many_exchangers_costs_a_bounded_number_of_tries():
    """I5."""
    records: dict = {("x.test", "MX"): [f"{number} h{number}.test." for number in range(30)]}
    records |= {(f"h{number}.test", "A"): ["127.0.0.9"] for number in range(30)}
    _, _, tried = await attempt(records, "x.test")
    assert len(tried) == 5
