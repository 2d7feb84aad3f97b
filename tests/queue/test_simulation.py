"""The scheduler in a pretend world: fairness, no head-of-line blocking, dead hosts, lifetimes, nothing lost."""

from __future__ import annotations

import random

from relay.mail.outcome import Outcome, deferred, delivered, failed
from relay.queue.entry import IS_NULL_PATH, Entry
from relay.queue.group import Settings
from tests.queue.world import BEGIN, DAY, DEAD, HOUR, MINUTE, SECOND, Host, World, policy


def test_a_huge_and_slow_next_hop_delays_no_other():
    """DESIGN 5: head-of-line blocking is a defect."""
    hosts = {"slow": Host(latency=30 * SECOND)} | {f"h{i}": Host() for i in range(50)}
    world = World(hosts, Settings(max_connections=60, per_group=20))
    for offset in range(5000):
        world.add("slow", offset)
    world.run(BEGIN + 5 * MINUTE)
    started = world.now
    for i in range(50):
        world.add(f"h{i}", 10_000 + i)
    world.run(started + 2 * SECOND)
    assert sum(offset >= 10_000 for offset in world.delivered_at) == 50
    assert hosts["slow"].most_open <= 20


def test_at_the_bound_every_group_has_its_turn():
    """200 groups of 60 messages over 20 connections: none finishes last by far, the bound is never passed."""
    hosts = {f"h{i}": Host(latency=SECOND // 10) for i in range(200)}
    world = World(hosts, Settings(max_connections=20, per_group=10, turn_messages=10))
    for n in range(60):
        for i in range(200):
            world.add(f"h{i}", n * 200 + i)
    world.run(BEGIN + HOUR)
    assert len(world.delivered_at) == 12_000
    assert world.most_total <= 20
    first = {i: min(at for offset, at in world.delivered_at.items() if offset % 200 == i) for i in range(200)}
    # A turn is ten messages of 0.1 s; 200 groups in 20 places are through the first round after some 10 turns.
    assert max(first.values()) - BEGIN < 25 * SECOND
    best_possible = 12_000 * SECOND // 10 // 20
    assert max(world.delivered_at.values()) - BEGIN < 1.5 * best_possible


def test_one_busy_group_gives_way_to_a_newcomer_at_the_bound():
    hosts = {"big": Host(latency=SECOND), "new": Host()}
    world = World(hosts, Settings(max_connections=10, per_group=10, turn_messages=50))
    for offset in range(10_000):
        world.add("big", offset)
    world.run(BEGIN + MINUTE)
    assert hosts["big"].open == 10
    world.add("new", 99_999)
    world.run(BEGIN + MINUTE + 5 * SECOND)
    assert 99_999 in world.delivered_at


def test_many_dead_next_hops_leave_connections_for_the_living():
    """Dead hosts that time out after 30 s hold a quarter of the connections at most once they are known to be dead."""
    hosts = {f"dead{i}": Host(connect_time=30 * SECOND, connect=lambda _: DEAD) for i in range(100)}
    hosts |= {f"live{i}": Host() for i in range(20)}
    world = World(hosts, Settings(max_connections=40, per_group=5, initial=1))
    for i in range(100):
        for n in range(10):
            world.add(f"dead{i}", i * 10 + n)
    world.run(BEGIN + 10 * MINUTE)
    started = world.now
    for i in range(20):
        world.add(f"live{i}", 100_000 + i)
    world.run(started + 2 * SECOND)
    assert sum(offset >= 100_000 for offset in world.delivered_at) == 20


def test_entries_of_a_dead_next_hop_wait_without_attempts_and_go_when_it_is_back():
    back_at = BEGIN + 3 * HOUR
    host = Host(connect=lambda now: None if now >= back_at else DEAD)
    world = World({"h": host})
    entries = [world.add("h", offset) for offset in range(500)]
    world.run(BEGIN + 2 * HOUR)
    assert all(entry.attempts == 0 for entry in entries)
    assert host.connects < 20
    assert world.scheduler.counts().deferred == 500
    world.run(back_at + HOUR)
    assert len(world.delivered_at) == 500
    assert host.attempts == 500
    assert world.scheduler.counts() == (0, 0, 0, 0)


def test_the_lifetime_ends_for_entries_of_a_next_hop_that_stays_dead():
    world = World({"h": Host(connect=lambda _: DEAD)}, retry=policy(lifetime=86_400.0))
    for offset in range(20):
        world.add("h", offset, flags=IS_NULL_PATH if offset % 2 else 0)
    world.run(BEGIN + 2 * DAY)
    bounces = world.notices("bounce")
    assert len(bounces) == 10  # never for the null reverse-path
    assert {outcome.status for notice in bounces for _, outcome in notice.failures} == {"4.4.7"}
    assert "connection refused" in bounces[0].failures[0][1].text
    assert world.scheduler.ledger.total() == 0
    assert world.scheduler.next_wakeup() is None or world.scheduler.counts() == (0, 0, 0, 0)


def test_a_delay_is_told_once():
    world = World({"h": Host(connect=lambda _: DEAD)})
    world.add("h", 1)
    world.run(BEGIN + 4 * DAY)
    delays = world.notices("delay")
    assert len(delays) == 1
    assert delays[0].expires_at == BEGIN + 5 * DAY
    told = next(each for each in world.settled if each.notice is delays[0])
    assert told.entry.attempts == 0


def test_concurrency_grows_with_success_up_to_the_bound():
    host = Host(latency=SECOND)
    world = World({"h": host}, Settings(per_group=12, initial=2))
    for offset in range(2_000):
        world.add("h", offset)
    world.run(BEGIN + SECOND // 2)
    assert host.most_open == 2
    world.run(BEGIN + MINUTE)
    assert host.most_open == 12


def test_a_next_hop_that_allows_few_connections_is_not_hammered():
    """Connections above three are refused: the window settles there and all is delivered."""
    host = Host(latency=SECOND)
    host.connect = lambda _: DEAD if host.open >= 3 else None
    world = World({"h": host}, Settings(per_group=20, initial=5))
    for offset in range(600):
        world.add("h", offset)
    world.run(BEGIN + HOUR)
    assert len(world.delivered_at) == 600
    assert host.connects < 300


def test_silence_from_a_next_hop_suspends_it_after_a_few_messages():
    """It greets and then loses every connection: five messages pay with an attempt, not five hundred."""
    host = Host(reply=lambda _entry, _now: deferred("4.4.2", "connection lost", "mail"))
    world = World({"h": host})
    for offset in range(500):
        world.add("h", offset)
    world.run(BEGIN + 30 * SECOND)
    assert host.attempts <= 15


def test_the_rate_limit_is_kept():
    host = Host()
    world = World({"h": host}, Settings(interval=2 * SECOND))
    for offset in range(100):
        world.add("h", offset)
    world.run(BEGIN + MINUTE)
    assert 28 <= host.attempts <= 31
    world.run(BEGIN + 4 * MINUTE)
    assert len(world.delivered_at) == 100


def test_messages_deferred_one_by_one_follow_the_retry_policy():
    """Greylisting: 451 at first, taken after five minutes."""

    def reply(entry: Entry, now: int) -> Outcome:
        if now - entry.received_at < 5 * MINUTE:
            return deferred("4.7.1", "greylisted", "rcpt", code=451)
        return delivered("2.0.0", "ok")

    host = Host(reply=reply)
    world = World({"h": host})
    for offset in range(300):
        world.add("h", offset)
    world.run(BEGIN + HOUR)
    assert len(world.delivered_at) == 300
    assert host.attempts <= 300 * 5
    assert not world.scheduler.pool.suspended  # it answered: it is not dead


def test_every_recipient_ends_exactly_once_in_a_world_of_moods():
    """I1 in small: random failures of every kind; the journal says finished for each recipient, once."""
    dice = random.Random(3)

    def moody(_entry: Entry, _now: int) -> Outcome:
        return dice.choice(
            [
                delivered("2.0.0", "ok"),
                deferred("4.2.0", f"later {dice.random()}", "rcpt", code=450),
                deferred("4.4.2", "lost", "content"),
                failed("5.1.1", "no such user", "rcpt", code=550),
                Outcome("never heard of", 0, "", "", ""),
            ]
        )

    hosts = {f"h{i}": Host(reply=moody, connect=lambda _: DEAD if dice.random() < 0.3 else None) for i in range(20)}
    world = World(hosts, Settings(max_connections=15))
    for offset in range(1000):
        world.add(f"h{offset % 20}", offset, count=1 + offset % 4, flags=IS_NULL_PATH if offset % 5 == 0 else 0)
    world.run(BEGIN + 8 * DAY)
    finished: dict[int, list[int]] = {}
    for item in world.journal:
        if item[0] == "finished":
            indexes = range(1 + item[3] % 4) if item[4] is None else item[4]
            finished.setdefault(item[3], []).extend(indexes)
    assert {offset: sorted(indexes) for offset, indexes in finished.items()} == {
        offset: list(range(1 + offset % 4)) for offset in range(1000)
    }
    assert world.scheduler.ledger.total() == 0
    assert world.scheduler.counts() == (0, 0, 0, 0)
    assert all(offset % 5 for notice in world.notices("bounce") for offset in [notice.offset])
