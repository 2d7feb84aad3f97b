"""relay/dispatch/wakeup.py and pump.py: when the scheduler is asked, on a loop whose time the test sets."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.dispatch.pump import Pump
from relay.dispatch.wakeup import LONGEST_WAIT, Wakeup
from relay.net.clock import now_us
from relay.queue.entry import Entry
from relay.queue.group import Settings
from relay.queue.scheduler import Scheduler
from tests.queue.world import ID, policy

SECOND = 1_000_000


class FakeTimer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """Callbacks and timers that are called when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.timers: list[FakeTimer] = []
        self.now = 0.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        assert delay >= 0
        self.timers.append(FakeTimer(self.now + delay, callback))
        return self.timers[-1]

    def turn(self) -> None:
        """Calls what is due now."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds
        for timer in self.timers:
            if timer.at <= self.now and not timer.is_cancelled:
                timer.cancel()
                timer.callback()
        self.turn()

    @property
    def pending(self) -> list[float]:
        return [timer.at for timer in self.timers if not timer.is_cancelled]


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


def test_what_changes_in_one_turn_of_the_loop_is_followed_by_one_turn_of_the_pump(loop: FakeLoop) -> None:
    wakeup, turns = Wakeup(loop), list[int]()
    wakeup.changed()
    assert not loop.soon, "not before the start"
    wakeup.start(lambda: turns.append(1))
    for _ in range(3):
        wakeup.changed()
    assert wakeup.is_due
    loop.turn()
    assert (turns, wakeup.is_due) == ([1], False)
    loop.turn()
    assert turns == [1]


def test_a_later_deadline_leaves_the_timer_that_is_set(loop: FakeLoop) -> None:
    wakeup = Wakeup(loop)
    wakeup.start(lambda: None)
    wakeup.at(3 * SECOND, 0)
    for at in range(3, 9):
        wakeup.at(at * SECOND, SECOND // 10)
    assert [timer.at for timer in loop.timers] == [3.0]


def test_an_earlier_deadline_replaces_it(loop: FakeLoop) -> None:
    turns = list[int]()
    wakeup = Wakeup(loop)
    wakeup.start(lambda: turns.append(1))
    loop.turn()
    wakeup.at(3 * SECOND, 0)
    wakeup.at(2 * SECOND, 0)
    assert loop.pending == [2.0]
    loop.run(2.0)
    assert (turns, loop.pending) == ([1, 1], [])
    wakeup.at(9 * SECOND, 2 * SECOND)
    assert loop.pending == [9.0], "the next one is set anew"


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_no_timer_is_far_ahead_whatever_becomes_of_the_clock(loop: FakeLoop, jump: int) -> None:
    """The loop's timers stand still while the machine is suspended, and the queue's clock may be set."""
    wakeup = Wakeup(loop)
    wakeup.start(lambda: None)
    now = 90_000 * SECOND
    wakeup.at(now + 3600 * SECOND, now)
    assert loop.pending == [LONGEST_WAIT / SECOND]
    now += jump * SECOND
    wakeup.at(now + 5 * SECOND, now)
    assert loop.pending in ([5.0], [LONGEST_WAIT / SECOND])


def test_after_the_stop_nothing_is_called(loop: FakeLoop) -> None:
    turns = list[int]()
    wakeup = Wakeup(loop)
    wakeup.start(lambda: turns.append(1))
    wakeup.at(SECOND, 0)
    wakeup.stop()
    wakeup.changed()
    loop.run(60.0)
    assert (turns, loop.pending) == ([], [])


def test_turns_with_a_message_that_waits_make_no_timer_each(loop: FakeLoop) -> None:
    """A deadline is always ahead then (of the retry, of the delay notice): cancelling and making a timer in each turn
    took a good part of it."""
    scheduler = Scheduler(Settings(), policy(), now_us())
    now = now_us()
    group = scheduler.group("smtp://mx.test:25", "mx.test")
    scheduler.add(Entry(1, 0, 0, 1000, ID, now, group, None, 1, 0, 0, now + 3600 * SECOND), now)
    wakeup = Wakeup(loop)
    silent = SimpleNamespace(flush=lambda: None)
    shard = SimpleNamespace(scheduler=scheduler, journaling=silent, wakeup=wakeup)
    parts: Any = None
    pump = Pump(cast("Any", shard), cast("Any", silent), parts, parts)
    wakeup.start(pump.turn)
    for _ in range(100):
        wakeup.changed()
        loop.turn()
    assert len(loop.timers) == 1
    loop.run(LONGEST_WAIT / SECOND)
    assert len(loop.timers) == 2, "and when it has come the scheduler is asked anew"
