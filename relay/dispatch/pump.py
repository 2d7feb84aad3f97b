"""The pump of a shard: asks the scheduler what is to be done now, and has it done.

Theory: whatever happens to the queue (records arrive, outcomes come in, a connection opens) calls ``Wakeup.changed``.
All that happens in one turn of the loop is followed by one turn of the pump, which also writes the journal and the log
of that turn.

Not here: what is to be done (relay/queue/scheduler.py), when to ask (wakeup.py), connections (outbound.py).
"""

from __future__ import annotations

from relay.dispatch.mx_resolution import MxResolution
from relay.dispatch.outbound import Outbound
from relay.dispatch.settle import Settler
from relay.dispatch.shard import Shard
from relay.dispatch.tasks import report_failure
from relay.net.clock import now_us
from relay.queue.action import Action, Connect, Quit, Resolve, Settle, Wake


class Pump:
    """Carries out the scheduler's actions."""

    def __init__(self, shard: Shard, settler: Settler, outbound: Outbound, resolution: MxResolution) -> None:
        self._scheduler = shard.scheduler
        self._journaling = shard.journaling
        self._wakeup = shard.wakeup
        self._settler = settler
        self._outbound = outbound
        self._resolution = resolution

    def turn(self) -> None:
        """Once after each batch of events."""
        now = now_us()
        for action in self._scheduler.actions(now):
            try:
                self._carry_out(action)
            except Exception as fault:  # noqa: BLE001 - the other actions must not be lost with it
                report_failure(f"action {type(action).__name__} failed", fault)
        self._journaling.flush()
        self._settler.flush()
        at = self._scheduler.next_wakeup()
        if at is not None and not self._wakeup.is_due:
            self._wakeup.at(at, now)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Wake(connection):  # the most frequent one
                self._outbound.wake(connection)
            case Connect(connection):
                self._outbound.connect(connection)
            case Quit(connection):
                self._outbound.quit(connection)
            case Resolve(key, domain):
                self._resolution.resolve(key, domain)
            case Settle(settled):
                self._settler.ended(settled)
