"""One look at the running appliance, taken from the shared page of counters.

Not here: what follows from it (readiness.py), how it is shown (app.py, index.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from relay.telemetry import metrics
from relay.telemetry.metrics import index
from relay.telemetry.page import CountersPage, Process


class Facts(NamedTuple):
    """What readiness and status are made from."""

    processes: tuple[Process, ...] = ()
    """The supervisor first."""
    now: int = 0
    """Microseconds of CLOCK_MONOTONIC, the clock of the beats."""
    generation: int = 0
    started_at: int = 0
    """Microseconds since the epoch."""
    is_draining: bool = False
    is_reload_refused: bool = False
    wanted: tuple[tuple[str, int], ...] = ()
    """Worker slots by role; 0 where the supervisor has not said."""
    throttled: tuple[tuple[str, int], ...] = ()
    """Slots held back by role, only those above 0."""
    disk_low_workers: int = 0
    sync_failed_workers: int = 0
    free_bytes: int = 0
    free_inodes: int = 0
    stuck: tuple[tuple[str, float], ...] = ()
    """Ready workers all of whose store threads are taken, and for how many seconds none has come back."""


class Listening(NamedTuple):
    """Where one listener really listens."""

    name: str
    kind: str
    address: str
    port: int


class QueueCounts(NamedTuple):
    """What waits."""

    states: dict[str, int]
    ages: dict[str, int]
    groups: dict[str, int]
    oldest_seconds: float


def look(page: CountersPage, monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> Facts:
    """The facts of this moment."""
    throttled = ((role, page.total(cell)) for role, cell in _THROTTLED)
    return Facts(
        processes=tuple(page.processes()),
        now=monotonic_us(),
        generation=page.largest(_GENERATION),
        started_at=page.largest(_START),
        is_draining=bool(page.largest(_DRAINING)),
        is_reload_refused=bool(page.largest(_RELOAD_REFUSED)),
        wanted=tuple((role, page.total(cell)) for role, cell in _WANTED),
        throttled=tuple((role, count) for role, count in throttled if count),
        disk_low_workers=page.total(_DISK_LOW),
        sync_failed_workers=page.total(_SYNC_FAILED),
        free_bytes=page.largest(_FREE_BYTES),
        free_inodes=page.largest(_FREE_INODES),
        stuck=tuple(
            (f"{process.role}-{process.slot}", page.row(process.row)[_STUCK] / 1_000_000)
            for process in page.processes()
            if process.state == "ready" and page.row(process.row)[_STUCK]
        ),
    )


def queue_counts(page: CountersPage) -> QueueCounts:
    """The queue's gauges of all delivery workers together."""
    return QueueCounts(
        states={state: page.total(cell) for state, cell in _STATES},
        ages={age: page.total(cell) for age, cell in _AGES},
        groups={state: page.total(cell) for state, cell in _GROUPS},
        oldest_seconds=page.largest(_OLDEST) / 1_000_000,
    )


def _cells(name: str, values: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((value, index(name, value)) for value in values)


_GENERATION: Final = index("relay_supervisor_generation")
_START: Final = index("relay_supervisor_start_time_seconds")
_DRAINING: Final = index("relay_supervisor_draining")
_RELOAD_REFUSED: Final = index("relay_supervisor_reload_refused")
_WANTED: Final = _cells("relay_supervisor_wanted_workers", metrics.ROLES)
_THROTTLED: Final = _cells("relay_supervisor_throttled_workers", metrics.ROLES)
_DISK_LOW: Final = index("relay_spool_refusing_workers", "disk_low")
_SYNC_FAILED: Final = index("relay_spool_refusing_workers", "sync_failed")
_FREE_BYTES: Final = index("relay_spool_free_bytes")
_FREE_INODES: Final = index("relay_spool_free_inodes")
_STUCK: Final = index("relay_store_stuck_seconds")
_STATES: Final = _cells("relay_queue_entries", ("incoming", "active", "deferred", "hold"))
_AGES: Final = _cells("relay_queue_age_entries", metrics.AGES)
_GROUPS: Final = _cells("relay_queue_groups", ("running", "waiting", "suspended"))
_OLDEST: Final = index("relay_queue_oldest_seconds")
