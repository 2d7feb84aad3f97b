"""The ledger: what of each segment is not finished yet, for reports to the owners of the logs and for checkpoints.

Counted per segment and not per record: entries that are queued or being attempted, plus bounces that are owed. A
segment with none outstanding in any delivery worker can be recycled. What was finished is remembered (4 octets a
record) as long as its segment exists, because a compacted journal has to hold it, too.

Not here: reading journals back (recovery.py); the recycling itself (relay/spool).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from relay.config.queue import SpoolSettings
from relay.queue.action import JournalEntry, Notice
from relay.queue.entry import IS_DELAY_NOTIFIED, IS_HELD, IS_RELEASED, Entry
from relay.queue.settle import deferred_entries, failed_entries


class CopyLimits(NamedTuple):
    """When copying the rest of a segment forward is worth it."""

    octets: int = 8 * 1024 * 1024
    """At most so many octets of records are left in it."""
    quiet: int = 300_000_000
    """Nothing in it has been finished for so long (microseconds): what is left waits long."""

    @classmethod
    def from_config(cls, settings: SpoolSettings) -> CopyLimits:
        """An eighth of a segment, and ``spool.copy_after``."""
        return cls(settings.segment_size // 8, round(settings.copy_after * 1_000_000))


class Segment:
    """What is known of one segment."""

    __slots__ = ("entries", "finished", "octets", "partial", "touched_at")

    def __init__(self) -> None:
        self.entries = 0
        """Outstanding entries and owed bounces."""
        self.octets = 0
        self.touched_at = 0
        self.finished = array("I")
        """Offsets of records all of whose recipients are finished."""
        self.partial: list[tuple[int, tuple[int, ...]]] = []
        """(offset, indexes) of finished recipients of other records."""


class Ledger:
    """Kept by the scheduler."""

    def __init__(self, limits: CopyLimits | None = None) -> None:
        self._limits = limits or CopyLimits()
        self._segments: dict[int, Segment] = {}
        self._last_key = -1
        self._last = Segment()
        """The segment asked for last: most questions in a row are about one."""
        self._changed: set[int] = set()
        self._owed: set[Notice] = set()

    def segment(self, log: int, number: int) -> Segment:
        """What is known of segment ``number`` of ``log``; made when it is new."""
        key = log << 32 | number
        if key == self._last_key:
            return self._last
        segment = self._segments.get(key)
        if segment is None:
            segment = self._segments[key] = Segment()
        self._last_key, self._last = key, segment
        return segment

    def opened(self, entry: Entry, now: int) -> None:
        """``entry`` is outstanding from now on."""
        segment = self.segment(entry.log, entry.segment)
        if not segment.entries:
            segment.touched_at = now
        segment.entries += 1
        segment.octets += entry.size

    def closed(self, entry: Entry, now: int) -> None:
        """``entry`` is over. What finished in it comes with ``finished``."""
        self._close(entry.log, entry.segment, entry.size, now)

    def _close(self, log: int, number: int, size: int, now: int) -> None:
        segment = self.segment(log, number)
        segment.entries -= 1
        segment.octets -= size
        segment.touched_at = now
        if not segment.entries:
            self._changed.add(log)

    def owe(self, notice: Notice) -> None:
        """A bounce is owed: the record is outstanding until it is paid."""
        if notice not in self._owed:
            self._owed.add(notice)
            segment = self.segment(notice.log, notice.segment)
            segment.entries += 1

    def pay(self, notice: Notice, now: int) -> bool:
        """The bounce is spooled; False when it was not owed."""
        if notice not in self._owed:
            return False
        self._owed.discard(notice)
        self._close(notice.log, notice.segment, 0, now)
        return True

    @property
    def owed(self) -> frozenset[Notice]:
        """Bounces owed and not spooled yet."""
        return frozenset(self._owed)

    def finished(self, journal: Iterable[JournalEntry]) -> None:
        """Remembers what is finished by ``journal``; other entries are passed over."""
        for item in journal:
            if item[0] == "finished":
                segment = self.segment(item[1], item[2])
                if item[4] is None:
                    segment.finished.append(item[3])
                else:
                    segment.partial.append((item[3], tuple(item[4])))

    def delivered(self, entry: Entry, now: int) -> None:
        """``closed`` and ``finished`` in one, for an entry all of whose recipients are finished."""
        segment = self.segment(entry.log, entry.segment)
        if entry.indexes is None:
            segment.finished.append(entry.offset)
        else:
            segment.partial.append((entry.offset, entry.indexes))
        self.closed(entry, now)

    def rebased(self, delta: int) -> None:
        """The clock was moved by ``delta``."""
        for segment in self._segments.values():
            segment.touched_at += delta

    # reports

    def outstanding(self, log: int) -> dict[int, int]:
        """Segment number to what is outstanding, of one log: for its owner. No zeros."""
        return {
            key & 0xFFFFFFFF: segment.entries
            for key, segment in self._segments.items()
            if key >> 32 == log and segment.entries
        }

    def changed_logs(self) -> set[int]:
        """Logs in which a segment has become free since the last call: a report is due to their owners."""
        changed, self._changed = self._changed, set()
        return changed

    def total(self) -> int:
        """Everything outstanding."""
        return sum(segment.entries for segment in self._segments.values())

    # checkpoints

    def snapshot(self, entries: Iterable[Entry], exists: Callable[[int, int], bool]) -> Iterator[JournalEntry]:
        """The journal entries that hold everything, for a compacted journal.

        ``entries`` are all entries of the scheduler; ``exists(log, segment)`` whether a segment is still there: what
        is not is forgotten. Everything is fixed when this returns; the iterator may be consumed in another thread,
        while the queue goes on: what is journaled meanwhile must go after it. Entries that were not tried yet cost
        nothing.
        """
        for key in [k for k, s in self._segments.items() if not s.entries and not exists(k >> 32, k & 0xFFFFFFFF)]:
            del self._segments[key]
        self._last_key = -1
        finished = [
            (key >> 32, key & 0xFFFFFFFF, _little_endian(segment.finished), tuple(segment.partial))
            for key, segment in self._segments.items()
            if segment.finished or segment.partial
        ]
        owed = tuple(self._owed)
        marks = IS_DELAY_NOTIFIED | IS_HELD | IS_RELEASED
        tried = [entry for entry in entries if entry.attempts or entry.flags & marks]
        return _journal(finished, owed, tried)

    def copy_candidates(self, log: int, tail_segment: int, now: int) -> list[int]:
        """Segments of ``log`` before ``tail_segment`` that hold so little, for so long, that copying it forward
        pays."""
        return sorted(
            key & 0xFFFFFFFF
            for key, segment in self._segments.items()
            if key >> 32 == log
            and key & 0xFFFFFFFF < tail_segment
            and segment.entries
            and segment.octets <= self._limits.octets
            and now - segment.touched_at >= self._limits.quiet
        )


def _little_endian(offsets: array[int]) -> bytes:
    if sys.byteorder == "big":
        offsets = array("I", offsets)
        offsets.byteswap()
    return offsets.tobytes()


def _journal(
    finished: list[tuple[int, int, bytes, tuple[tuple[int, tuple[int, ...]], ...]]],
    owed: tuple[Notice, ...],
    entries: list[Entry],
) -> Iterator[JournalEntry]:
    for log, number, offsets, partial in finished:
        if offsets:
            yield ("finished-many", log, number, offsets)
        for offset, indexes in partial:
            yield ("finished", log, number, offset, indexes)
    for notice in owed:
        yield from failed_entries(notice)
    for entry in entries:
        if entry.attempts:
            yield from deferred_entries(entry)
        if entry.flags & IS_DELAY_NOTIFIED:
            yield ("notified", *entry.ref, entry.indexes)
        if entry.flags & IS_HELD:
            yield ("held", *entry.ref, entry.indexes)
        if entry.flags & IS_RELEASED:
            yield ("released", *entry.ref, entry.indexes)
