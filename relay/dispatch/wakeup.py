"""When the scheduler of a shard is asked what is to be done: soon after each change, and when it wants.

Not here: asking it (pump.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

LONGEST_WAIT: Final = 10_000_000
"""Microseconds after which the scheduler is asked at least, while it has anything ahead. The loop's timers stand still
while the machine is suspended, so none may be far ahead; a clock that was set makes nothing late by more."""


class Timer(Protocol):
    """What ``Loop.call_later`` returns."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """What the wake-ups need of an event loop."""

    def call_soon(self, callback: Callable[[], None], /) -> Any: ...
    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class Wakeup:
    """When the pump turns: once after whatever changed in one turn of the loop, and at the instant that was set."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._turn: Callable[[], None] | None = None
        self._timer: Timer | None = None
        self._timer_at = 0
        self.is_due = False
        """Whether the pump turns with the loop's next turn."""

    def start(self, turn: Callable[[], None]) -> None:
        """Has ``turn`` called, at once for the first time."""
        self._turn = turn
        self.changed()

    def stop(self) -> None:
        """Nothing is called any more."""
        self._turn = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def changed(self) -> None:
        """Something happened: the scheduler is asked once the present batch of events is through."""
        if not self.is_due and self._turn is not None:
            self.is_due = True
            self._loop.call_soon(self._ring)

    def at(self, at: int, now: int) -> None:
        """Has the pump turn at ``at`` or before (microseconds since the epoch); then ``at`` is asked for anew.

        With messages in the queue a deadline is always ahead, and a timer for it made in each turn would cost much of
        the turn: an earlier one that was set before stands.
        """
        at = min(at, now + LONGEST_WAIT)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, (at - now) / 1_000_000), self._expired)

    def _expired(self) -> None:
        self._timer = None
        self.changed()

    def _ring(self) -> None:
        self.is_due = False
        if self._turn is not None:
            self._turn()
