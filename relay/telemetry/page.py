"""The shared page of counters: one row of cells for each process, in memory that survives the process.

Theory: the supervisor makes the page before it forks, so that every process of the appliance sees the same memory. A
row belongs to one process at a time, and only that process writes its metric cells, so there are no locks. The
supervisor gives rows out and takes them back:

- a counter cell is never set back: what a dead worker counted stays in the sums, and the row's next owner counts on;
- gauge cells are set to 0 when the row comes back, because what they counted is gone with the process;
- a row is taken back only after its process is gone (waited for), so two generations never share one.

The first cells of a row say whose it is (Process). The supervisor writes them, except the beat, which the process
itself writes.

Row 0 is the supervisor's own. Memory is touched only as rows are used: a page for 512 processes costs no more than
the rows in use, about 10 KiB each.

Not here: what the cells mean (metrics.py), how they are shown (collector.py).
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from relay.telemetry.declaration import GAUGE
from relay.telemetry.metrics import PROCESS_CELLS, ROW_CELLS, TABLE, first_cell

ROLES: Final = ("supervisor", "smtp", "delivery", "mailbox", "admin", "other")
"""Roles in the order of their numbers in the page; a role that is not among them is shown as ``other``."""

STARTING: Final = 1
"""The process was forked and has not said that it is ready."""
READY: Final = 2
"""It serves."""
STANDBY: Final = 3
"""It is ready and waits for its predecessor to be gone (a delivery worker of a new generation)."""
DRAINING: Final = 4
"""It was asked to finish."""
STATES: Final = ("free", "starting", "ready", "standby", "draining")
"""Names of the states by number."""

BEAT_CELL: Final = 0
"""Written by the process: microseconds of CLOCK_MONOTONIC at its last beat, 0 before the first."""
_STATE, _PID, _ROLE, _SLOT, _GENERATION, _STARTED_AT, _ROWS_USED = range(1, 8)
_ROW_BYTES: Final = -(-ROW_CELLS * 8 // 4096) * 4096


class Process(NamedTuple):
    """Whose a row is."""

    row: int
    role: str
    slot: int
    generation: int
    pid: int
    """0 until the supervisor has written it (CountersPage.mark)."""
    state: str
    """One of STATES, never ``free``."""
    started_at: int
    """Microseconds since the epoch."""
    beat: int
    """Microseconds of CLOCK_MONOTONIC at the last beat; 0 when it has not beaten yet."""


class NoRowLeftError(RuntimeError):
    """All rows belong to living processes."""


class CountersPage:
    """The memory. Made by the supervisor before it forks; only the supervisor takes and releases rows."""

    def __init__(self, rows: int = 512) -> None:
        """``rows`` is the greatest number of processes at one time, the supervisor included."""
        if rows < 1:
            raise ValueError("a page has at least the supervisor's row")
        self._memory = mmap.mmap(-1, rows * _ROW_BYTES)
        cells = memoryview(self._memory).cast("Q")
        width = _ROW_BYTES // 8
        self._rows = [cells[number * width : number * width + ROW_CELLS] for number in range(rows)]
        self._free = list(range(rows - 1, 0, -1))
        self._open(0, "supervisor", 0, 0)

    def __len__(self) -> int:
        """Rows in all."""
        return len(self._rows)

    def row(self, number: int) -> memoryview[int]:
        """The cells of one row: ``ROW_CELLS`` unsigned 64-bit integers, writable, page-aligned."""
        return self._rows[number]

    @property
    def supervisor(self) -> memoryview[int]:
        """The supervisor's own row."""
        return self._rows[0]

    def take_row(self, role: str, slot: int = 0, generation: int = 0) -> int:
        """A row for a process that is about to be forked, in the state STARTING; its number.

        Counters go on from what earlier owners left. Raises NoRowLeftError.
        """
        if not self._free:
            raise NoRowLeftError(f"all {len(self._rows)} rows of counters are in use")
        number = self._free.pop()
        self._open(number, role, slot, generation)
        self.supervisor[_ROWS_USED] = max(self.supervisor[_ROWS_USED], number + 1)
        return number

    def mark(self, number: int, state: int | None = None, *, pid: int | None = None, generation: int | None = None,
             ) -> None:  # fmt: skip
        """Tells the state (STARTING, READY, STANDBY, DRAINING) or pid of the process that owns a row."""
        row = self._rows[number]
        if state is not None:
            if not STARTING <= state <= DRAINING:
                raise ValueError(f"not a state of a process: {state}")
            row[_STATE] = state
        if pid is not None:
            row[_PID] = pid
        if generation is not None:
            row[_GENERATION] = generation

    def release(self, number: int) -> None:
        """Takes a row back. Its process must be gone: gauges are set to 0, counters stay."""
        if number == 0 or number in self._free:
            raise ValueError(f"row {number} was not taken")
        row = self._rows[number]
        for cell in _GAUGE_CELLS:
            row[cell] = 0
        for cell in range(PROCESS_CELLS):
            row[cell] = 0
        self._free.append(number)

    def processes(self) -> list[Process]:
        """The processes that own a row now, the supervisor first."""
        return [self._process(number, row) for number, row in self.used_rows() if row[_STATE]]

    def used_rows(self) -> Iterator[tuple[int, memoryview[int]]]:
        """All rows that ever belonged to a process, with their numbers."""
        return enumerate(self._rows[: max(1, self.supervisor[_ROWS_USED])])

    def total(self, cell: int) -> int:
        """The sum of one cell over all rows."""
        return sum(row[cell] for _, row in self.used_rows())

    def largest(self, cell: int) -> int:
        """The largest value of one cell in any row."""
        return max(row[cell] for _, row in self.used_rows())

    def _open(self, number: int, role: str, slot: int, generation: int) -> None:
        row = self._rows[number]
        row[BEAT_CELL] = 0
        row[_PID] = 0
        row[_ROLE] = ROLES.index(role if role in ROLES else "other")
        row[_SLOT] = slot
        row[_GENERATION] = generation
        row[_STARTED_AT] = time.time_ns() // 1000
        row[_STATE] = STARTING

    def _process(self, number: int, row: memoryview[int]) -> Process:
        return Process(
            row=number,
            role=ROLES[row[_ROLE]],
            slot=row[_SLOT],
            generation=row[_GENERATION],
            pid=row[_PID],
            state=STATES[row[_STATE]],
            started_at=row[_STARTED_AT],
            beat=row[BEAT_CELL],
        )


_GAUGE_CELLS: Final = tuple(
    cell
    for metric in TABLE
    if metric.kind == GAUGE
    for cell in range(first_cell(metric), first_cell(metric) + metric.cells)
)
