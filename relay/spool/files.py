"""The file operations the spool is built from, and nothing else: the seam where tests make the disk fail.

Theory: every octet that the spool writes goes through one ``Files`` object, so that a simulated one can lose what
was not synced, cut the run off at the N-th operation, or answer EIO (tests/crash/layer). The operations are those of
POSIX with the traps already handled: names are synced by syncing their folder, a write may be short.

Not here: any idea of what is written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from relay.spool import _syncer

IOV_MAX = os.sysconf("SC_IOV_MAX") if "SC_IOV_MAX" in os.sysconf_names else 1024
READ = os.O_RDONLY | os.O_CLOEXEC
WRITE = os.O_RDWR | os.O_CLOEXEC
CREATE = WRITE | os.O_CREAT | os.O_EXCL
KEEP = WRITE | os.O_CREAT
FILE_MODE = 0o640
FOLDER_MODE = 0o750

Buffers = Sequence[bytes | memoryview]


class Files:
    """The real disk. Methods raise OSError; paths are those of the machine."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor; ``flags`` is READ, WRITE, CREATE (must be new) or KEEP (made when missing)."""
        return os.open(path, flags, FILE_MODE)

    def close(self, fd: int) -> None:
        """Never raises: what matters was synced before."""
        with contextlib.suppress(OSError):
            os.close(fd)

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Whether the flock could be had at once; it lasts until the last copy of ``fd`` is closed."""
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_lock(self, fd: int) -> None:
        """Takes the flock, waiting for it; only for locks that are held for a moment."""
        fcntl.flock(fd, fcntl.LOCK_EX)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """Up to ``size`` octets at ``offset``: fewer only at the end of the file."""
        octets = os.pread(fd, size, offset)
        if len(octets) == size or not octets:
            return octets
        pieces = [octets]
        got = len(octets)
        while got < size and (octets := os.pread(fd, size - got, offset + got)):
            pieces.append(octets)
            got += len(octets)
        return b"".join(pieces)

    def write(self, fd: int, buffers: Buffers, offset: int) -> int:
        """One pwritev; how many octets were *written*."""
        return os.pwritev(fd, buffers, offset)

    def write_synced(self, fd: int, buffers: Buffers, offset: int) -> int:
        """One pwritev with RWF_DSYNC; how many octets were written and *synced*."""
        return os.pwritev(fd, buffers, offset, os.RWF_DSYNC)

    def syncer(self) -> Syncer:
        """A thread that does write_synced."""
        return _syncer.Syncer() if type(self) is Files else SlowSyncer(self)

    def sync(self, fd: int) -> None:
        """The content and size of the file are *synced* when it returns; the name is not."""
        os.fdatasync(fd)

    def sync_folder(self, path: Path) -> None:
        """The names in the folder are synced (*published*) when it returns."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def allocate(self, fd: int, size: int) -> None:
        """Extends the file to ``size`` with zeroes that have room on the disk; what is in it stays. Not synced."""
        os.posix_fallocate(fd, 0, size)

    def truncate(self, fd: int, size: int) -> None:
        """Cuts (or extends with a hole)."""
        os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """Octets in the file."""
        return os.fstat(fd).st_size

    def is_at(self, fd: int, path: Path) -> bool:
        """Whether ``path`` still names the open file."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(path))
        except FileNotFoundError:
            return False

    def is_nameless(self, fd: int) -> bool:
        """Whether the open file has lost all its names, so that only the descriptor keeps its octets on the disk."""
        return os.fstat(fd).st_nlink == 0

    def file_size(self, path: Path) -> int | None:
        """Octets in the file at ``path``; None when there is none."""
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def names(self, path: Path) -> list[str]:
        """Names in a folder, sorted; none when the folder is missing."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def rename(self, old: Path, new: Path) -> None:
        """Atomic; replaces ``new``."""
        os.rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        """A second name for a file."""
        os.link(old, new)

    def unlink(self, path: Path) -> None:
        """A name that is already gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def make_folder(self, path: Path) -> None:
        """An existing one is no error."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, FOLDER_MODE)

    def remove_folder(self, path: Path) -> None:
        """It must be empty."""
        os.rmdir(path)

    def free(self, path: Path) -> tuple[int, int]:
        """Octets and inodes that we may still use on the file system; inodes are -1 where it does not count them."""
        state = os.statvfs(path)
        return state.f_bavail * state.f_frsize, state.f_favail if state.f_files else -1


class Syncer(Protocol):
    """A thread that writes and syncs for an event loop, one job at a time; see _syncer.pyi."""

    @property
    def fileno(self) -> int: ...
    def submit(self, fd: int, buffers: Buffers, offset: int) -> None: ...
    def result(self) -> tuple[int, float]: ...
    def close(self) -> None: ...


class SlowSyncer:
    """A Syncer over the operations of any Files object, in a thread of the interpreter."""

    def __init__(self, files: Files) -> None:
        self.fileno = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._files = files
        self._jobs: SimpleQueue[tuple[int, Buffers, int] | None] = SimpleQueue()
        self._result = (0, 0.0)
        self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
        self._thread.start()

    def submit(self, fd: int, buffers: Buffers, offset: int) -> None:
        self._jobs.put((fd, buffers, offset))

    def result(self) -> tuple[int, float]:
        os.eventfd_read(self.fileno)
        return self._result

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        os.close(self.fileno)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            started = time.monotonic()
            try:
                done = self._files.write_synced(*job)
            except OSError as fault:
                done = -(fault.errno or errno.EIO)
            self._result = (done, time.monotonic() - started)
            os.eventfd_write(self.fileno, 1)


OS = Files()


def write_all(files: Files, fd: int, buffers: Buffers, offset: int) -> int:
    """*Writes* all of ``buffers``, however many short writes it takes; returns the end offset."""
    left = sum(map(len, buffers))
    if not left:
        return offset
    whole = buffers if len(buffers) <= IOV_MAX else [b"".join(buffers)]
    done = files.write(fd, whole, offset)
    if done < left:
        view = memoryview(b"".join(whole))
        while done < left:
            done += files.write(fd, [view[done:]], offset + done)
    return offset + left


def publish(files: Files, path: Path, octets: bytes) -> None:
    """A small file in one step: written, synced, renamed into place, published."""
    new = path.with_name(path.name + ".new")
    fd = files.open(new, KEEP)
    try:
        files.truncate(fd, 0)
        write_all(files, fd, [octets], 0)
        files.sync(fd)
    finally:
        files.close(fd)
    files.rename(new, path)
    files.sync_folder(path.parent)
