"""One mailbox in one process: the picture that all of its views share, kept true to the log and to the files.

Theory: a transaction holds the log's lock, reads what others have logged, looks at the folder when its modification
times are not those that the log has seen, renames files, and appends records. What is logged as ``Looked`` lets every
other process skip the look. Order of things, so that a crash at any point loses and repeats nothing:

- an addition of one message is renamed, then logged and synced; of several it is logged and synced while the files are
  in ``tmp``, then they are renamed (a look rolls them forward);
- flags are renamed, then logged: a look finds them as a foreign change;
- a removal is renamed away and synced, then logged: a look finds it gone.

Modification times have the grain of a clock tick, and our own renames change them too. A time that is only just past
is not trusted; in a large folder the times after our own changes are, but only for TRUST, and then a look follows.
Where a watcher is at work, the names that it gets show a foreign change that they hide (inotify_names.py).

A disk that is full must not shut anybody out. The log keeps room for itself (logfile.py), which changes that remove or
mark something may use, and additions may not. What a look finds and the log has no room for is not in the picture until
it has: nobody is told of it, and the next look finds it again. On a disk that can only be read all of it is so.

Not here: what views show (relay/mailbox/view.py), the changes themselves (relay/mailbox/change.py).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from relay.mailbox import dovecot, index
from relay.mailbox.account_root import Root
from relay.mailbox.columns import IN_NEW, Picture, packed
from relay.mailbox.files import account_of
from relay.mailbox.inotify_names import ChangedNames
from relay.mailbox.logfile import LogFile
from relay.mailbox.message_cache import Facts
from relay.mailbox.rescan import expected, look, look_at_new
from relay.mailbox.uidlog import Added, Claimed, Expunged, Flagged, Head, Keyword, Looked, Record
from relay.mailbox.vocabulary import MAX_UID, Refusal, Refused

GRAIN: Final = 20_000_000
"""ns; a folder that was modified so recently may be modified again under the same time."""
TRUST: Final = 1_000_000_000
"""ns; how long changes of our own may hide a foreign one in a large folder that nobody watches: so long, or for
TRUSTED_LOOKS times what a look takes."""
TRUSTED_LOOKS: Final = 10
LARGE: Final = 2_000
"""Messages from which on a look is not for free."""
INDEX_AFTER: Final = 1 << 16
"""Octets of log from which on an index is written anew."""


class Mailbox:
    """The mailbox in ``folder``; for use by several threads."""

    def __init__(self, root: Root, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.log = LogFile(folder)
        self.facts = Facts(folder, root.troubles)
        self.changed_names = ChangedNames()
        """For the watcher to fill."""
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._picture: Picture | None = None
        self._generation = 0
        self._indexed = 0
        self._odd: dict[int, str] = {}
        self._trust = TRUST
        self._known: tuple[int, int] = (0, 0)
        self._identity: tuple[int, int] | None = None
        self.is_replaced = False
        """Another mailbox has the name now: no view of this one may touch it."""

    @property
    def picture(self) -> Picture:
        """As of the last transaction."""
        assert self._picture is not None
        return self._picture

    @contextlib.contextmanager
    def locked(self, *, claim: bool = False, force: bool = False) -> Iterator[Picture]:
        """Holds the mailbox, with the picture true to log and files. ``claim``: what is in ``new`` goes to ``cur``;
        ``force``: looks in any case. Refused NONEXISTENT when the mailbox was deleted."""
        with self._thread_lock:
            is_other = self._depth == 0 and self._lock()
            self._depth += 1
            try:
                self._make_true(is_other, force)
                if claim and self.picture.in_new:
                    self._claim()
                yield self.picture
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._known = self.log.unlock()

    @property
    def is_writable(self) -> bool:
        """Whether the log can be written, as far as its owner and the file system are concerned."""
        return self.log.is_writable

    def try_writing(self) -> None:
        """Where the log could only be read, another try is made: the disk may be mounted for writing by now."""
        with self._thread_lock:
            if self._depth == 0 and not self.log.is_writable:
                self.log.close()

    def _make_true(self, is_other: bool, force: bool) -> None:
        try:
            if is_other or self._picture is None or self.is_replaced:
                self._load()
            self._catch_up(force)
        except OSError as fault:
            self.root.troubles.report(fault.filename or self.folder, fault)
            raise

    def _lock(self) -> bool:
        try:
            return self.log.lock()
        except OSError as fault:
            self.root.troubles.report(self.log.path, fault)
            raise

    def is_current(self) -> bool:
        """Whether nothing has changed since the last transaction, as far as three modification times tell."""
        picture = self._picture
        if picture is None or self.log.fingerprint() != self._known:
            return False
        new, cur, dirty_since = picture.looked
        if dirty_since and self.changed_names:
            return False
        is_trusted = not dirty_since or time.time_ns() - dirty_since <= self._trust
        return is_trusted and (new, cur) == self.log.modified()

    def commit(self, records: Sequence[Record], *, durable: bool = True, is_growth: bool = False) -> None:
        """Appends ``records`` of changes that this transaction made to the files, and applies them. ``is_growth``: not
        into the room that is kept for removing."""
        self._require_uids(records)
        self._append(list(records), self._looked_after_own(), durable=durable)

    def path(self, uid: int) -> str | None:
        """Where the message's file is, as far as we know, below the folder; None when it is gone."""
        picture = self.picture
        if (row := picture.row_of(uid)) < 0:
            return None
        return self._odd.get(uid) or expected(picture.base(row), picture.flags[row])

    def paths(self, uids: Iterable[int]) -> list[bytes | None]:
        """``path`` for each of ``uids``, from the account's folder on, as octets."""
        picture, flags = self.picture, self.picture.flags
        before = account_of(self.folder)[1]
        frames: dict[int, tuple[bytes, bytes]] = {}
        found: list[bytes | None] = []
        for uid in uids:
            row = picture.row_of(uid)
            if row < 0 or uid in self._odd:
                path = self.path(uid)
                found.append(None if path is None else before + os.fsencode(path))
                continue
            if flags[row] not in frames:
                first, last = expected("\0", flags[row]).encode().split(b"\0")
                frames[flags[row]] = before + first, last
            first, last = frames[flags[row]]
            found.append(b"%b%b%b" % (first, picture.octets_of_base(row), last))
        return found

    def found(self, uid: int) -> str:
        """The same after a look, if need be. Refused EXPUNGED when it is gone."""
        path = self.path(uid)
        if path is None or not os.path.lexists(self.folder / path):
            with self.locked(force=True):
                path = self.path(uid)
        if path is None:
            raise Refused(Refusal.EXPUNGED, "the message is no longer there")
        return path

    def renamed(self, uid: int, path: str | None = None) -> None:
        """Our own rename gave the file another ``path`` than its flags give; None: the one that they give."""
        self._odd.pop(uid, None)
        if path is not None:
            self._odd[uid] = path

    def odd_letters(self, uid: int) -> str:
        """Info letters of other programs that the file has."""
        return self._odd[uid].partition(":2,")[2] if uid in self._odd else ""

    def close(self) -> None:
        """When the last view has gone: writes an index if that pays."""
        with self._thread_lock:
            picture = self._picture
            if picture is None or self.log.end - self._indexed < INDEX_AFTER:
                return
            with contextlib.suppress(OSError, Refused), self.locked():
                self._save_index()

    def forget(self) -> None:
        """Lets go of the file, for a mailbox that is being moved or deleted; the next use opens it again."""
        with self._thread_lock:
            self.log.close()
            self._picture = None

    def rebuild(self) -> None:
        """Throws the index and all facts away and writes them anew."""
        with self._thread_lock:
            self.forget()
            for name in (index.NAME, self.facts.path.name):
                (self.folder / name).unlink(missing_ok=True)
            self.facts.forget()
            with self.locked(force=True):
                self._save_index()

    # --- loading

    def _load(self) -> None:
        self.log.end, self.log.last = 0, b""
        head = self.log.head()
        self._odd = {}
        picture: Picture | None = None
        if head is not None:
            self._generation = head.generation
            picture = index.load(self.folder, self.log, head.generation, self.root.troubles)
            self._indexed = self.log.end
        if picture is None:
            picture = self._replayed(head)
        identity = picture.uidvalidity, picture.mailbox_id
        if self.is_replaced or (self._identity is not None and identity != self._identity):
            self.is_replaced = True
            raise Refused(Refusal.NONEXISTENT, "the mailbox was deleted")
        self._identity = identity
        self.facts.bind(*identity)
        self._picture = picture

    def _replayed(self, head: Head | None) -> Picture:
        """From the log alone; makes one when there is none. A damaged one is kept beside for people."""
        if head is None and self.log.size() > 0:
            self._keep_damaged()
        if head is None:
            records = dovecot.taken_over(self.folder, self._new_head(), int(self.root.now()))
            self.log.replace(records)
        else:
            records = self.log.read()
        first = records[0]
        assert isinstance(first, Head)
        picture = Picture(first)
        for record in records[1:]:
            picture.apply(record)
        if self.log.damaged:
            self._keep_damaged()
            picture.looked = (0, 0, 0)  # what the damage took has to be found again
            picture = self._replaced(picture)
        return picture

    def report(self, below: str, fault: OSError | str) -> None:
        """A file of the folder cannot be used: somebody has to be told."""
        self.root.troubles.report(self.folder / below, fault)

    def _keep_damaged(self) -> None:
        with contextlib.suppress(OSError):
            os.link(self.log.path, self.folder / f"relay-uids.damaged-{int(self.root.now())}")

    def _new_head(self) -> Head:
        random = os.urandom(16)
        mailbox_id, self._generation = (int.from_bytes(random[at : at + 8], "little") for at in (0, 8))
        return Head(self.root.next_uidvalidity(), mailbox_id, self._generation, 1, 1, 1, 0)

    def _replaced(self, picture: Picture) -> Picture:
        """A shorter log, and the picture that goes with it; the old ones when the disk has no room for it."""
        generation = int.from_bytes(os.urandom(8), "little")
        records = picture.records(generation)
        try:
            self.log.replace(records)
        except OSError as fault:
            self.root.troubles.report(self.log.path, fault)
            return picture
        self._generation = generation
        self.log.damaged = 0
        self._indexed = 0
        self.facts.compact({picture.uids[row] for row in picture.rows()})
        return packed(picture, records)

    # --- keeping true

    def _catch_up(self, force: bool) -> None:
        picture = self.picture
        size, new, cur = self.log.look()
        if size != self.log.end:
            for record in self.log.read():
                picture.apply(record)
            if self.log.damaged:
                picture.looked = (0, 0, 0)
                self._picture = picture = self._replaced(picture)
        now = time.time_ns()
        dirty_since = picture.looked[2]
        if dirty_since:
            force = self.changed_names.show_foreign_change(self.folder, picture, self._odd) or force
        else:
            self.changed_names.clear()
        if force or (new, cur) != picture.looked[:2] or (dirty_since and now - dirty_since > self._trust):
            self._look(new, cur, now, force=force)

    def _look(self, new: int, cur: int, now: int, *, force: bool) -> None:
        picture = self.picture
        modseq, second = picture.highestmodseq + 1, int(self.root.now())
        _, known_cur, dirty_since = picture.looked
        is_trusted = bool(dirty_since) and now - dirty_since <= self._trust
        seen = None
        if not force and cur == known_cur and (is_trusted or not dirty_since):
            seen = look_at_new(self.folder, picture, modseq, second)
        is_whole = seen is None
        if seen is None:
            began = time.monotonic_ns()
            seen = look(self.folder, picture, modseq, second)
            self._odd = seen.odd
            self._trust = max(TRUST, TRUSTED_LOOKS * (time.monotonic_ns() - began))
        for each in seen.strange:
            self.report(each, "no regular file, so it is no message")
        self._require_uids(seen.records)
        looked = (new if now - new > GRAIN else 0, cur, dirty_since)
        if is_whole:
            looked = (looked[0], cur if now - cur > GRAIN else 0, 0)
        if seen.records or looked != picture.looked:
            self._note(seen.records, looked)

    def _note(self, records: Sequence[Record], looked: tuple[int, int, int]) -> None:
        """Logs what a look found; without room for it, what does not grow the mailbox. What cannot be logged is not
        known yet, and is found again."""
        try:
            self._append(list(records), looked, durable=bool(records), is_growth=True)
        except OSError as fault:
            self.root.troubles.report(self.log.path, fault)
            kept: list[Record] = [each for each in records if not isinstance(each, Added)]
            if kept:
                with contextlib.suppress(OSError):
                    self._append(kept, (0, 0, 0), durable=True)

    def _claim(self) -> None:
        """Moves what is in ``new`` to ``cur``, where mail that somebody has seen belongs."""
        picture = self.picture
        uids = sorted(picture.in_new)
        if not self.log.has_room(16 + 4 * len(uids)):
            return
        claimed = []
        for uid in uids:
            row = picture.row_of(uid)
            target = expected(picture.base(row), picture.flags[row] & ~IN_NEW)
            try:
                os.rename(self.folder / (self.path(uid) or ""), self.folder / target)
            except FileNotFoundError:
                continue  # the next look finds out
            except OSError as fault:
                self.report(self.path(uid) or "", fault)
                continue
            claimed.append(uid)
            self.renamed(uid, target)
        if not claimed:
            return
        with contextlib.suppress(OSError):  # the next look finds out
            self._append([Claimed(claimed)], self._looked_after_own(), durable=False)
            for uid in claimed:
                self.renamed(uid)

    def _looked_after_own(self) -> tuple[int, int, int]:
        """What to trust of the modification times after changes of our own."""
        new, cur = self.log.modified()
        known_new, known_cur, dirty_since = self.picture.looked
        if cur != known_cur:
            if known_cur and len(self.picture) >= LARGE:
                dirty_since = dirty_since or time.time_ns()
            else:
                cur = dirty_since = 0
        return (new if new == known_new else 0), cur, dirty_since

    def _append(
        self, records: list[Record], looked: tuple[int, int, int], *, durable: bool, is_growth: bool = False
    ) -> None:
        picture = self.picture
        modseqs = [each.modseq for each in records if isinstance(each, Added | Flagged | Expunged)]
        modseq = max([picture.highestmodseq, *modseqs])
        uidnext = max([picture.uidnext, *(each.items[-1].uid + 1 for each in records if isinstance(each, Added))])
        records.append(Looked(*looked, uidnext, modseq, picture.first_recent))
        self.log.append(records, durable=durable, is_growth=is_growth)
        for record in records:
            picture.apply(record)
        if any(isinstance(each, Keyword) for each in records):
            dovecot.write_keywords(self.folder, picture.keywords)
        if self.log.end > 2 * self._needed() + (1 << 20):
            self._picture = self._replaced(picture)
        if self.log.end - self._indexed > 16 * INDEX_AFTER:
            self._save_index()

    def told(self) -> None:
        r"""The messages that are there now are \Recent for nobody after this (RFC 3501 2.3.2)."""
        picture = self.picture
        if picture.first_recent < picture.uidnext:
            picture.first_recent = picture.uidnext
            with contextlib.suppress(OSError):
                self._append([], picture.looked, durable=False, is_growth=True)

    def _needed(self) -> int:
        """About how long a fresh log would be."""
        picture = self.picture
        return 60 * len(picture) + len(picture.names) + 4 * len(picture.expunged_uids)

    def _save_index(self) -> None:
        index.save(self.folder, self.log, self._generation, self.picture)
        self._indexed = self.log.end

    def _require_uids(self, records: Sequence[Record]) -> None:
        """RFC 9051 2.3.1.1: UIDs have 32 bits; when they run out nothing more can come in."""
        for each in records:
            if isinstance(each, Added) and each.items[-1].uid > MAX_UID:
                raise Refused(Refusal.LIMIT, "this mailbox has no more UIDs")
