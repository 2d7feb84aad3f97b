"""What the journals hold about whole records that were deferred, kept small until the records are read.

Theory: after a restart nearly everything in the journals is this: all recipients of a record wait until some time for
some reason. As tuples that took 500 octets a record, twice what a queued entry and its record's share of the heap take
later, and the heap kept it. So it goes into columns, 18 octets a record, one set for each segment, sorted by offset
at the first question; reasons are kept once.

Invariants: of several deferrals of one record that with the most attempts counts; each record is asked for once.

Not here: everything else in the journals (recovery.py).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

Why = tuple[int, str, str, str, str]
"""(code, status, text, stage, next_hop), as in an outcome."""
Deferral = tuple[int, int, Why]
"""(attempts, due_at, why)."""
_MOST: Final = 65_534
"""Attempts that are distinguished."""


class Deferrals:
    """By log and segment."""

    def __init__(self) -> None:
        self._segments: dict[int, _Columns] = {}
        self._reasons: list[Why] = []
        self._numbers: dict[Why, int] = {}

    def add(self, log: int, segment: int, offset: int, deferral: Deferral) -> None:
        """All recipients of the record at ``offset`` were deferred."""
        attempts, due_at, reason = deferral
        number = self._numbers.get(reason)
        if number is None:
            number = self._numbers[reason] = len(self._reasons)
            self._reasons.append(reason)
        columns = self._segments.get(log << 32 | segment)
        if columns is None:
            columns = self._segments[log << 32 | segment] = _Columns()
        columns.add(offset, attempts, due_at, number)

    def pop(self, log: int, segment: int, offset: int) -> Deferral | None:
        """The last deferral of the record at ``offset``, once."""
        columns = self._segments.get(log << 32 | segment)
        found = columns.pop(offset) if columns is not None else None
        if found is None:
            return None
        attempts, due_at, number = found
        return attempts, due_at, self._reasons[number]

    def clear(self) -> None:
        """Forgets all."""
        self._segments.clear()
        self._reasons.clear()
        self._numbers.clear()


class _Columns:
    """Of one segment."""

    __slots__ = ("_due_at", "_is_sorted", "_offsets", "_reasons", "_used")

    def __init__(self) -> None:
        self._offsets = array("I")
        self._used = array("H")
        """One more than the attempts; 0: it was asked for."""
        self._due_at = array("q")
        self._reasons = array("I")
        self._is_sorted = True

    def add(self, offset: int, attempts: int, due_at: int, reason: int) -> None:
        self._offsets.append(offset)
        self._used.append(1 + min(attempts, _MOST))
        self._due_at.append(due_at)
        self._reasons.append(reason)
        self._is_sorted = False

    def pop(self, offset: int) -> tuple[int, int, int] | None:
        if not self._is_sorted:
            self._sort()
        at = bisect_right(self._offsets, offset) - 1
        if at < 0 or self._offsets[at] != offset or not self._used[at]:
            return None
        found = (self._used[at] - 1, self._due_at[at], self._reasons[at])
        self._used[at] = 0
        return found

    def _sort(self) -> None:
        """By offset, the deferral that counts last of those with one offset."""
        offsets, used, due_at = self._offsets, self._used, self._due_at
        order = sorted(range(len(offsets)), key=lambda at: (offsets[at], used[at], due_at[at]))
        self._offsets = _in_order("I", offsets, order)
        self._used = _in_order("H", used, order)
        self._due_at = _in_order("q", due_at, order)
        self._reasons = _in_order("I", self._reasons, order)
        self._is_sorted = True


def _in_order(code: Any, column: Sequence[int], order: list[int]) -> array[int]:
    return array(code, [column[at] for at in order])
