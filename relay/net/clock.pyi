"""The one clock of the queue; see clock.pyx.

Theory: the queue's instants are microseconds since the epoch, because messages bring such, journals keep such and
people read such. But the wall clock may be set, forward or back, and durations must not change by that. So this clock
goes on as the monotonic one does, from where the wall clock was; ``rebase``, called about every second, finds out that
the wall clock was set, and moves this one after it. Whoever keeps instants then moves them as well
(relay.queue.scheduler.Scheduler.rebased).

Invariants: between two calls of ``rebase`` it never goes back; it is less than a second away from a wall clock that
was not set since.
"""

def now_us() -> int:
    """Microseconds since the epoch."""

def rebase() -> int:
    """Follows the wall clock; by how many microseconds ``now_us`` was moved for that: whole seconds, mostly 0."""

def pretend(passed: int = 0, wall_set_by: int = 0) -> None:
    """For tests: as if ``passed`` microseconds had gone by, and the wall clock had been set by ``wall_set_by`` beside.
    Either may be negative, which takes it back; a rebase() is not seen by that."""

def jump(wall: int, ours: int) -> int:
    """By how much a clock that says ``ours`` has to be moved when the wall clock says ``wall``: 0 while they are less
    than a second apart, else whole seconds."""
