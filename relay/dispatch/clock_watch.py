"""Follows the wall clock when it was set: every instant of the queue moves with it, so that no wait changes.

Not here: the clock (relay/net/clock.pyi), instants in the queue (relay.queue.scheduler.Scheduler.rebased).
"""

from __future__ import annotations

from relay.dispatch.compaction import Compaction
from relay.dispatch.shard import Shard
from relay.net.clock import now_us, rebase
from relay.queue.intake import Intake
from relay.telemetry import metrics


class ClockWatch:
    """For one shard."""

    def __init__(self, shard: Shard, intake: Intake, compaction: Compaction) -> None:
        self._shard = shard
        self._intake = intake
        self._compaction = compaction
        self._jumps = {
            direction: metrics.index("relay_queue_clock_jumps_total", direction) for direction in ("forward", "back")
        }

    def look(self) -> None:
        """Once a second or so, and before records are taken in, which bring instants of their own."""
        moved = rebase()
        if not moved:
            return
        now = now_us()
        self._shard.scheduler.rebased(moved, now)
        self._intake.rebased(now)
        direction = "forward" if moved > 0 else "back"
        self._shard.row[self._jumps[direction]] += 1
        self._shard.sink.event("warning", "clock was set", direction=direction, seconds=abs(moved) // 1_000_000)
        self._compaction.begin()  # the journal holds when entries are due
        self._shard.wakeup.changed()
