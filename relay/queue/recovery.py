"""What the journals hold about records, gathered at start before the logs are read.

Theory: the state of a recipient is the join of all that was journaled about it, in whatever order and however often:
finished wins over failed, failed over deferred, and of two deferrals the one with more attempts. So journals of
several delivery workers, of several lives and half-compacted ones can be read in any order. (Only held and released
go by order.)

Memory: a set member for each finished record, 18 octets for each that was deferred as a whole (deferrals.py), a tuple
for each other journal entry, until the records are read.

Not here: the files (relay/spool/journal.py), the entries made from it (intake.py).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any

from relay.mail import outcome as kinds
from relay.mail.outcome import Outcome
from relay.queue.action import JournalEntry
from relay.queue.commands import remove
from relay.queue.deferrals import Deferral, Deferrals
from relay.queue.ledger import Ledger
from relay.queue.scheduler import Scheduler


class RecordState:
    """What is known of the recipients of one record, by index."""

    __slots__ = ("deferred", "failed", "finished", "held", "notified", "released")

    def __init__(self) -> None:
        self.finished: set[int] = set()
        self.failed: dict[int, Outcome] = {}
        self.deferred: dict[int, Deferral] = {}
        self.notified: set[int] = set()
        self.held: set[int] = set()
        self.released: set[int] = set()

    def apply(self, entry: JournalEntry, count: int) -> None:
        """Joins one journal entry (its kind, then what follows the reference) of a record with ``count`` recipients."""
        kind = entry[0]
        indexes: Iterable[int] = range(count) if entry[1] is None else entry[1]
        if kind == "finished":
            self.finished.update(indexes)
        elif kind == "failed":
            for index in indexes:
                self.failed[index] = _failure(*entry[2:8])
        elif kind == "deferred":
            for index in indexes:
                known = self.deferred.get(index)
                if known is None or known[:2] < entry[2:4]:
                    self.deferred[index] = _deferral(entry[2:])
        elif kind == "notified":
            self.notified.update(indexes)
        elif kind == "held":
            self.held.update(indexes)
            self.released.difference_update(indexes)
        elif kind == "released":
            self.held.difference_update(indexes)
            self.released.update(indexes)


def _failure(code: int, status: str, text: str, stage: str, next_hop: str, kind: str = "") -> Outcome:
    """What was journaled without its kind has it from its status: peers' statuses of class 4 were not kept then."""
    if kind not in {kinds.EXPIRED, kinds.FAILED}:
        kind = kinds.EXPIRED if status.startswith("4") else kinds.FAILED
    return Outcome(kind, code, status, text, stage, next_hop)


def _deferral(fields: tuple[Any, ...]) -> Deferral:
    """(attempts, due_at, status, text), and (code, stage, next_hop) where they were journaled."""
    attempts, due_at, status, text, *more = fields
    code, stage, next_hop = more[:3] if len(more) >= 3 else (0, "", "")
    return attempts, due_at, (code, status, text, stage, next_hop)


class Recovery:
    """The journals of all delivery workers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._finished: dict[int, set[int]] = {}
        self._deferrals = Deferrals()
        self._entries: dict[tuple[int, int, int], list[JournalEntry]] = {}
        self._copies: dict[tuple[int, int, int], set[int]] = {}

    def apply(self, journal: Iterable[JournalEntry]) -> None:
        """Takes in journal entries. Unknown kinds are passed over: they are from a newer version."""
        for item in journal:
            kind = item[0]
            if kind == "finished-many":
                self._finish(item[1], item[2], _offsets(item[3]))
            elif kind == "finished" and item[4] is None:
                self._finish(item[1], item[2], (item[3],))
            elif kind == "deferred" and item[4] is None:
                self._deferrals.add(item[1], item[2], item[3], _deferral(item[5:]))
            elif kind in ("finished", "failed", "deferred", "notified", "held", "released"):
                self._entries.setdefault((item[1], item[2], item[3]), []).append((kind, *item[4:]))

    def _finish(self, log: int, segment: int, offsets: Iterable[int]) -> None:
        known = self._finished.setdefault(log << 32 | segment, set())
        kept = self._ledger.segment(log, segment).finished
        for offset in offsets:
            if offset not in known:
                known.add(offset)
                kept.append(offset)

    def state(self, log: int, segment: int, offset: int, count: int) -> RecordState | None:
        """What is known of a record with ``count`` recipients, once; None when nothing is, which is the usual
        case. A finished record has all its recipients finished."""
        whole = offset in self._finished.get(log << 32 | segment, ())
        entries = self._entries.pop((log, segment, offset), None)
        deferral = self._deferrals.pop(log, segment, offset)
        if not whole and entries is None and deferral is None:
            return None
        state = RecordState()
        if whole:
            state.finished.update(range(count))
            return state
        if deferral is not None:
            state.deferred = dict.fromkeys(range(count), deferral)
        for item in entries or ():
            state.apply(item, count)
        if state.finished:
            self._ledger.finished([("finished", log, segment, offset, tuple(sorted(state.finished)))])
        return state

    def copy_seen(self, log: int, segment: int, offset: int, indexes: tuple[int, ...]) -> None:
        """A record was read that is a copy of these recipients of that record."""
        self._copies.setdefault((log, segment, offset), set()).update(indexes)

    def finish(self, scheduler: Scheduler, now: int) -> list[JournalEntry]:
        """All logs have been read once: entries whose copy exists are dropped. Call before the first actions()."""
        journal: list[JournalEntry] = []
        if self._copies:
            for entry in scheduler.places.entries():
                indexes = self._copies.get(entry.ref)
                if indexes is not None:
                    journal.extend(remove(scheduler, entry, indexes, now) or ())
        self._finished.clear()
        self._entries.clear()
        self._deferrals.clear()
        self._copies.clear()
        return journal


def _offsets(octets: bytes) -> array[int]:
    offsets = array("I")
    offsets.frombytes(octets[: len(octets) // 4 * 4])
    if sys.byteorder == "big":
        offsets.byteswap()
    return offsets
