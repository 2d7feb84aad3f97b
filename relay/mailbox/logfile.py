"""The uid log's file: its lock, its transactions, and its replacement by a shorter one.

Theory: whoever reads or writes holds an exclusive ``flock`` on the file itself, for as long as a few system calls take.
Such a lock ends with the process that holds it, however it ends, so there is no stale lock and no lock file. A log
that has grown is replaced by rename; who then holds the lock of the old one sees another inode under the name and
opens again.

Behind its end the log has RESERVE octets of the disk, or half of that: so what removes messages can be logged when the
disk is full, and nobody is kept from making room. Additions may not use it. Where a log may only be read, its lock is
taken all the same.

Not here: what records mean (relay/mailbox/columns.py), their octets (relay/mailbox/uidlog.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from relay.mailbox import _disk, uidlog
from relay.mailbox.files import open_file
from relay.mailbox.maildir import sync_directory
from relay.mailbox.uidlog import Head, Parsed, Record
from relay.mailbox.vocabulary import Refusal, Refused
from relay.net.locks import Patience, lock

NAME: Final = "relay-uids"
RESERVE: Final = 8192
"""Octets."""
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class LogFile:
    """The log in ``folder``. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._name = os.fsencode(self.path)
        self._folders = os.fsencode(folder / "new"), os.fsencode(folder / "cur")
        self._descriptor = -1
        self.end = 0
        """How far it was read or written: whole records end here."""
        self.last = b""
        """The frame of the record that ends there."""
        self.damaged = 0
        """Octets in the middle that were no records, since it was opened."""
        self.is_writable = True
        """Not: it could be opened for reading only."""

    def lock(self) -> bool:
        """Waits for the lock and takes it; whether this is another file than before. Made when it is not there
        (then it is empty); Refused NONEXISTENT when the folder is not. OSError ETIMEDOUT when somebody holds it for
        too long; JobStopped."""
        patience: Patience | None = None
        is_other = self._descriptor < 0
        while True:
            if self._descriptor < 0:
                self._open()
                is_other = True
            try:
                is_current = _disk.lock(self._descriptor, self._name)
            except BlockingIOError:
                patience = patience or Patience()
                patience.wait()
                continue
            if is_current:
                if is_other:
                    self.end, self.last, self.damaged = 0, b"", 0
                return is_other
            self.close()

    def unlock(self) -> tuple[int, int]:
        """Gives the lock back; (inode, size) of the file, (0, 0) when none is open."""
        return _disk.unlock(self._descriptor) if self._descriptor >= 0 else (0, 0)

    def close(self) -> None:
        """Also gives back the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()  # a mailbox that nobody uses any more

    def fingerprint(self) -> tuple[int, int]:
        """(Inode, size) of what has the name now; needs no lock. (0, 0) when there is nothing."""
        try:
            found = os.stat(self.path)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def look(self) -> tuple[int, int, int]:
        """The log's size, and ``modified``."""
        return _disk.look(self._descriptor, *self._folders)

    def modified(self) -> tuple[int, int]:
        """Modification times (ns) of ``new`` and ``cur`` beside the log; 0 for one that is not there."""
        return _disk.modified(*self._folders)

    def head(self) -> Head | None:
        """None: the log is new, or its beginning is damaged."""
        return uidlog.read_head(os.pread(self._descriptor, uidlog.HEAD_SIZE, 0))

    def holds(self, frame: bytes, end: int, length: int) -> bool:
        """Whether a record with this frame and body ends at ``end``."""
        start = end - length
        return start >= 0 and os.pread(self._descriptor, len(frame), start) == frame

    def read(self) -> list[Record]:
        """The records after ``end``."""
        octets = self._read_from(self.end)
        if not octets:
            return []
        parsed: Parsed = uidlog.parse(octets)
        self.end += parsed.end
        self.last = parsed.last or self.last
        self.damaged += parsed.damaged
        return parsed.records

    def has_room(self, octets: int) -> bool:
        """Whether so much more can be appended without the reserve."""
        return self.is_writable and _disk.has_room(self._descriptor, self.end, octets, RESERVE)

    def append(self, records: list[Record], *, durable: bool, is_growth: bool = False) -> None:
        """Writes one transaction at ``end``, over a torn tail; *synced* when ``durable``; not into the reserve when
        ``is_growth``. OSError: nothing was appended."""
        octets = uidlog.encode_all(records)
        if not self.is_writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.path))
        _disk.append(self._descriptor, octets, self.end, durable, RESERVE, not is_growth)
        self.end += len(octets)
        self.last = uidlog.parse(uidlog.encode(records[-1])).last

    def replace(self, records: list[Record]) -> None:
        """Puts a log of ``records`` in this one's place and holds its lock; *published* when it returns."""
        octets = uidlog.encode_all(records)
        beside = self.path.with_suffix(".tmp")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        descriptor = open_file(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            lock(descriptor)
            _disk.append(descriptor, octets, 0, True, RESERVE, False)
            os.rename(beside, self.path)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        self.close()
        self._descriptor = descriptor
        self.is_writable = True
        with contextlib.suppress(OSError):  # the name is there for everybody; after a power loss it may be the old log
            sync_directory(self.folder)
        self.end = len(octets)
        self.last = uidlog.parse(uidlog.encode(records[-1])).last

    def _open(self) -> None:
        try:
            self._descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT)
            self.is_writable = True
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(Refusal.NONEXISTENT, "there is no such mailbox") from None
        except OSError as fault:
            if fault.errno not in _READ_ONLY:
                raise
            try:
                self._descriptor = open_file(self.path)
            except OSError:
                raise fault from None
            self.is_writable = False

    def _read_from(self, offset: int) -> bytes:
        pieces = []
        while piece := os.pread(self._descriptor, 1 << 24, offset):
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)
