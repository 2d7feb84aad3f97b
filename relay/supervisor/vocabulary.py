"""What the plan gets and what it orders: the events, the actions, and the words in them. Values only.

A *worker* is one process, with a number that is never used again. A *slot* is a place for a worker: generation, role
and number; when its worker dies, the next one takes the slot. A *generation* is one configuration and all its slots.
"""

from __future__ import annotations

import signal
from typing import Any, Final, NamedTuple

from relay.workers.process import EXIT_TEXTS

EXIT_DRAINED: Final = 0
"""Stopped as asked, everything begun was finished."""
EXIT_FAULT: Final = 1
"""A fault of the supervisor's own."""
EXIT_CANNOT_START: Final = 5
"""Never served: a listener, the data directory, the privileges or a worker did not allow it."""
EXIT_CUT: Final = 6
"""Stopped, but the drain's deadline or a second signal cut sessions off. No accepted mail is lost by it."""


class RolePlan(NamedTuple):
    """How many workers of a role a generation has."""

    name: str
    slots: int
    is_exclusive: bool
    """They stand by until no process of another generation holds the same role."""
    keeps_sessions: bool = False
    """In a reload their sessions go on for a while, instead of being asked at once to come again."""


class Spec(NamedTuple):
    """What the plan needs to know of a configuration. Durations in seconds."""

    roles: tuple[RolePlan, ...]
    drain_timeout: float
    beat_timeout: float
    reload_timeout: float = 0.0
    """How long sessions go on with workers that a reload has replaced, until these drain."""


def meaning(code: int) -> str:
    """What the end of a worker meant, for the log; ``code`` as in ``Exited``."""
    if code >= 0:
        return EXIT_TEXTS.get(code, "unknown")
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


# ---- events ---------------------------------------------------------------------------------------------------------


class Loaded(NamedTuple):
    """A configuration was read and found good, and its listeners are open. The first of them is the start."""

    generation: int
    spec: Spec


class Refused(NamedTuple):
    """The configuration that ``Load`` asked for is bad."""

    reason: str


class Hangup(NamedTuple):
    """SIGHUP: a reload is wanted."""


class Terminate(NamedTuple):
    """SIGTERM or SIGINT: drain and stop; the second time: stop now."""

    signal_name: str


class Ready(NamedTuple):
    """A worker serves, or could."""

    worker: int


class Failed(NamedTuple):
    """A worker says that it cannot start, and why. Its exit follows."""

    worker: int
    reason: str


class Exited(NamedTuple):
    """A worker is gone and has been waited for."""

    worker: int
    code: int
    """Exit code, 0 or more; or the number of the signal that ended it, negative."""


class SpawnFailed(NamedTuple):
    """A process could not be made."""

    worker: int
    reason: str


class Tick(NamedTuple):
    """Time has passed. To come at ``Plan.next_wakeup``, or sooner."""

    beats: dict[int, float]
    """By worker: when its loop last gave a sign of life, 0.0 for never, on the plan's clock."""


Event = Loaded | Refused | Hangup | Terminate | Ready | Failed | Exited | SpawnFailed | Tick

# ---- actions --------------------------------------------------------------------------------------------------------


class Load(NamedTuple):
    """Read and check the configuration; answer with ``Loaded`` or ``Refused``."""


class Spawn(NamedTuple):
    """Fork ``worker`` for a slot."""

    worker: int
    role: str
    slot: int
    generation: int
    is_replacement: bool
    """Its predecessor in the slot was lost."""


class Tell(NamedTuple):
    """Send a worker an order over its control connection."""

    worker: int
    message: tuple[Any, ...]


class Kill(NamedTuple):
    """Send a worker a signal: SIGABRT (it leaves its stacks on stderr) or SIGKILL."""

    worker: int
    is_final: bool


class Serve(NamedTuple):
    """This generation is the one that serves from now on: close what only its predecessor listened on."""

    generation: int


class Restore(NamedTuple):
    """The reload failed; the generation that served goes on."""

    result: str
    """``refused`` by the check, or ``failed`` because its workers did not become ready."""


class Forget(NamedTuple):
    """No process of this generation is left, and none will be."""

    generation: int


class StopListening(NamedTuple):
    """Close every listening socket: clients are refused at once instead of waiting for nobody."""


class Log(NamedTuple):
    """Write an event line."""

    level: str
    event: str
    fields: dict[str, Any]


class Died(NamedTuple):
    """A worker ended without being asked to; for the counters."""

    cause: str
    """``exit``, ``signal``, ``hung`` or ``not_ready``."""


class Exit(NamedTuple):
    """All is over."""

    code: int


Action = Load | Spawn | Tell | Kill | Serve | Restore | Forget | StopListening | Log | Died | Exit
