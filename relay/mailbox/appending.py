"""Messages that come into a mailbox by APPEND or COPY: files in ``tmp`` first, then all of them at once.

Here lines become LF, as delivery has it (relay/mailbox/maildir.py), and what would not come back as it was is kept
octet for octet; the internal date becomes the file's modification time, where every program finds it. A short message
is held until all of it is there, and then written in one go under the name that it keeps; a longer one goes to disk as
it comes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from relay.mailbox import _disk, change, filename
from relay.mailbox.change import Draft
from relay.mailbox.content import require_readable
from relay.mailbox.files import NO_ROOM
from relay.mailbox.mailbox import Mailbox
from relay.mailbox.maildir import LineFeeds, require_maildir, unique_name
from relay.mailbox.quota import Usage
from relay.mailbox.vocabulary import Appended, Copied, Refusal, Refused, system_flags

HELD: Final = 1 << 16
"""Octets of a message that are held in memory before they go to disk."""


class FileAppending:
    """Fulfils Appending (relay/mailbox/interfaces.py)."""

    def __init__(self, mailbox: Mailbox, usage: Usage) -> None:
        self._mailbox = mailbox
        self._usage = usage
        self._drafts: list[Draft] = []
        self._open: _Open | None = None
        self._octets = 0

    def add(self, flags: Collection[str] = (), internal_date: int | None = None) -> None:
        self._finish()
        system_flags(flags)
        self._usage.require_room(self._octets, len(self._drafts) + 1, self._mailbox.folder)
        date = int(self._mailbox.root.now()) if internal_date is None else internal_date
        self._open = _Open(self._mailbox.folder, tuple(flags), date)

    def write(self, octets: bytes | memoryview) -> None:
        assert self._open is not None, "add() comes first"
        self._octets += self._open.write(bytes(octets))
        self._usage.require_room(self._octets, len(self._drafts) + 1, self._mailbox.folder)

    def commit(self) -> Appended:
        try:
            self._finish()
            appended = change.add(self._mailbox, self._drafts)
        except BaseException:
            self.abort()
            raise
        self._drafts = []
        return appended

    def abort(self) -> None:
        if self._open is not None:
            self._open.abort()
            self._open = None
        _discard(self._mailbox.folder, self._drafts)
        self._drafts = []

    def _finish(self) -> None:
        if self._open is not None:
            draft = self._open.finish()
            self._open = None
            self._drafts.append(draft)


def copy(source: Mailbox, uids: Sequence[int], target: Mailbox, usage: Usage, *, move: bool) -> Copied:
    """Links the messages ``uids`` (ascending) into ``target``; what is gone is left out. Durable."""
    if usage.is_limited:
        require = usage.require_room_in if move else usage.require_room
        require(sum(_octets(source, uid) for uid in uids), len(uids), target.folder)
    sources: list[int] = []
    drafts: list[Draft] = []
    try:
        for uid in uids:
            with contextlib.suppress(Refused):
                drafts.append(_linked(source, uid, target.folder, is_urgent=move))
                sources.append(uid)
        appended = change.add(target, drafts, is_growth=not move)
    except BaseException:
        _discard(target.folder, drafts)
        raise
    if move:
        _remove_moved(source, sources, target, appended)
    return Copied(appended.uidvalidity, sources, appended.uids)


def _remove_moved(source: Mailbox, sources: Sequence[int], target: Mailbox, appended: Appended) -> None:
    """What cannot be removed from ``source`` was not moved: its copy goes again, and the fault is raised."""
    try:
        change.expunge(source, sources, deleted_only=False, keep=False)
    except OSError:
        with source.locked() as picture:
            stayed = {uid for uid in sources if picture.row_of(uid) >= 0}
        copies = [copy for uid, copy in zip(sources, appended.uids, strict=True) if uid in stayed]
        with contextlib.suppress(OSError):
            change.expunge(target, copies, deleted_only=False, keep=False)
        raise


class _Open:
    """The message that is being written."""

    def __init__(self, folder: Path, flags: tuple[str, ...], date: int) -> None:
        self._folder = folder
        self._name = unique_name()
        self._flags = flags
        self._date = date
        self._lines = LineFeeds()
        self._is_exact = False
        """It is kept octet for octet."""
        self._size = self._sent = 0
        self._held: list[bytes] = []
        self._held_raw: list[bytes] = []
        """What ``_held`` was before its lines became LF."""
        self._descriptor = -1
        """Of the file, once it is more than is held."""

    def write(self, octets: bytes) -> int:
        """How many octets more there are."""
        before = self._size
        if self._is_exact:
            self._put(octets, len(octets))
            return len(octets)
        self._held_raw.append(octets)
        lines = self._lines.take(octets)
        if self._lines.is_lossy:
            self._begin_again()
        else:
            self._put(lines, len(lines) + lines.count(b"\n"))
        return self._size - before

    def finish(self) -> Draft:
        """*Synced* in ``tmp`` under its base."""
        if not self._is_exact:
            lines = self._lines.end()
            self._put(lines, len(lines))
        base = f"{self._name},S={self._size},W={self._sent}"
        path = self._folder / "tmp" / base
        if self._descriptor < 0:
            self._write_whole(os.fsencode(path))
        else:
            os.utime(self._descriptor, (self._date, self._date))
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            os.rename(self._folder / "tmp" / self._name, path)
        return Draft(base, self._flags, self._date, filename.email_id(base))

    def abort(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            os.unlink(self._folder / "tmp" / self._name)

    def _put(self, octets: bytes, sent: int) -> None:
        self._size += len(octets)
        self._sent += sent
        self._held.append(octets)
        if self._size > HELD:
            self._spill()

    def _begin_again(self) -> None:
        """Lines cannot be LF: all that there is so far becomes what it was, and what comes stays as it is."""
        self._is_exact = True
        raw, self._held, self._held_raw = self._held_raw, [], []
        self._size = self._sent = 0
        if self._descriptor >= 0:
            written, self._descriptor = self._descriptor, -1
            try:
                os.unlink(self._folder / "tmp" / self._name)
                at = 0
                while block := os.pread(written, HELD, at):
                    at += len(block)
                    sent = block.replace(b"\n", b"\r\n")
                    self._put(sent, len(sent))
            finally:
                os.close(written)
        for octets in raw:
            self._put(octets, len(octets))

    def _spill(self) -> None:
        """What is held goes to disk."""
        if self._descriptor < 0:
            require_maildir(self._folder)
            how = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            self._descriptor = os.open(self._folder / "tmp" / self._name, how, 0o600)
        view = memoryview(b"".join(self._held))
        self._held.clear()
        self._held_raw = [self._lines.carried]
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _write_whole(self, path: bytes) -> None:
        octets = b"".join(self._held)
        try:
            _disk.write_file(path, octets, self._date)
        except FileNotFoundError:  # somebody removed ``tmp``
            require_maildir(self._folder)
            _disk.write_file(path, octets, self._date)


def _linked(source: Mailbox, uid: int, folder: Path, *, is_urgent: bool) -> Draft:
    """A second name for the message's file, in ``tmp`` of ``folder``. Refused EXPUNGED when it is gone. ``is_urgent``:
    on a full disk what was removed gives way to it, as it does to what is removed (change.py): many programs that
    delete a message move it to the trash."""
    for _ in range(3):
        path = source.found(uid)
        with source.locked() as picture:
            row = picture.row_of(uid)
            if row < 0:
                continue
            flags = change.names_of(picture, uid)
            date, email_id, old = picture.internal_dates[row], picture.email_ids[row], picture.base(row)
        base = unique_name() + filename.sizes(old)
        try:
            try:
                _link(source.folder / path, folder / "tmp" / base)
            except OSError as fault:
                if not is_urgent or fault.errno not in NO_ROOM or not change.give_way(source):
                    raise
                _link(source.folder / path, folder / "tmp" / base)
        except FileNotFoundError:
            continue
        except OSError as fault:
            source.report(path, fault)
            raise
        return Draft(base, flags, date, email_id)
    raise Refused(Refusal.EXPUNGED, "the message is no longer there")


def _link(path: Path, target: Path) -> None:
    """OSError for a message that cannot be read: all of a set is copied, or nothing (RFC 9051 6.4.7)."""
    require_readable(path)
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as fault:
        if fault.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            raise
        shutil.copy2(path, target, follow_symlinks=False)  # a file system without links
        with open(target, "rb") as file:
            os.fsync(file.fileno())


def _octets(mailbox: Mailbox, uid: int) -> int:
    picture = mailbox.picture
    row = picture.row_of(uid)
    return (filename.disk_size(picture.base(row)) or 0) if row >= 0 else 0


def _discard(folder: Path, drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        with contextlib.suppress(OSError):
            os.unlink(folder / "tmp" / draft.base)
