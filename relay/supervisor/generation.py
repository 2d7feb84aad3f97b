"""What the plan remembers: generations, their slots, and the workers in them; and when a lost worker is replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from relay.supervisor.vocabulary import RolePlan, Spec

SETTLED: Final = 5.0
"""A worker that has lived so many seconds proves that its slot is not in a crash loop."""
FREE_DEATHS: Final = 3
"""So many early deaths in a row are answered with a new worker at once."""
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 15.0


class Throttle:
    """The back-off of one slot: an early death is followed by a new worker at once, the fourth in a row after 0.2 s,
    each further one after twice the time, up to 15 s. Nothing waits for a worker that had settled."""

    def __init__(self) -> None:
        self._early_deaths = 0

    @property
    def is_looping(self) -> bool:
        """Whether the slot is being held back; over when a worker has settled in it."""
        return self._early_deaths > FREE_DEATHS

    def died(self, lived: float) -> float:
        """A worker died after ``lived`` seconds: how many seconds to wait with the next one."""
        self._early_deaths = 1 if lived >= SETTLED else self._early_deaths + 1
        if not self.is_looping:
            return 0.0
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._early_deaths - FREE_DEATHS - 1, 30))

    def lives(self, lived: float) -> None:
        """The worker in the slot has lived for ``lived`` seconds so far."""
        if lived >= SETTLED:
            self._early_deaths = 0


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    STANDBY = "standby"
    """Ready, but another process may still hold what only one may."""
    READY = "ready"
    LEAVING = "leaving"
    """Replaced by a reload: takes nobody in, and serves whom it has."""
    GOING = "going"
    """Told to drain or to stop."""


STARTING_STATES: Final = (State.STARTING, State.STANDBY)
"""Nothing has been begun yet that would be worth finishing."""


class Generation:
    """One configuration and its slots."""

    def __init__(self, number: int, spec: Spec) -> None:
        self.number: Final = number
        self.spec: Final = spec
        self.slots: Final = [Slot(self, role, slot) for role in spec.roles for slot in range(role.slots)]
        self.lost = 0
        """Workers that were lost while it rose."""

    @property
    def is_ready(self) -> bool:
        """Whether every slot has a worker that serves, or would if it might."""
        return all(
            slot.worker is not None and slot.worker.state in {State.READY, State.STANDBY} and not slot.worker.killed_for
            for slot in self.slots
        )


@dataclass(eq=False, slots=True)
class Slot:
    """A place for one worker."""

    generation: Generation
    role: RolePlan
    number: int
    worker: Worker | None = None
    spawn_at: float | None = None
    """When it gets its next worker; None while it has one, or when it gets no more."""
    was_filled: bool = False
    throttle: Throttle = field(default_factory=Throttle)


@dataclass(eq=False, slots=True)
class Worker:
    """One process."""

    slot: Slot
    started_at: float
    kill_at: float | None = None
    """When it is killed unless something happens before."""
    drain_at: float | None = None
    """When it is asked to drain, of one that is leaving."""
    state: State = State.STARTING
    was_draining: bool = False
    """It was asked to finish what it had begun: whether it did is worth knowing."""
    killed_for: str | None = None
    """``hung`` or ``not_ready`` when that is why it was killed."""

    @property
    def name(self) -> str:
        """As in ``ps``, e.g. ``smtp-0``."""
        return f"{self.slot.role.name}-{self.slot.number}"
