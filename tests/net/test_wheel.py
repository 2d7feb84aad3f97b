"""The timing wheel against a list that is searched (the slow twin)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.net.wheel import Timer, TimingWheel


def wheel(slots: int = 8) -> TimingWheel:
    return TimingWheel(1.0, slots, start=100.0)


def test_a_timer_comes_due_at_its_tick_and_once():
    ring = wheel()
    timer = ring.add(103.0, "a")
    assert ring.expire(102.9) == []
    assert timer.is_pending
    assert ring.expire(103.0) == ["a"]
    assert timer.bucket == -1
    assert ring.expire(104.0) == []
    assert len(ring) == 0


def test_a_timer_never_comes_due_early():
    ring = wheel()
    ring.add(103.2, "a")
    assert ring.expire(103.9) == []
    assert ring.expire(104.0) == ["a"]


def test_a_deadline_further_away_than_the_ring_waits_for_its_turn():
    ring = wheel(slots=4)
    ring.add(111.0, "far")
    due = [ring.expire(float(now)) for now in range(100, 112)]
    assert due == [[]] * 11 + [["far"]]


def test_a_deadline_in_the_past_comes_due_at_the_next_tick():
    ring = wheel()
    ring.add(5.0, "late")
    assert ring.expire(100.5) == []
    assert ring.expire(101.0) == ["late"]


def test_a_deadline_moved_later_by_assignment_costs_nothing_and_holds():
    ring = wheel()
    timer = ring.add(102.0, "a")
    timer.deadline = 105.0
    assert ring.expire(104.0) == []
    assert timer.is_pending
    assert ring.expire(105.0) == ["a"]


def test_a_deadline_is_moved_earlier_by_move():
    ring = wheel()
    timer = ring.add(107.0, "a")
    ring.move(timer, 102.0)
    assert len(ring) == 1
    assert ring.expire(102.0) == ["a"]


def test_a_cancelled_timer_never_comes_due_and_cancelling_again_does_nothing():
    ring = wheel()
    timer = ring.add(102.0, "a")
    ring.cancel(timer)
    ring.cancel(timer)
    assert len(ring) == 0
    assert ring.expire(120.0) == []
    ring.move(timer, 121.0)
    assert ring.expire(121.0) == ["a"]


def test_a_pause_longer_than_the_ring_leaves_nobody_behind():
    ring = wheel(slots=4)
    for deadline in range(101, 130):
        ring.add(float(deadline), str(deadline))
    assert sorted(ring.expire(125.0)) == [str(deadline) for deadline in range(101, 126)]
    assert ring.expire(129.0) == ["126", "127", "128", "129"]


def test_a_clock_that_stands_still_or_goes_back_does_no_harm():
    ring = wheel()
    ring.add(103.0, "a")
    assert ring.expire(102.0) == []
    assert ring.expire(101.0) == []
    assert ring.expire(102.0) == []
    assert ring.expire(103.0) == ["a"]


def test_the_clock_may_count_integer_microseconds():
    ring: TimingWheel = TimingWheel(1_000_000, 4, start=5_000_000)
    ring.add(6_000_001, "a")
    assert ring.expire(6_999_999) == []
    assert ring.expire(7_000_000) == ["a"]


@pytest.mark.parametrize(("tick", "slots"), [(0.0, 8), (-1.0, 8), (1.0, 1)])
def test_a_wheel_without_ticks_or_slots_is_refused(tick, slots):
    with pytest.raises(ValueError):
        TimingWheel(tick, slots)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.floats(0, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("later"), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.floats(0, 20)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_wheel_agrees_with_a_search_through_all_timers(steps):
    ring: TimingWheel = TimingWheel(1.0, 5, start=0.0)
    timers: list[Timer] = []
    waiting: set[int] = set()
    now = 0.0
    for step, value in steps:
        if step == "add":
            waiting.add(len(timers))
            timers.append(ring.add(now + value, len(timers)))
        elif step == "wait":
            now += value
            tick = math.floor(now)
            due = set(ring.expire(now))
            # Timers set for the tick that was just expired are due with the next one.
            must = {
                number for number in waiting if timers[number].deadline <= tick and timers[number].deadline <= now - 1
            }
            assert due <= {number for number in waiting if timers[number].deadline <= now}
            assert must <= due
            waiting -= due
        elif timers:
            timer = timers[int(value) % len(timers)]
            if step == "cancel":
                ring.cancel(timer)
                waiting.discard(timer.item)
            elif step == "later":
                timer.deadline += 7
            else:
                ring.move(timer, now + value / 3)
                waiting.add(timer.item)
        assert len(ring) == len(waiting)
