"""A timing wheel: many deadlines, nearly all of which are moved or cancelled before they come due.

Theory: a ring of ``slots`` buckets, one per tick. A timer lies in the bucket of the tick at which it comes due, modulo
the ring, and is looked at once per turn of the ring. Adding, cancelling and coming due are O(1). **Moving a deadline
later is an assignment** to ``timer.deadline``: the timer stays where it is, and when its old tick comes it is put where
it now belongs. A session that sets its deadline anew for every command pays for one attribute.

Invariants: a timer never comes due early; it comes due in the first ``expire`` whose ``now`` is at or past the first
tick at or after its deadline (at most one tick late, when ``expire`` is called once per tick); it comes due once. What
is cancelled never comes due. The wheel holds no more timers than were added and are neither cancelled nor due.

Time is a number of any one clock that does not go back, in any one unit: seconds of ``loop.time()``, or integer
microseconds.

A worker moves some timers for each connection, so it is compiled (wheel.pxd); it says the same without.

Not here: the clock, and the timer that calls ``expire`` once per tick (``Worker.repeat``, relay/workers/process.py).
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any


class Timer:
    """A deadline in a wheel. ``deadline`` may be set to a later time at will; for an earlier one use
    ``TimingWheel.move``."""

    __slots__ = ("bucket", "deadline", "item")

    def __init__(self, deadline: float, item: Any) -> None:
        self.deadline = deadline
        self.item = item
        self.bucket = -1
        """Where in the wheel it lies; the wheel's own business."""

    @property
    def is_pending(self) -> bool:
        """Whether it may still come due: neither cancelled nor returned by ``expire``."""
        return self.bucket >= 0


class TimingWheel:
    """Timers in a ring of ``slots`` ticks of ``tick`` each. ``start`` is any time not after the first use.

    A ring that is longer than the usual deadline looks at each timer once; a shorter one looks at it once per turn.
    """

    def __init__(self, tick: float, slots: int, start: float = 0.0) -> None:
        if tick <= 0 or slots < 2:
            raise ValueError("a wheel needs a positive tick and at least two slots")
        self.tick = tick
        self._slots = slots
        self.buckets: list[dict[Timer, None]] = [{} for _ in range(slots)]
        self._last = floor(start / tick)  # the last tick that has been expired
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, deadline: float, item: Any) -> Timer:
        """A pending timer for ``item``. A deadline in the past comes due at the next tick."""
        timer = Timer(deadline, item)
        self._place(timer)
        self._count += 1
        return timer

    def cancel(self, timer: Timer) -> None:
        """Takes ``timer`` out; nothing happens when it has come due or was cancelled before."""
        if timer.bucket >= 0:
            del self.buckets[timer.bucket][timer]
            timer.bucket = -1
            self._count -= 1

    def move(self, timer: Timer, deadline: float) -> None:
        """Sets a new deadline, earlier or later. A timer that is not pending becomes pending again."""
        self.cancel(timer)
        timer.deadline = deadline
        self._place(timer)
        self._count += 1

    def expire(self, now: float) -> list[Any]:
        """The items whose deadline has passed at ``now``, taken out, in the order of their ticks."""
        current = floor(now / self.tick)
        first, self._last = self._last + 1, max(self._last, current)
        due: list[Any] = []
        # After a pause longer than a turn every bucket is looked at once.
        for turn in range(max(first, current - self._slots + 1), current + 1):
            index = turn % self._slots
            bucket = self.buckets[index]
            if not bucket:
                continue
            self.buckets[index] = {}
            for timer in bucket:
                if ceil(timer.deadline / self.tick) <= current:
                    timer.bucket = -1
                    self._count -= 1
                    due.append(timer.item)
                else:
                    self._place(timer)
        return due

    def _place(self, timer: Timer) -> None:
        turn = int(timer.deadline / self.tick)
        if turn * self.tick < timer.deadline:
            turn += 1
        turn = max(turn, self._last + 1)
        timer.bucket = turn % self._slots
        self.buckets[timer.bucket][timer] = None
