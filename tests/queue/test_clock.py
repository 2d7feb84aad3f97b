"""The wall clock is set, forwards or back: every duration stays what it is (docs/ARCHITECTURE.md 5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.outcome import Outcome, deferred, delivered
from relay.net import clock
from relay.queue.commands import hold
from relay.queue.entry import DeadlineWheel, DueWheel, Entry
from relay.queue.ledger import CopyLimits, Ledger
from tests.queue.test_recovery import Bench
from tests.queue.world import BEGIN, DAY, DEAD, HOUR, ID, MINUTE, SECOND, Host, World, envelope, policy

JUMPS = [-400 * DAY, -DAY, -HOUR, -SECOND, SECOND, 37 * SECOND, HOUR, DAY, 400 * DAY]


def set_clock(world: World, delta: int) -> None:
    """The wall clock is set; what the world has ahead comes after the same time as without."""
    world.now += delta
    world.events = [(at + delta, count, event) for at, count, event in world.events]
    world.scheduler.rebased(delta, world.now)


def story(delta: int, after: int) -> list[tuple[int, str]]:
    """What happens to messages of all kinds, and when, with the jump taken out again."""
    told: list[tuple[int, str]] = []
    moved = 0

    def note(what: str) -> None:
        told.append((world.now - moved - BEGIN, what))

    def reply(entry: Entry, now: int) -> Outcome:
        note(f"tried {entry.offset}")
        is_late = now - moved - BEGIN > 7 * HOUR
        return (
            delivered("2.0.0", "ok") if entry.offset == 1 and is_late else deferred("4.2.0", "later", "rcpt", code=450)
        )

    def connect(now: int) -> Outcome | None:
        note("connect to dead")
        return DEAD if now - moved - BEGIN < 9 * HOUR else None

    world = World({"h": Host(reply=reply), "dead": Host(connect=connect)}, retry=policy(lifetime=86_400, jitter=0.0))
    world.random = random.Random(5)
    world.add("h", 1)
    world.add("h", 2)
    world.add("dead", 3)
    hold(world.scheduler, world.add("h", 4), world.now)
    world.run(BEGIN + after)
    set_clock(world, delta)
    moved = delta
    world.add("h", 5)
    world.run(BEGIN + delta + 3 * DAY)
    notices = [settled.notice for settled in world.settled if settled.notice is not None]
    return told + [(-1, f"{notice.kind} about {notice.offset}") for notice in notices]


@pytest.mark.parametrize("after", [0, 30 * SECOND, 3 * HOUR, 20 * HOUR])
@pytest.mark.parametrize("delta", JUMPS)
def test_attempts_notices_and_bounces_come_as_if_the_clock_had_not_been_set(delta: int, after: int) -> None:
    expected = [(at // SECOND // 2, what) for at, what in story(0, after)]
    found = [(at // SECOND // 2, what) for at, what in story(delta, after)]
    assert [what for _, what in found] == [what for _, what in expected]
    for (at, what), (expected_at, _) in zip(found, expected, strict=True):
        assert abs(at - expected_at) <= 1, what


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 40 * 86_400), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 2 * 86_400), st.sampled_from(JUMPS)), max_size=6),
)
def test_wheels_keep_every_wait_over_any_jumps(waits: list[int], steps: list[tuple[int, int]]) -> None:
    now = BEGIN
    due, deadlines = DueWheel(now), DeadlineWheel(now)
    wanted = []
    for number, wait in enumerate(waits):
        entry = Entry(1, 1, number, 100, ID, now, None, None, 1, 0, 0, now + wait * SECOND)
        due.add(entry)
        deadlines.set(entry, now + wait * SECOND)
        wanted.append(wait)
    passed = 0
    early: set[int] = set()
    for seconds, delta in steps:
        passed += seconds
        now += seconds * SECOND
        first = {entry.offset for entry in due.expire(now + SECOND, 1000)}
        second = {entry.offset for entry in deadlines.expire(now, 1000)}
        assert second <= first | early
        early |= first
        assert {n for n, wait in enumerate(wanted) if wait <= passed} <= early
        assert all(wanted[n] <= passed + 1 for n in early)
        now += delta
        deadlines.rebase(delta, now)
        due.rebase(now)
    later = due.expire(now + 50 * DAY, 1000)
    assert early | {entry.offset for entry in later} == set(range(len(waits)))
    assert due.next_at() is None


def test_a_segment_stays_quiet_for_as_long_as_it_was() -> None:
    ledger = Ledger(CopyLimits(octets=1000, quiet=HOUR))
    ledger.opened(Entry(1, 1, 0, 100, ID, BEGIN, None, None, 1), BEGIN)
    ledger.rebased(-DAY)
    assert ledger.copy_candidates(1, 2, BEGIN - DAY + HOUR - SECOND) == []
    assert ledger.copy_candidates(1, 2, BEGIN - DAY + HOUR) == [1]


@pytest.mark.parametrize(
    ("wall", "moved"),
    [
        (BEGIN, 0),
        (BEGIN + SECOND - 1, 0),
        (BEGIN - SECOND + 1, 0),
        (BEGIN + SECOND, SECOND),
        (BEGIN - SECOND, -SECOND),
        (BEGIN + 90_700_000, 91 * SECOND),
        (BEGIN - DAY - 300_000, -DAY),
    ],
)
def test_the_clock_follows_the_wall_clock_by_whole_seconds_and_only_when_it_was_set(wall: int, moved: int) -> None:
    assert clock.jump(wall, BEGIN) == moved
    assert abs(wall - (BEGIN + moved)) < SECOND


def test_the_clock_is_that_of_the_wall_and_does_not_go_back() -> None:
    assert clock.rebase() == 0
    before = clock.now_us()
    assert before <= clock.now_us()


# After a restart: what is on the disk was written by whatever the clock said then.


def test_a_next_try_further_away_than_any_wait_is_now() -> None:
    longest = policy().longest_wait
    bench = Bench(
        [
            ("deferred", 1, 2, 3, None, 4, BEGIN + longest, "4.2.2", "full"),
            ("deferred", 1, 2, 4, None, 4, BEGIN + longest + 1, "4.2.2", "full"),
        ]
    )
    bench.read(3, envelope())
    bench.read(4, envelope())
    assert [entry.due_at for entry in bench.entries] == [BEGIN + longest, BEGIN]


def test_a_message_received_in_the_future_counts_as_received_now() -> None:
    """Else its lifetime would begin only then."""
    bench = Bench()
    bench.read(3, envelope(received_at=BEGIN + 10 * DAY))
    bench.read(4, envelope(b"a@relay.test", b"b@other.test", received_at=BEGIN + 10 * DAY))
    assert {entry.received_at for entry in bench.entries} == {BEGIN}


def test_what_comes_in_after_the_clock_was_set_is_new_whatever_it_says() -> None:
    """The session that took it in may not have noticed yet."""
    bench = Bench()
    now = BEGIN + 30 * DAY
    bench.scheduler.rebased(30 * DAY, now)
    bench.intake.rebased(now)
    bench.intake.record(1, 2, 3, 500, envelope(received_at=BEGIN), now)
    bench.intake.record(1, 2, 4, 500, envelope(b"a@relay.test", b"b@other.test", received_at=BEGIN), now)
    assert all(0 <= now - entry.received_at <= 2 * SECOND for entry in bench.entries)
    assert not [action for action in bench.scheduler.actions(now) if type(action).__name__ == "Settle"]


def test_waits_are_never_longer_than_the_longest() -> None:
    retry = policy(retry_max=600, jitter=0.9)
    assert max(retry.wait(attempts, 1.0) for attempts in range(1, 40)) <= retry.longest_wait
    assert retry.longest_wait > MINUTE
