"""What the rest of the world can see of the supervisor: its cells in the shared page, for metrics and ``/readyz``."""

from __future__ import annotations

import os
import time
from typing import Final

from relay.supervisor.generation import State
from relay.supervisor.plan import Plan
from relay.supervisor.processes import Processes
from relay.telemetry import metrics
from relay.telemetry.page import BEAT_CELL, DRAINING, READY, STANDBY, STARTING, CountersPage

_STATES: Final = {
    State.STARTING: STARTING, State.STANDBY: STANDBY, State.READY: READY,
    State.LEAVING: DRAINING, State.GOING: DRAINING,
}  # fmt: skip


class StatusCells:
    """Writes the supervisor's row, and the state of every worker into the worker's row."""

    def __init__(self, page: CountersPage) -> None:
        self._page = page
        self._row = page.supervisor
        self._is_first = True

    def started(self) -> None:
        """The appliance starts now."""
        self._row[metrics.index("relay_supervisor_start_time_seconds")] = time.time_ns() // 1000
        self._page.mark(0, STARTING, pid=os.getpid())

    def beat(self) -> None:
        """The supervisor's loop turns."""
        self._row[BEAT_CELL] = time.monotonic_ns() // 1000

    def spawned(self, role: str, is_replacement: bool) -> None:
        """A worker was forked."""
        self._row[metrics.index("relay_supervisor_worker_starts_total", role)] += 1
        if is_replacement:
            self._row[metrics.index("relay_supervisor_worker_restarts_total", role)] += 1

    def died(self, cause: str) -> None:
        """A worker was lost."""
        self._row[metrics.index("relay_supervisor_worker_deaths_total", cause)] += 1

    def reloaded(self, result: str) -> None:
        """A reload ended: ``served``, ``refused`` or ``failed``."""
        self._row[metrics.index("relay_supervisor_reloads_total", result)] += 1
        self._row[metrics.index("relay_supervisor_reload_refused")] = int(result != "served")

    def serving(self, generation: int, plan: Plan) -> bool:
        """A generation serves from now on; whether it is the first to do so."""
        is_first, self._is_first = self._is_first, False
        self._row[metrics.index("relay_supervisor_generation")] = generation
        self._page.mark(0, READY, generation=generation)
        if not is_first:
            self.reloaded("served")
        assert plan.serving is not None
        for role in plan.serving.spec.roles:
            self._row[metrics.index("relay_supervisor_wanted_workers", role.name)] = role.slots
        return is_first

    def show(self, plan: Plan, processes: Processes) -> None:
        """What changes without a word: states of workers, drains, crash loops."""
        if plan.is_stopping:
            self._row[metrics.index("relay_supervisor_draining")] = 1
            self._page.mark(0, DRAINING)
        generation = plan.serving or plan.rising
        for role in generation.spec.roles if generation else ():
            self._row[metrics.index("relay_supervisor_throttled_workers", role.name)] = plan.throttled(role.name)
        for number, worker in plan.workers.items():
            if number in processes:
                self._page.mark(processes[number].row, _STATES[worker.state])
