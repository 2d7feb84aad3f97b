"""Domains whose next hop is found by MX lookup."""

from __future__ import annotations

import pytest

from relay.mail.outcome import deferred, failed
from relay.queue.entry import IS_NULL_PATH
from tests.queue.world import BEGIN, DAY, DEAD, HOUR, MINUTE, SECOND, Host, World

DNS_DOWN = deferred("4.4.3", "DNS timed out", "dns")
NULL_MX = failed("5.1.10", "the domain takes no mail", "dns")


def add(world: World, domain: str, offset: int, flags: int = 0):
    return world.add(f"mx:{domain}", offset, domain=domain, flags=flags)


def test_domains_with_one_mx_set_share_one_group():
    world = World({"mxset:a": Host(latency=SECOND)})
    asked = []

    def resolve(key: str, domain: str) -> None:
        asked.append(domain)
        world.scheduler.resolved(key, "mxset:a", ("mx1", "mx2"), world.now + HOUR, world.now)

    world.resolve = resolve
    for n in range(100):
        add(world, f"d{n}.example", n)
        add(world, f"d{n}.example", 1000 + n)
    world.run(BEGIN + HOUR // 2)
    assert len(world.delivered_at) == 200
    assert sorted(asked) == sorted(f"d{n}.example" for n in range(100))  # each once
    assert world.hosts["mxset:a"].most_open <= 20


def test_a_lookup_is_asked_for_again_when_its_answer_is_out_of_date():
    world = World({"g": Host()})
    asked: list[int] = []

    def resolve(key: str, _domain: str) -> None:
        asked.append(world.now)
        world.scheduler.resolved(key, "g", "hosts", world.now + 10 * MINUTE, world.now)

    world.resolve = resolve
    for n in range(30):
        world.after(n * MINUTE, lambda n=n: add(world, "d.example", n))  # type: ignore[misc]
    world.run(BEGIN + HOUR)
    assert len(world.delivered_at) == 30
    assert len(asked) == 3


def test_a_temporary_failure_of_dns_makes_the_domain_wait_without_attempts():
    world = World({"g": Host()})
    asked: list[int] = []

    def resolve(key: str, _domain: str) -> None:
        asked.append(world.now)
        if world.now < BEGIN + HOUR:
            world.scheduler.unresolved(key, DNS_DOWN, world.now, 0.5)
        else:
            world.scheduler.resolved(key, "g", "hosts", world.now + HOUR, world.now)

    world.resolve = resolve
    entry = add(world, "d.example", 1)
    world.run(BEGIN + HOUR // 2)
    assert entry.attempts == 0
    assert world.scheduler.counts().deferred == 1
    assert len(asked) < 10
    world.run(BEGIN + 3 * HOUR)
    assert 1 in world.delivered_at


def test_the_lifetime_ends_when_dns_never_answers():
    world = World({})
    world.resolve = lambda key, _domain: world.scheduler.unresolved(key, DNS_DOWN, world.now, 0.5)
    add(world, "d.example", 1)
    world.run(BEGIN + 6 * DAY)
    (bounce,) = world.notices("bounce")
    assert "DNS timed out" in bounce.failures[0][1].text
    assert len(world.notices("delay")) == 1
    assert world.scheduler.ledger.total() == 0


def test_a_domain_that_takes_no_mail_fails_its_entries_but_tells_nobody_about_null_paths():
    world = World({})
    world.resolve = lambda key, _domain: world.scheduler.rejected(key, NULL_MX, world.now + HOUR)
    for n in range(5000):
        add(world, "d.example", n, flags=IS_NULL_PATH if n % 2 else 0)
    world.run(BEGIN + MINUTE)
    add(world, "d.example", 9999)  # the answer still holds
    world.run(BEGIN + 2 * MINUTE)
    assert len(world.notices("bounce")) == 2501
    assert world.scheduler.ledger.total() == 0


def test_bounces_are_made_no_faster_than_they_are_spooled():
    """I5: a million entries of a rejected domain are not a million tasks."""
    world = World({})
    world.scheduler.group("mx:d.example", None, "d.example")
    for n in range(3000):
        add(world, "d.example", n)
    world.scheduler.actions(world.now)
    world.scheduler.rejected("mx:d.example", NULL_MX, world.now + HOUR)
    notices = [action.settled.notice for action in world.scheduler.actions(world.now)]  # type: ignore[union-attr]
    assert 0 < len(notices) <= 500
    assert world.scheduler.actions(world.now) == []
    for notice in notices[:7]:
        assert notice is not None
        world.scheduler.notice_spooled(notice, world.now)
    assert world.scheduler.next_wakeup() == 0
    assert len(world.scheduler.actions(world.now)) == 7


def test_entries_move_when_the_mx_of_their_domain_does():
    """A next hop is dead; its domain gets new MX hosts; what waited for the old ones goes to the new ones."""
    world = World({"old": Host(connect=lambda _: DEAD), "new": Host()})

    def resolve(key: str, _domain: str) -> None:
        where = "old" if world.now < BEGIN + HOUR else "new"
        world.scheduler.resolved(key, where, where, world.now + 5 * MINUTE, world.now)

    world.resolve = resolve
    for n in range(50):
        add(world, "d.example", n)
    world.run(BEGIN + 2 * HOUR)
    assert len(world.delivered_at) == 50


def test_the_key_of_a_group_is_not_that_of_a_domain():
    with pytest.raises(ValueError, match="key of a domain"):
        World({}).scheduler.resolved("mx:a", "mx:b", "hosts", BEGIN, BEGIN)


def test_groups_and_domains_that_are_idle_are_forgotten():
    """I5: the table of groups does not grow with every domain ever seen."""
    world = World({"g": Host()})

    def resolve(key: str, _domain: str) -> None:
        world.scheduler.resolved(key, "g", "x", world.now + SECOND, world.now)

    world.resolve = resolve
    for n in range(20_000):
        add(world, f"d{n}.example", n)
        world.run(world.now + SECOND // 10)
    assert len(world.delivered_at) == 20_000
    assert len(world.scheduler._groups) < 2_500
