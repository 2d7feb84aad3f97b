"""Mail for strangers' domains goes where their MX records say (RFC 5321 5.1), with one and two delivery workers.

More of what two workers do for each other is in tests/dispatch/test_mx.py.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.rcode
import pytest

from relay.queue.routing import shard_of
from tests.net.dns_server import Zone
from tests.support.appliance import Appliance, wait_for
from tests.support.dns import nameserver
from tests.support.sink import SILENT, Sink

GROUP = "mx-set:a.hosts.test,b.hosts.test"
BOTH = ["10 a.hosts.test.", "20 b.hosts.test."]


def domain_in(shard: int, prefix: str = "d") -> str:
    """A domain whose MX is looked up by delivery worker ``shard`` of two."""
    return next(
        name
        for name in (f"{prefix}{number}.test" for number in itertools.count())
        if shard_of(f"mx:{name}", 2) == shard
    )


HERE = shard_of(GROUP, 2)
NEAR, FAR = domain_in(HERE), domain_in(1 - HERE)
"""Domains looked up by the worker that has the group of the hosts a and b, and by the other one."""

FAR_DEAD = domain_in(1 - shard_of("mx-set:dead.hosts.test", 2), "dead")
"""The same of a host where nobody listens."""

RECORDS: dict[tuple[str, str], list[str] | dns.rcode.Rcode] = {
    ("a.hosts.test", "A"): ["127.0.0.11"],
    ("b.hosts.test", "A"): ["127.0.0.12"],
    ("dead.hosts.test", "A"): ["127.0.0.13"],
    ("order.test", "MX"): ["20 b.hosts.test.", "10 a.hosts.test."],
    ("same.test", "MX"): BOTH,
    (NEAR, "MX"): BOTH,
    (FAR, "MX"): BOTH,
    (FAR_DEAD, "MX"): ["10 dead.hosts.test."],
    ("fallback.test", "MX"): ["10 dead.hosts.test.", "20 b.hosts.test."],
    ("dead.test", "MX"): ["10 dead.hosts.test."],
    ("plain.test", "A"): ["127.0.0.12"],
    ("null.test", "MX"): ["0 ."],
    ("fail.test", "MX"): dns.rcode.SERVFAIL,
    ("loop.test", "MX"): ["10 mx.relay.example."],
}


@dataclass
class World:
    """The appliance, the two hosts, and what they answer."""

    relay: Appliance
    a: Sink
    b: Sink
    zone: Zone


@contextmanager
def world(
    root: Path,
    workers: int,
    answer: Callable[[str, str], str | None],
    expects: tuple[str, ...] = (),
) -> Iterator[World]:
    with Sink(address="127.0.0.11", answer=answer) as a, Sink(address="127.0.0.12", port=a.port, answer=answer) as b:
        zone = Zone(dict(RECORDS))
        with nameserver(zone) as server:
            more = (
                f'[delivery]\nmx_port = {a.port}\ndns_servers = ["{server}"]\ndns_timeout = "1s"\n'
                '[queue]\nretry_first = "400ms"\nretry_max = "400ms"\n'
            )
            relay = Appliance(root, 1, delivery_workers=workers, more=more, expects=expects)
            relay.add_account("alice@local.test")
            with relay:
                yield World(relay, a, b, zone)


def takes(stage: str, argument: str) -> str | None:
    return "550 5.1.1 nobody" if stage == "rcpt" and argument.startswith("nobody@") else None


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One delivery worker for the tests that do not disturb each other."""
    with world(tmp_path_factory.mktemp("mx"), 1, takes) as shared:
        yield shared


def arrived(sink: Sink, recipient: str) -> bool:
    return any(recipient in message.recipients for message in sink.messages)


def bounce(relay: Appliance, recipient: str) -> bytes:
    """The bounce about ``recipient`` in alice's mailbox, or nothing."""
    return next((octets for octets in relay.stored("alice@local.test") if recipient.encode() in octets), b"")


def test_the_preferred_host_gets_the_mail(one: World) -> None:
    for number in range(5):
        one.relay.send(f"x{number}@order.test")
    wait_for(lambda: all(arrived(one.a, f"x{number}@order.test") for number in range(5)), 10, "all at the first host")
    assert not any(arrived(one.b, f"x{number}@order.test") for number in range(5))


def test_the_next_host_is_tried_when_the_first_refuses_connections(one: World) -> None:
    one.relay.send("x@fallback.test")
    wait_for(lambda: arrived(one.b, "x@fallback.test"), 10, lambda: f"at the second host\n{one.relay.tail()}")


def test_a_domain_without_mx_is_its_own_host(one: World) -> None:
    one.relay.send("x@plain.test")
    wait_for(lambda: arrived(one.b, "x@plain.test"), 10, "at the host of that name")


def test_an_address_literal_is_asked_directly(one: World) -> None:
    """RFC 5321 4.1.3."""
    one.relay.send("x@[127.0.0.11]")
    wait_for(lambda: arrived(one.a, "x@[127.0.0.11]"), 10, lambda: f"at that address\n{one.relay.tail()}")


@pytest.mark.parametrize(
    ("domain", "status"), [("null.test", b"5.1.10"), ("nowhere.test", b"5.1.2"), ("loop.test", b"5.4.6")]
)
def test_a_domain_that_takes_no_mail_bounces_at_once(one: World, domain: str, status: bytes) -> None:
    """RFC 7505 4.1 (null MX), RFC 5321 5.1 (no such domain; our own name)."""
    one.relay.send(f"x@{domain}", sender="alice@local.test")
    wait_for(lambda: bounce(one.relay, f"x@{domain}"), 10, lambda: f"the bounce\n{one.relay.tail()}")
    assert b"Status: " + status in bounce(one.relay, f"x@{domain}")
    wait_for(lambda: not one.relay.queue("--domain", domain), 5, "nothing left")


def test_a_lookup_that_fails_is_repeated(one: World) -> None:
    one.relay.send("x@fail.test")
    wait_for(lambda: one.relay.queue("--domain", "fail.test")[0]["status"] == "4.4.3", 10, "deferred")
    assert one.relay.queue("--domain", "fail.test")[0]["state"] == "deferred"
    one.zone.records["fail.test", "MX"] = BOTH
    wait_for(lambda: arrived(one.a, "x@fail.test"), 15, "delivered once the lookup works")


def test_hosts_that_are_all_away_are_tried_again(one: World) -> None:
    one.relay.send("x@dead.test")
    wait_for(lambda: one.relay.queue("--domain", "dead.test")[0]["status"] == "4.4.1", 10, "deferred")
    with Sink(address="127.0.0.13", port=one.a.port) as late:
        wait_for(lambda: arrived(late, "x@dead.test"), 15, "delivered once it is there")


def test_domains_with_one_mx_set_share_their_connections(one: World) -> None:
    one.relay.send("y@order.test")
    wait_for(lambda: arrived(one.a, "y@order.test"), 10, "the first message")
    before = one.a.connections
    one.relay.send("y@same.test")
    wait_for(lambda: arrived(one.a, "y@same.test"), 10, "the second message")
    assert one.a.connections == before, "over the connection of the other domain"


# ---- two delivery workers: the group of a and b lives in one of them ------------------------------------------------


def test_mail_of_either_worker_goes_out_by_the_one_that_has_the_group(tmp_path: Path) -> None:
    def answer(stage: str, argument: str) -> str | None:
        if stage == "rcpt" and argument.startswith("later@") and not late.is_set():
            return "450 4.2.0 later"
        return takes(stage, argument)

    late = threading.Event()
    with world(tmp_path, 2, answer) as two:
        relay = two.relay
        for domain in (NEAR, FAR):
            relay.send(f"ok@{domain}", f"nobody@{domain}", f"later@{domain}", sender="alice@local.test")
        wait_for(
            lambda: all(arrived(two.a, f"ok@{domain}") for domain in (NEAR, FAR)),
            10,
            lambda: f"delivered\n{relay.tail()}",
        )
        wait_for(lambda: all(bounce(relay, f"nobody@{domain}") for domain in (NEAR, FAR)), 10, "bounced")
        wait_for(
            lambda: (
                [entry["recipients"] for entry in relay.queue()]
                in ([[f"later@{NEAR}"], [f"later@{FAR}"]], [[f"later@{FAR}"], [f"later@{NEAR}"]])
            ),
            10,
            lambda: f"deferred, each once: {relay.queue()}",
        )
        assert len(relay.stored("alice@local.test")) == 2, "one bounce for each message"
        late.set()
        wait_for(lambda: all(arrived(two.a, f"later@{domain}") for domain in (NEAR, FAR)), 10, "retried")
        wait_for(lambda: not relay.queue(), 5, "an empty queue")
        taken = [recipient for message in two.a.messages for recipient in message.recipients]
        assert len(taken) == len(set(taken)) == 4, "none twice"
        # The worker of the domain keeps the entry; that of the hosts knows that nobody answers there.
        relay.send(f"x@{FAR_DEAD}")
        wait_for(lambda: [e for e in relay.queue() if e["state"] == "deferred"], 10, relay.tail)
        (entry,) = relay.queue()
        assert (entry["waits_for"], entry["stage"], entry["status"]) == ("next hop", "connect", "4.4.1")
        assert "dead.hosts.test" in entry["next_hop"]


def test_a_worker_that_is_killed_meanwhile_loses_nothing(tmp_path: Path) -> None:
    """I1. The attempt that was under way is repeated; the others wait for the successor."""
    stuck = threading.Event()

    def answer(stage: str, argument: str) -> str | None:
        if stage == "data" and not stuck.is_set():
            stuck.set()
            return SILENT
        return None

    with world(tmp_path, 2, answer, expects=("worker lost",)) as two:
        relay = two.relay
        for number in range(20):
            relay.send(f"x{number}@{FAR}")
        wait_for(stuck.is_set, 10, "an attempt under way")
        (pid,) = [pid for pid, name in relay.workers().items() if name.startswith(f"delivery-{HERE}")]
        os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: all(arrived(two.a, f"x{number}@{FAR}") for number in range(20)),
            20,
            lambda: f"all delivered\n{relay.tail(20)}",
        )
        wait_for(lambda: not relay.queue(), 10, lambda: f"an empty queue: {relay.queue()}")
        relay.kill()  # else the drain would wait for the silent connection
