"""What the uid log says of a mailbox: all its messages as columns. Pure.

A row is a message; rows are in the order of their UIDs and never move: an expunged message's row stays, marked GONE,
until the picture is packed, which happens when nobody holds row numbers. About 150 octets a message, its name
included.

``flags`` hold two marks of our own beside the flags of the vocabulary: IN_NEW and GONE.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from relay.mailbox import filename
from relay.mailbox.uidlog import Added, Claimed, Expunged, Flagged, Head, Item, Keyword, Looked, Record, Uidl
from relay.mailbox.vocabulary import DELETED, SEEN

IN_NEW: Final = 64
"""The file is in ``new`` and has no info."""
GONE: Final = 128
"""Expunged; only its row is left."""
MARKS: Final = IN_NEW | GONE
UNKNOWN: Final = (1 << 64) - 1
"""A size that the name does not tell and nobody has counted yet."""
REMEMBERED: Final = 50_000
"""Expunged UIDs that a compacted log keeps."""

COLUMNS: Final = {
    "uids": "I",
    "flags": "Q",
    "modseqs": "Q",
    "internal_dates": "q",
    "save_dates": "q",
    "email_ids": "Q",
    "disk_sizes": "Q",
    "sizes": "Q",
    "ends": "Q",
}
"""Their names and types; ``ends`` is where a row's name ends in ``names``."""


class Picture:
    """A fold over records; the first is a Head."""

    def __init__(self, head: Head) -> None:
        self.uidvalidity = head.uidvalidity
        self.mailbox_id = head.mailbox_id
        self.uidnext = head.uidnext
        self.highestmodseq = head.highestmodseq
        self.first_recent = head.first_recent
        self.floor = head.floor
        self.keywords: list[str] = []
        self.uidls: dict[int, str] = {}
        self.looked = (0, 0, 0)
        self.in_new: set[int] = set()
        """UIDs of messages marked IN_NEW."""
        self.gone = 0
        """Rows marked GONE."""
        self.uids: array[int] = array("I")
        self.flags: array[int] = array("Q")
        self.modseqs: array[int] = array("Q")
        self.internal_dates: array[int] = array("q")
        self.save_dates: array[int] = array("q")
        self.email_ids: array[int] = array("Q")
        self.disk_sizes: array[int] = array("Q")
        self.sizes: array[int] = array("Q")
        self.names = bytearray()
        self.ends: array[int] = array("Q")
        self.expunged_uids: array[int] = array("I")
        self.expunged_modseqs: array[int] = array("Q")

    def __len__(self) -> int:
        """Messages that are there."""
        return len(self.uids) - self.gone

    def apply(self, record: Record) -> None:
        """Takes the next record. What speaks of messages that are not there changes only the highest numbers."""
        match record:
            case Added(modseq, items):
                for item in items:
                    self._add(modseq, item)
                self._reached(modseq)
            case Flagged(modseq, pairs):
                for uid, flags in pairs:
                    self._flag(modseq, uid, flags)
                self._reached(modseq)
            case Expunged(modseq, uids):
                for uid in uids:
                    self._expunge(modseq, uid)
                self._reached(modseq)
            case Looked():
                self._look(record)
            case Claimed() | Keyword() | Uidl() | Head():
                self._note(record)

    def row_of(self, uid: int) -> int:
        """The row of the message that has this UID and is there; -1 when there is none."""
        row = bisect_left(self.uids, uid)
        return row if row < len(self.uids) and self.uids[row] == uid and not self.flags[row] & GONE else -1

    def base(self, row: int) -> str:
        """The message's unique name."""
        return os.fsdecode(self.octets_of_base(row))

    def octets_of_base(self, row: int) -> bytes:
        """The same as it is on disk."""
        start = self.ends[row - 1] if row else 0
        return bytes(self.names[start : self.ends[row]])

    def rows(self) -> Iterator[int]:
        """Of the messages that are there."""
        if not self.gone:
            return iter(range(len(self.uids)))
        return (row for row, flags in enumerate(self.flags) if not flags & GONE)

    def row_named(self, base: str) -> int:
        """The row of the message that has this unique name and is there; -1 when there is none."""
        wanted = os.fsencode(base)
        at = self.names.rfind(wanted)
        while at >= 0:
            row = bisect_right(self.ends, at)
            is_whole = at == (self.ends[row - 1] if row else 0) and self.ends[row] == at + len(wanted)
            if is_whole and not self.flags[row] & GONE:
                return row
            at = self.names.rfind(wanted, 0, at + len(wanted) - 1)
        return -1

    def bases(self) -> dict[str, int]:
        """The rows of all messages that are there, by their unique names. Large: made for one look."""
        names, start, found = os.fsdecode(bytes(self.names)), 0, {}
        if len(names) != len(self.names):  # not ASCII: offsets of octets are none of signs
            return {self.base(row): row for row in self.rows()}
        for row, end in enumerate(self.ends):
            found[names[start:end]] = row
            start = end
        if self.gone:
            return {base: row for base, row in found.items() if not self.flags[row] & GONE}
        return found

    def counts(self) -> tuple[int, int, int]:
        r"""(Recent, unseen, with \Deleted)."""
        recent = unseen = deleted = 0
        first = bisect_left(self.uids, self.first_recent)
        for row, flags in enumerate(self.flags):
            if not flags & GONE:
                unseen += not flags & SEEN
                deleted += bool(flags & DELETED)
                recent += row >= first
        return recent, unseen, deleted

    def records(self, generation: int) -> list[Record]:
        """The shortest log that gives this picture; under another ``generation``."""
        cut = max(0, len(self.expunged_uids) - REMEMBERED)
        floor = max(self.floor, self.expunged_modseqs[cut - 1]) if cut else self.floor
        made: list[Record] = [
            Head(
                self.uidvalidity,
                self.mailbox_id,
                generation,
                self.uidnext,
                self.highestmodseq,
                self.first_recent,
                floor,
            )
        ]
        made += [Keyword(number, name) for number, name in enumerate(self.keywords)]
        made += self._additions()
        expunged = zip(self.expunged_modseqs[cut:], self.expunged_uids[cut:], strict=True)
        made += [Expunged(modseq, [uid for _, uid in run]) for modseq, run in groupby(expunged, itemgetter(0))]
        made += [Uidl(uid, text) for uid, text in self.uidls.items() if self.row_of(uid) >= 0]
        made.append(Looked(*self.looked, self.uidnext, self.highestmodseq, self.first_recent))
        return made

    def _additions(self) -> list[Record]:
        """Runs of rows with one MODSEQ."""
        made: list[Record] = []
        run: list[Item] = []
        modseq = 0
        for row in self.rows():
            if run and self.modseqs[row] != modseq:
                made.append(Added(modseq, run))
                run = []
            modseq = self.modseqs[row]
            run.append(
                Item(
                    self.uids[row],
                    self.flags[row],
                    self.email_ids[row],
                    self.internal_dates[row],
                    self.save_dates[row],
                    self.base(row),
                )
            )
        if run:
            made.append(Added(modseq, run))
        return made

    def _add(self, modseq: int, item: Item) -> None:
        if self.uids and item.uid <= self.uids[-1]:
            return  # a second time, or out of order: damage
        size, disk_size = filename.size(item.base), filename.disk_size(item.base)
        self.uids.append(item.uid)
        self.flags.append(item.flags)
        if item.flags & IN_NEW:
            self.in_new.add(item.uid)
        self.modseqs.append(modseq)
        self.email_ids.append(item.email_id)
        self.internal_dates.append(item.internal_date)
        self.save_dates.append(item.save_date)
        self.sizes.append(UNKNOWN if size is None else size)
        self.disk_sizes.append(UNKNOWN if disk_size is None else disk_size)
        self.names += os.fsencode(item.base)
        self.ends.append(len(self.names))
        self.uidnext = max(self.uidnext, item.uid + 1)

    def _flag(self, modseq: int, uid: int, flags: int) -> None:
        if (row := self.row_of(uid)) >= 0:
            self.flags[row] = flags
            self.modseqs[row] = modseq
            if not flags & IN_NEW:
                self.in_new.discard(uid)

    def _look(self, record: Looked) -> None:
        self.looked = (record.new, record.cur, record.dirty_since)
        self.uidnext = max(self.uidnext, record.uidnext)
        self.first_recent = max(self.first_recent, record.first_recent)
        self._reached(record.highestmodseq)

    def _note(self, record: Claimed | Keyword | Uidl | Head) -> None:
        """What raises no MODSEQ."""
        match record:
            case Claimed(uids):
                for uid in uids:
                    if (row := self.row_of(uid)) >= 0:
                        self.flags[row] &= ~IN_NEW
                        self.in_new.discard(uid)
            case Keyword(number, name):
                self.keywords += [""] * (number + 1 - len(self.keywords))
                self.keywords[number] = name
            case Uidl(uid, text):
                self.uidls[uid] = text
            case Head():
                pass

    def _expunge(self, modseq: int, uid: int) -> None:
        row = self.row_of(uid)
        if row >= 0:
            self.flags[row] |= GONE
            self.modseqs[row] = modseq
            self.gone += 1
            self.in_new.discard(uid)
        self.expunged_uids.append(uid)
        self.expunged_modseqs.append(modseq)

    def _reached(self, modseq: int) -> None:
        self.highestmodseq = max(self.highestmodseq, modseq)


def packed(picture: Picture, records: Sequence[Record]) -> Picture:
    """The picture that ``records`` (those of ``picture``) give, with the sizes that are known."""
    head = records[0]
    assert isinstance(head, Head)
    made = Picture(head)
    for record in records[1:]:
        made.apply(record)
    for row, old in enumerate(picture.rows()):
        made.sizes[row] = picture.sizes[old]
        made.disk_sizes[row] = picture.disk_sizes[old]
    return made
