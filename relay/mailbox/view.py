"""An open mailbox as one session sees it: a snapshot that only a refresh moves on.

Theory: the view has its own arrays of UIDs, flags and MODSEQs (28 octets a message, the row numbers included); what
never changes about a message it reads from the picture that all views share, by row number. When the picture was
replaced by a packed one, rows are found again by UID at the next refresh; until then the old picture stays alive for
this view.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import compress
from pathlib import Path
from typing import TypeVar

from relay.mailbox import _runs, appending, change, structure
from relay.mailbox.columns import GONE, MARKS, UNKNOWN, Picture
from relay.mailbox.content import FileContent, crlf_size, likely_size, wholes
from relay.mailbox.files import account_of
from relay.mailbox.inotify_names import ChangedNames
from relay.mailbox.mailbox import Mailbox
from relay.mailbox.message_cache import PARTS
from relay.mailbox.quota import Usage
from relay.mailbox.structure import Scanned
from relay.mailbox.vocabulary import (
    RECENT,
    Changes,
    Copied,
    How,
    Part,
    Refusal,
    Refused,
    Stored,
    flag_names,
)
from relay.net import stopping

T = TypeVar("T")

_numbers: array[int] = array("q")
"""0, 1, 2 and so on, as far as the largest mailbox needed them: a slice of it costs no loop."""


def numbers(count: int) -> array[int]:
    """The numbers below ``count``, and perhaps more. Not to be changed."""
    global _numbers  # noqa: PLW0603 - replaced as a whole, so that threads need no lock
    found = _numbers
    if len(found) < count:
        found = _numbers = array("q", range(2 * count))
    return found


class FolderView:
    """Fulfils View (relay/mailbox/interfaces.py)."""

    def __init__(
        self, mailbox: Mailbox, name: str, is_read_only: bool, usage: Usage, target: Callable[[str], Mailbox]
    ) -> None:
        """``target`` finds the mailbox that messages are copied to."""
        self.name = name
        self.is_read_only = is_read_only
        """So it was opened, or nothing can be written."""
        self._mailbox = mailbox
        self._usage = usage
        self._target = target
        self.uids: array[int] = array("I")
        self.flags: array[int] = array("Q")
        self.modseqs: array[int] = array("Q")
        self._rows: array[int] = array("q")
        """In the picture; -1 for a message that it no longer has."""
        self.highestmodseq = 0
        self.uidnext = 1
        self._gone = -1
        self._counted: tuple[int, list[tuple[int, int]]] = (0, [(0, 0)])
        """The UID of the message that was read last, and the places in it that are known (content.py)."""
        with mailbox.locked(claim=not is_read_only) as picture:
            self.is_read_only = is_read_only or not mailbox.is_writable
            self._picture = picture
            self.uidvalidity = picture.uidvalidity
            self._id = picture.mailbox_id
            self._add_new()
            self._take_numbers()
            self._gone = picture.gone

    @property
    def changed_names(self) -> ChangedNames:
        """The names that the watcher has seen change."""
        return self._mailbox.changed_names

    @property
    def folder(self) -> Path:
        """Where the mailbox is."""
        return self._mailbox.folder

    @property
    def mailbox_id(self) -> str:
        return f"F{self._id:016x}"

    @property
    def keywords(self) -> Sequence[str]:
        return self._mailbox.picture.keywords

    def __len__(self) -> int:
        return len(self.uids)

    def index_of(self, uid: int) -> int:
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else -1

    def flag_names(self, mask: int) -> tuple[str, ...]:
        return flag_names(mask, self.keywords)

    def internal_date(self, index: int) -> int:
        return self._picture.internal_dates[self._row(index)]

    def save_date(self, index: int) -> int:
        return self._picture.save_dates[self._row(index)]

    def size(self, index: int) -> int:
        row = self._row(index)
        if self._picture.sizes[row] == UNKNOWN:
            try:
                self._picture.sizes[row] = self._reading(index, lambda path: crlf_size(self._mailbox.folder / path))
            except OSError:
                return likely_size(self._mailbox.folder / (self._mailbox.path(self.uids[index]) or ""))
        return self._picture.sizes[row]

    def sizes(self, run: Sequence[int]) -> list[int]:
        found = _runs.gather(self._picture.sizes, self._rows, list(run))
        return [self.size(index) for index in run] if found is None or UNKNOWN in found else found

    def internal_dates(self, run: Sequence[int]) -> list[int]:
        found = _runs.gather(self._picture.internal_dates, self._rows, list(run))
        return [self.internal_date(index) for index in run] if found is None else found

    def email_id(self, index: int) -> str:
        return f"M{self._picture.email_ids[self._row(index)]:016x}"

    def uidl(self, index: int) -> str:
        uid = self.uids[index]
        return self._picture.uidls.get(uid) or f"{uid:08x}{self.uidvalidity:08x}"

    def refresh(self, *, may_vanish: bool = True) -> Changes:
        mailbox = self._mailbox
        picture = mailbox.picture
        is_settled = picture is self._picture and self._gone == picture.gone
        if mailbox.is_current() and is_settled and self.highestmodseq == picture.highestmodseq:
            return Changes(0, (), ())
        with mailbox.locked(claim=not self.is_read_only) as picture:
            if picture is not self._picture:
                self._rows = array("q", map(picture.row_of, self.uids))
                self._picture = picture
                self._gone = -1
            vanished = self._take_vanished() if may_vanish and self._gone != picture.gone else []
            changed = self._take_changed() if self.highestmodseq != picture.highestmodseq else []
            new = self._add_new()
            self._take_numbers()
            if may_vanish:
                self._gone = picture.gone
        return Changes(new, changed, vanished)

    def store_flags(
        self, uids: Iterable[int], how: How, flags: Collection[str], unchanged_since: int | None = None
    ) -> Stored:
        self._require_writable()
        wanted = self._mine(uids)
        stored = change.store_flags(self._mailbox, wanted, how, flags, unchanged_since)
        left = {*stored.failed, *stored.gone}
        picture = self._mailbox.picture
        for uid in wanted:
            row = picture.row_of(uid)
            if uid not in left and row >= 0:
                index = self.index_of(uid)
                self.flags[index] = picture.flags[row] & ~MARKS | self.flags[index] & RECENT
                self.modseqs[index] = picture.modseqs[row]
        return stored

    def expunge(self, uids: Iterable[int] | None = None, *, deleted_only: bool = True) -> Sequence[int]:
        self._require_writable()
        among = self.uids if uids is None else self._mine(uids)
        return change.expunge(self._mailbox, among, deleted_only=deleted_only)

    def copy(self, uids: Iterable[int], name: str) -> Copied:
        return appending.copy(self._mailbox, self._mine(uids), self._target(name), self._usage, move=False)

    def move(self, uids: Iterable[int], name: str) -> Copied:
        self._require_writable()
        return appending.copy(self._mailbox, self._mine(uids), self._target(name), self._usage, move=True)

    def vanished_since(self, modseq: int) -> Sequence[int]:
        picture = self._mailbox.picture
        mine = set(self.uids)
        if modseq < picture.floor:
            return array("I", (uid for uid in range(1, self.uidnext) if uid not in mine))
        expunged = zip(picture.expunged_uids, picture.expunged_modseqs, strict=True)
        return sorted({uid for uid, at in expunged if at > modseq and uid not in mine and uid < self.uidnext})

    def content(self, index: int) -> FileContent:
        size = self._picture.sizes[self._row(index)]

        def places() -> Sequence[tuple[int, int]]:
            scanned = self._kept_parts(index)
            return scanned.places if scanned else ()

        if self._counted[0] != self.uids[index]:
            self._counted = self.uids[index], [(0, 0)]
        known, counted = None if size == UNKNOWN else size, self._counted[1]
        folder = self._mailbox.folder

        def opened(path: str) -> FileContent:
            return FileContent(
                f"{folder}/{path}", known, places, counted, lambda fault: self._mailbox.report(path, fault)
            )

        return self._reading(index, opened)

    def wholes(self, run: Sequence[int]) -> list[bytes | None]:
        root, _ = account_of(self._mailbox.folder)
        return wholes(root, self._mailbox.paths([self.uids[index] for index in run]))

    def parts(self, index: int) -> Sequence[Part]:
        stopping.check()
        if self._mailbox.path(self.uids[index]) is None:
            raise Refused(Refusal.EXPUNGED, "the message is no longer there")
        scanned = self._kept_parts(index)
        if scanned is None:
            scanned = self._reading(index, lambda path: structure.scan(self._mailbox.folder / path))
            self._mailbox.facts.put(self.uids[index], PARTS, structure.pack(scanned))
        return scanned.parts

    def cached(self, index: int, kind: int) -> bytes | None:
        return self._mailbox.facts.get(self.uids[index], kind)

    def cached_run(self, run: Sequence[int], kind: int) -> list[bytes | None]:
        return self._mailbox.facts.get_run([self.uids[index] for index in run], kind)

    def cache(self, index: int, kind: int, octets: bytes) -> None:
        self._mailbox.facts.put(self.uids[index], kind, octets)

    def close(self) -> None:
        self._mailbox.close()

    def _kept_parts(self, index: int) -> Scanned | None:
        kept = self._mailbox.facts.get(self.uids[index], PARTS)
        return structure.unpack(kept) if kept is not None else None

    def _reading(self, index: int, read: Callable[[str], T]) -> T:
        """What ``read`` makes of the message's file; once more when somebody renames it in this moment. OSError when it
        cannot be read, which is told."""
        for _ in range(3):
            path = self._mailbox.path(self.uids[index]) or "cur/gone"
            try:
                return read(path)
            except FileNotFoundError:
                self._mailbox.found(self.uids[index])
            except OSError as fault:
                self._mailbox.report(path, fault)
                raise
        raise Refused(Refusal.EXPUNGED, "the message is no longer there")

    def _row(self, index: int) -> int:
        row = self._rows[index]
        if row < 0:
            raise Refused(Refusal.EXPUNGED, "the message is no longer there")
        return row

    def _mine(self, uids: Iterable[int]) -> list[int]:
        return sorted({uid for uid in uids if self.index_of(uid) >= 0})

    def _take_vanished(self) -> list[tuple[int, int]]:
        flags = self._picture.flags
        kept = [row >= 0 and not flags[row] & GONE for row in self._rows]
        vanished = [(index + 1, self.uids[index]) for index, is_kept in enumerate(kept) if not is_kept]
        if vanished:
            for name in ("uids", "flags", "modseqs", "_rows"):
                column = getattr(self, name)
                setattr(self, name, array(column.typecode, compress(column, kept)))
        return vanished

    def _take_changed(self) -> list[int]:
        picture, since = self._picture, self.highestmodseq
        changed: list[int] = []
        modseqs, flags = picture.modseqs, picture.flags
        for index, row in enumerate(self._rows):
            if row >= 0 and modseqs[row] > since and not flags[row] & GONE:
                now = flags[row] & ~MARKS | self.flags[index] & RECENT
                if modseqs[row] != self.modseqs[index] or now != self.flags[index]:
                    self.flags[index], self.modseqs[index] = now, modseqs[row]
                    changed.append(self.uids[index])
        return changed

    def _add_new(self) -> int:
        picture = self._picture
        first = bisect_left(picture.uids, self.uidnext)
        before = len(self.uids)
        rows: Sequence[int] = range(first, len(picture.uids))
        if picture.gone:
            rows = [row for row in rows if not picture.flags[row] & GONE]
        if before == 0 and not picture.gone and not picture.in_new:
            self.uids, self.flags, self.modseqs = picture.uids[first:], picture.flags[first:], picture.modseqs[first:]
        else:
            self.uids.extend([picture.uids[row] for row in rows])
            self.flags.extend([picture.flags[row] & ~MARKS for row in rows])
            self.modseqs.extend([picture.modseqs[row] for row in rows])
        if before == 0 and not picture.gone:
            self._rows = numbers(len(picture.uids))[first : len(picture.uids)]
        else:
            self._rows.extend(rows)
        for index in range(max(before, bisect_left(self.uids, picture.first_recent)), len(self.uids)):
            self.flags[index] |= RECENT
        return len(self.uids) - before

    def _take_numbers(self) -> None:
        picture: Picture = self._picture
        if not self.is_read_only:
            self._mailbox.told()
        self.highestmodseq, self.uidnext = picture.highestmodseq, picture.uidnext

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise Refused(Refusal.READ_ONLY, "the mailbox is open read-only")
