"""Mail for strangers' domains, in one shard and in two: the group of some hosts lives in one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.dispatch.remote import MxHosts
from relay.mail.outcome import Outcome, deferred, failed
from relay.mail.tls_policy import TlsaRecord, dane
from relay.queue.entry import ACTIVE
from relay.queue.group import Group
from relay.queue.routing import mx_group_key, shard_of
from tests.dispatch.world import HOUR, MINUTE, Hop, World, put_off, refused

HOSTS = ("a.hosts.test", "b.hosts.test")
HERE = shard_of(f"mx-set:{','.join(HOSTS)}", 2)
"""The shard of the group of both hosts."""
DEAD = deferred("4.4.1", "cannot connect: Connection refused", "connect", next_hop="dead.hosts.test")


class Two:
    """Two shards; ``near`` and ``far`` are domains looked up by the shard of the hosts, and by the other one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.host = world.hops["a.hosts.test"]
        self.near, self.far = world.domain_in(HERE), world.domain_in(1 - HERE)
        world.domains |= {self.near: HOSTS, self.far: HOSTS}


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    world = World(tmp_path, shards=2)
    world.hops |= {host: Hop() for host in (*HOSTS, "dead.hosts.test")}
    world.hops["dead.hosts.test"].away = DEAD
    async with world:
        yield Two(world)


async def test_mail_of_either_shard_goes_out_by_the_one_that_has_the_group(two: Two) -> None:
    def answer(recipient: str) -> Outcome | None:
        name = recipient.partition("@")[0]
        return {"nobody": refused(), "later": put_off()}.get(name)

    world = two.world
    two.host.answer = answer
    for domain in (two.near, two.far):
        at = f"@{domain}".encode()
        await world.submit(b"ok" + at, b"nobody" + at, b"later" + at)
    await world.until(lambda: len(world.reports()) == 2, "one bounce for each message")
    await world.until(lambda: len(world.entries()) == 2, "the two that wait")
    assert [entry.attempts for entry in world.entries()] == [1, 1]
    assert world.shards[HERE].metric("relay_delivery_attempts_total", "smtp") == 2
    assert world.shards[1 - HERE].metric("relay_delivery_attempts_total", "smtp") == 0
    two.host.answer = lambda _: None
    await world.pass_time(2 * MINUTE)
    await world.idle()
    assert sorted(two.host.recipients) == sorted(
        f"{name}@{domain}" for name in ("ok", "later") for domain in (two.near, two.far)
    ), "none twice"


@pytest.mark.parametrize("which", ["the group's shard", "the domain's shard"])
async def test_a_shard_that_crashes_meanwhile_loses_nothing(two: Two, which: str) -> None:
    """I1. The attempt that was under way is repeated; the others wait for the successor."""
    world = two.world
    two.host.holds = True
    for number in range(20):
        await world.submit(f"x{number}@{two.far}".encode())
    await world.until(lambda: two.host.held, "an attempt under way")
    await world.replace(HERE if which == "the group's shard" else 1 - HERE)
    if which == "the group's shard":
        two.host.held.clear()  # their connections went with it
    two.host.release()
    await world.in_time(lambda: len(set(two.host.recipients)) == 20, MINUTE, "all")
    await world.idle()


async def test_a_cut_connection_in_the_other_shard_is_repeated(two: Two) -> None:
    world = two.world
    two.host.cuts = 3
    for number in range(10):
        await world.submit(f"x{number}@{two.far}".encode())
    await world.in_time(lambda: len(two.host.messages) == 10, MINUTE, "all")
    await world.idle()
    assert sorted(two.host.recipients) == sorted(f"x{number}@{two.far}" for number in range(10))
    assert two.host.cuts == 0


async def test_an_entry_that_another_shard_tries_says_why_and_until_when_it_waits(two: Two) -> None:
    """The shard of the domain keeps the entry; that of the hosts knows that nobody answers there."""
    world = two.world
    there = shard_of("mx-set:dead.hosts.test", 2)
    domain = world.domain_in(1 - there, "dead")
    world.domains[domain] = ("dead.hosts.test",)
    await world.submit(f"x@{domain}".encode())
    await world.until(lambda: world.events("no connection"), "tried")
    home = world.shards[1 - there]
    (entry,) = [each for each in home.parts.scheduler.places.entries() if each.state == ACTIVE]
    found = await home.dispatcher.remote.how(entry)
    assert found is not None
    assert found.waits_for == "next hop"
    assert found.reason is not None
    assert (found.reason.stage, found.reason.status) == ("connect", "4.4.1")
    assert "dead.hosts.test" in found.reason.next_hop


async def test_the_tls_policy_of_a_group_comes_along_to_the_shard_that_has_it(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes the attempt has to keep to it."""
    world, policy = two.world, dane((TlsaRecord(3, 1, 1, bytes(32)),), "a.hosts.test")
    monkeypatch.setattr("relay.dispatch.mx_resolution.MxHosts", lambda hosts: MxHosts(hosts, policy))
    key = mx_group_key(HOSTS, policy)
    there = shard_of(key, 2)
    domain = world.domain_in(1 - there, "checked")
    world.domains[domain] = HOSTS
    await world.submit(f"x@{domain}".encode())
    await world.idle()
    assert two.host.recipients == [f"x@{domain}"]
    group = world.shards[there].parts.scheduler.group(key)
    assert isinstance(group, Group)
    assert group.hop == MxHosts(HOSTS, policy)


async def test_no_connection_is_opened_to_a_host_of_domains_that_take_no_mail(tmp_path: Path) -> None:
    """RFC 7505 4.1 (null MX), RFC 5321 5.1 (no such domain): the messages bounce at once, as the lookup said."""
    async with World(tmp_path) as world:
        world.domains |= {"null.test": failed("5.1.10", "null.test takes no mail", "dns")}
        await world.submit(b"x@null.test", b"y@null.test")
        await world.until(world.reports, "the bounce")
        await world.idle()
        (report,) = world.reports()
        assert "Status: 5.1.10" in report.as_string()
        assert world.outcomes("x@null.test") == ["failed"]


async def test_a_lookup_that_fails_is_repeated(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.hops["a.hosts.test"] = Hop()
        world.domains["fail.test"] = deferred("4.4.3", "SERVFAIL", "dns")
        await world.submit(b"x@fail.test")
        await world.until(lambda: world.events("domain not resolved"), "looked up")
        assert not world.entries()[0].attempts
        world.domains["fail.test"] = ("a.hosts.test",)
        await world.pass_time(HOUR)
        await world.idle()
        assert world.hops["a.hosts.test"].recipients == ["x@fail.test"]


async def test_domains_with_one_set_of_hosts_share_their_connections(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.hops |= {host: Hop() for host in HOSTS}
        world.domains |= {"order.test": HOSTS, "same.test": HOSTS[::-1]}
        for domain in ("order", "same"):
            await world.submit(f"y@{domain}.test".encode())
            await world.idle()
        assert [world.hops[host].connections for host in HOSTS] == [1, 0]
        assert len(world.hops["a.hosts.test"].messages) == 2
