"""Maildir: one folder per mailbox, one file per message, published by a rename.

Theory: a message is written under a unique name in ``tmp``, synced, renamed into ``new``, and ``new`` is synced: a
reader sees all of it or nothing, and after that no crash loses it. Lines end in LF on disk, as programs that read
Maildirs expect (qmail, mutt, Dovecot); the CRLF of the wire is converted here, in one place, and nowhere else. What
would not come back as it was (a bare LF, CR CR LF) is kept octet for octet, and its name says so: the size on disk is
that with CRLF (filename.py: is_exact).

A batch goes through each step together, so that its messages share the file system's journal commits and the syncing of
``new`` (ext4, 1.5 KiB each, one maildir: 416 us one by one, 214 us in batches of 16, 101 us in four threads with
batches of 16).

Names are those of cr.yp.to/proto/maildir.html: seconds, a part that is unique on this host (microseconds, process,
count, random), host name; then the size on disk and the size with CRLF (``,S=`` of Maildir++, ``,W=`` of Dovecot), so
that quota and RFC822.SIZE need not open the file.

Not here: which mailbox an address has (relay/directory), the header fields added on delivery
(relay/mda/local.py), UIDs and flags.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox import _reading

NAME_LIMIT: Final = 255
"""Octets of a file name on every file system that matters."""
PIECE: Final = 1 << 20

_UNSAFE: Final = re.compile(rb"[^a-z0-9_+=@!#$&'*?^`{|}~.-]")
_count: Final = itertools.count(1)


class Message(NamedTuple):
    """One message for one maildir."""

    folder: Path
    """Made when it is not there."""
    parts: tuple[bytes | memoryview, ...]
    """The content, or its beginning when there is a file; CRLF lines."""
    path: str | None = None
    """A file that follows ``parts``."""
    size: int = 0
    """The octets that this file must have: one of another size is damaged, EIO."""
    flags: str = ""
    """Letters of flags that it has from the beginning, in the order of ASCII (``FS``): it then goes to ``cur``."""
    skip: int = 0
    """Octets at the beginning of the file that do not follow: ``parts`` has them."""


def folder_of(mail_dir: Path, mailbox: bytes) -> Path:
    """Where the maildir of ``mailbox`` (``local@domain``) is: ``mail_dir/<domain>/<local>``.

    Octets other than lower-case letters, digits and harmless signs are percent-encoded, and so is a dot at the
    beginning: the name is never ``.``, ``..`` or hidden, holds no slash, and two mailboxes never share a folder, not
    even where the file system ignores case. ValueError when there is no local part or no domain, or when one of
    them is too long for a file name.
    """
    local, at, domain = mailbox.rpartition(b"@")
    if not at or not local or not domain:
        raise ValueError(f"not a mailbox: {mailbox!r}")
    return mail_dir / _safe_name(domain) / _safe_name(local)


def deliver(messages: list[Message]) -> list[str | OSError]:
    """Delivers ``messages``; for each its file name in ``new``, or the fault that kept it out.

    Blocking: for a thread; may run in several at once, also for one folder. What has a name is *published*: synced, in
    ``new`` (or ``cur``), that folder synced. What has a fault is not there, except when that last sync failed: then it
    may be there.
    """
    files = [_File(message) for message in messages]
    for step in (_File.look, _File.write, _File.sync, _File.publish):
        for file in files:
            file.attempt(step)
    _sync_new([file for file in files if file.fault is None])
    for file in files:
        file.close()
    return [file.name if file.fault is None else file.fault for file in files]


def make_maildir(folder: Path) -> None:
    """Makes ``folder`` with ``cur``, ``new`` and ``tmp`` where they are missing; *synced* when it returns.

    ``tmp`` comes last: where it is, the others are.
    """
    for path in (*reversed(folder.parents), folder, folder / "cur", folder / "new", folder / "tmp"):
        if not path.is_dir():
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            # Also when another process has just made it: we may not rely on its sync.
            sync_directory(path.parent)


def require_maildir(folder: Path) -> None:
    """Makes what is missing of a mailbox's folder. OSError, with its path, for a part of it that is no folder or a
    link to one: what is behind a link belongs to somebody else. Only the account's own folder may be a link."""
    parts = [folder / "cur", folder / "new", folder / "tmp"]
    if folder.name.startswith("."):
        parts.insert(0, folder)
    if _reading.are_folders([os.fsencode(each) for each in parts]):
        return
    for each in parts:
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(each).st_mode
            if not stat.S_ISDIR(mode):
                raise OSError(errno.ELOOP if stat.S_ISLNK(mode) else errno.ENOTDIR, "not a folder", str(each))
    make_maildir(folder)


def is_mailbox(folder: str) -> bool:
    """Whether it is the folder of a mailbox and no link to one; also when it may not be looked into, since then it is
    one that cannot be read."""
    try:
        if stat.S_ISLNK(os.lstat(folder).st_mode):
            return False
        return stat.S_ISDIR(os.lstat(folder + "/cur").st_mode)
    except OSError as fault:
        return fault.errno not in {errno.ENOENT, errno.ENOTDIR}


class _File:
    """One message on its way from ``tmp`` to ``new``."""

    __slots__ = ("_crlf_size", "_descriptor", "_message", "_size", "_tmp", "fault", "name")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._descriptor = -1
        self._size = self._crlf_size = 0
        self.name = unique_name()
        self._tmp: Path | None = message.folder / "tmp" / self.name
        self.fault: OSError | None = None

    @property
    def folder(self) -> Path:
        return self._message.folder

    @property
    def target(self) -> Path:
        return self._message.folder / ("cur" if self._message.flags else "new")

    def attempt(self, step: Callable[[_File], None]) -> None:
        """One step, unless one before it failed; a fault of one message does not touch the others of its batch."""
        if self.fault is None:
            try:
                step(self)
            except OSError as fault:
                self.fault = fault
            except Exception as fault:  # noqa: BLE001 - of whatever kind (a name that cannot be, no memory): its own alone
                self.fault = OSError(errno.EIO, type(fault).__name__)

    def look(self) -> None:
        require_maildir(self.folder)

    def write(self) -> None:
        self._descriptor = self._open()
        lines = LineFeeds()
        for piece in self._pieces():
            self._put(lines.take(piece))
        self._put(lines.end())
        if lines.is_lossy:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self._size = self._crlf_size = 0
            for piece in self._pieces():
                self._put(piece)

    def _put(self, octets: bytes) -> None:
        self._size += len(octets)
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def publish(self) -> None:
        assert self._tmp is not None
        self.name = f"{self.name},S={self._size},W={self._crlf_size}"
        if self._message.flags:
            self.name += f":2,{self._message.flags}"
        target = self.target / self.name
        try:
            self._tmp.rename(target)
        except FileNotFoundError:
            make_maildir(self.folder)  # somebody removed ``new``
            self._tmp.rename(target)
        self._tmp = None

    def close(self) -> None:
        """Leaves nothing behind that is not published."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if self._tmp is not None:
                with contextlib.suppress(OSError):
                    self._tmp.unlink()

    def _open(self) -> int:
        assert self._tmp is not None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(self._tmp, flags, 0o600)
        except FileNotFoundError:
            make_maildir(self.folder)
            return os.open(self._tmp, flags, 0o600)

    def _pieces(self) -> Iterator[bytes]:
        for part in self._message.parts:
            self._crlf_size += len(part)
            yield bytes(part)
        if self._message.path is None:
            return
        skip = size = self._message.skip
        with open(self._message.path, "rb", buffering=0) as source:
            source.seek(skip)
            while octets := source.read(PIECE):
                size += len(octets)
                yield octets
        if size != self._message.size:
            raise OSError(errno.EIO, "the stored content has not its recorded size")
        self._crlf_size += size - skip


class LineFeeds:
    """Makes CRLF into LF, also where the two come in different pieces."""

    __slots__ = ("_carried", "_ends_with_cr", "is_lossy")

    def __init__(self) -> None:
        self._carried = b""
        self._ends_with_cr = False
        self.is_lossy = False
        """CRLF for LF would not give back what was taken."""

    def take(self, piece: bytes) -> bytes:
        """What can be said of the octets so far."""
        octets = self._carried + piece
        self._carried = b"\r" if octets.endswith(b"\r") else b""
        octets = octets.removesuffix(b"\r")
        lines = octets.replace(b"\r\n", b"\n")
        if not self.is_lossy:
            has_bare_lf = len(octets) - len(lines) != lines.count(b"\n")
            has_cr_crlf = b"\r" in lines and b"\r\n" in lines
            self.is_lossy = has_bare_lf or has_cr_crlf or (self._ends_with_cr and lines.startswith(b"\n"))
        if lines:
            self._ends_with_cr = lines.endswith(b"\r")
        return lines

    @property
    def carried(self) -> bytes:
        """What was taken and is not said yet."""
        return self._carried

    def end(self) -> bytes:
        """What is left when nothing more comes."""
        carried, self._carried = self._carried, b""
        return carried


def _sync_new(files: list[_File]) -> None:
    for target in {file.target for file in files}:
        try:
            sync_directory(target)
        except OSError as fault:
            for file in files:
                if file.target == target:
                    file.fault = fault


def sync_directory(path: Path) -> None:
    """Makes durable what was renamed into ``path`` or out of it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _safe_name(octets: bytes) -> str:
    name = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], octets)
    if name.startswith(b"."):
        name = b"%2E" + name[1:]
    if len(name) > NAME_LIMIT:
        raise ValueError(f"too long for a file name: {octets[:40]!r}...")
    return name.decode("ascii")


def unique_name() -> str:
    """A name for a message that no other one has, on any host, at any time; without sizes."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return (
        f"{seconds}.M{nanoseconds // 1000:06d}P{os.getpid()}Q{next(_count)}R{os.urandom(4).hex()}.{host or 'localhost'}"
    )
