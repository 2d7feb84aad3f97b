"""A disk in memory that can crash at any operation, lose what was not synced, and fail.

It takes the place of relay.spool.files.Files. What a program sees (volatile) and what is on the platters (durable) are
kept apart: sync() moves a file's octets over, sync_folder() its names. A crash keeps what is durable and, by the
throw of a die, any of the sectors and any first part of the names that were not synced yet.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

from relay.spool.files import CREATE, KEEP, Buffers, Files

SECTOR = 512


class Crash(BaseException):
    """The machine stops here. Not an Exception: no code under test may swallow it."""


class Inode:
    def __init__(self) -> None:
        self.volatile = bytearray()
        self.durable = bytearray()
        self.dirty: set[int] = set()
        self.links = 1

    def put(self, octets: bytes, offset: int) -> None:
        if len(self.volatile) < offset:
            self.volatile.extend(bytes(offset - len(self.volatile)))
        self.volatile[offset : offset + len(octets)] = octets
        self.dirty.update(range(offset // SECTOR, (offset + len(octets) + SECTOR - 1) // SECTOR))

    def persist(self, sectors: set[int]) -> None:
        for sector in sorted(sectors):
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.volatile))
            if start < end:
                if len(self.durable) < end:
                    self.durable.extend(bytes(end - len(self.durable)))
                self.durable[start:end] = self.volatile[start:end]
        self.dirty -= sectors

    def sync(self) -> None:
        del self.durable[len(self.volatile) :]
        self.persist(set(self.dirty))
        self.durable.extend(bytes(len(self.volatile) - len(self.durable)))


Names = dict[str, "Inode | Folder"]


class Folder:
    def __init__(self) -> None:
        self.volatile: Names = {}
        self.durable: Names = {}
        self.unsynced: list[Callable[[Names], object]] = []

    def change(self, change: Callable[[Names], object]) -> None:
        change(self.volatile)
        self.unsynced.append(change)

    def sync(self) -> None:
        self.durable = dict(self.volatile)
        self.unsynced.clear()


class Disk(Files):
    """Counts operations that change something; ``crash_at`` and ``fail`` say what happens at which."""

    def __init__(self, root: Folder | None = None) -> None:
        self.root = root or Folder()
        self.operations = 0
        self.crash_at = 0
        self.is_crashed = False
        self.fail: Callable[[int, str], int] = lambda _number, _name: 0
        """(number, name of the operation) -> errno, or 0 to succeed."""
        self.rng = random.Random(1)
        self.room = (1 << 40, -1)
        self._open: dict[int, Inode] = {}
        self._locks: dict[int, int] = {}
        self._next_fd = 1000

    # -- crashes

    def after_power_failure(self, rng: random.Random, lost: float) -> Disk:
        """What is found when power comes back: each unsynced piece is lost with probability ``lost``."""
        seen: dict[int, Inode] = {}
        return Disk(_survivor(self.root, rng, lost, seen))

    def after_kill(self) -> Disk:
        """What is found when only the process died: everything it had written."""
        return Disk(self.root)

    def _step(self, name: str) -> bool:
        """Counts; True when the machine stops in the middle of this operation."""
        if self.is_crashed:
            raise Crash
        self.operations += 1
        if self.operations == self.crash_at:
            self.is_crashed = True
            return True
        if code := self.fail(self.operations, name):
            raise OSError(code, errno.errorcode[code])
        return False

    def _change(self, name: str, folder: Folder, change: Callable[[Names], object]) -> None:
        is_last = self._step(name)
        folder.change(change)
        if is_last:
            raise Crash

    # -- names

    def _folder(self, path: Path) -> Folder:
        here = self.root
        for name in path.parts[1:]:
            found = here.volatile.get(name)
            if not isinstance(found, Folder):
                raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
            here = found
        return here

    def _inode(self, path: Path) -> Inode:
        found = self._folder(path.parent).volatile.get(path.name)
        if not isinstance(found, Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return found

    def open(self, path: Path, flags: int) -> int:
        folder = self._folder(path.parent)
        inode = folder.volatile.get(path.name)
        if inode is None and flags in (CREATE, KEEP):
            inode = Inode()
            self._change("create", folder, _set(path.name, inode))
        elif inode is not None and flags == CREATE:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if not isinstance(inode, Inode):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self._next_fd += 1
        self._open[self._next_fd] = inode
        return self._next_fd

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        self._locks = {inode: holder for inode, holder in self._locks.items() if holder != fd}

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        holder = self._locks.get(id(self._open[fd]))
        if holder is None and not shared:
            self._locks[id(self._open[fd])] = fd
        return holder is None or holder == fd

    def wait_lock(self, fd: int) -> None:
        assert self.lock(fd)

    # -- octets

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._open[fd].volatile[offset : offset + size])

    def write(self, fd: int, buffers: Buffers, offset: int) -> int:
        return self._write("write", fd, buffers, offset)[0]

    def write_synced(self, fd: int, buffers: Buffers, offset: int) -> int:
        size, inode = self._write("write_synced", fd, buffers, offset)
        inode.persist(set(range(offset // SECTOR, (offset + size + SECTOR - 1) // SECTOR)))
        return size

    def _write(self, name: str, fd: int, buffers: Buffers, offset: int) -> tuple[int, Inode]:
        octets = b"".join(buffers)
        inode = self._open[fd]
        try:
            is_last = self._step(name)
        except OSError:  # a failed write leaves anything between nothing and all of it
            inode.put(octets[: self.rng.randrange(len(octets) + 1)], offset)
            raise
        if is_last:
            inode.put(octets[: self.rng.randrange(len(octets) + 1)], offset)
            raise Crash
        inode.put(octets, offset)
        return len(octets), inode

    def sync(self, fd: int) -> None:
        if self._step("sync"):
            raise Crash
        self._open[fd].sync()

    def sync_folder(self, path: Path) -> None:
        if self._step("sync_folder"):
            raise Crash
        self._folder(path).sync()

    def allocate(self, fd: int, size: int) -> None:
        is_last = self._step("allocate")
        inode = self._open[fd]
        inode.volatile.extend(bytes(max(0, size - len(inode.volatile))))
        if is_last:
            raise Crash

    def truncate(self, fd: int, size: int) -> None:
        is_last = self._step("truncate")
        inode = self._open[fd]
        del inode.volatile[size:]
        inode.volatile.extend(bytes(size - len(inode.volatile)))
        if is_last:
            raise Crash

    def size(self, fd: int) -> int:
        return len(self._open[fd].volatile)

    def is_at(self, fd: int, path: Path) -> bool:
        return self._folder(path.parent).volatile.get(path.name) is self._open[fd]

    def is_nameless(self, fd: int) -> bool:
        return self._open[fd].links == 0

    def file_size(self, path: Path) -> int | None:
        try:
            return len(self._inode(path).volatile)
        except FileNotFoundError:
            return None

    def names(self, path: Path) -> list[str]:
        try:
            return sorted(self._folder(path).volatile)
        except FileNotFoundError:
            return []

    def rename(self, old: Path, new: Path) -> None:
        folder = self._folder(old.parent)
        assert old.parent == new.parent, "the spool renames within a folder only"
        moved = folder.volatile.get(old.name)
        if moved is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(old))
        self._change("rename", folder, _move(old.name, new.name, moved))

    def link(self, old: Path, new: Path) -> None:
        inode = self._inode(old)
        inode.links += 1
        self._change("link", self._folder(new.parent), _set(new.name, inode))

    def unlink(self, path: Path) -> None:
        try:
            inode = self._inode(path)
        except FileNotFoundError:
            return
        inode.links -= 1
        self._change("unlink", self._folder(path.parent), lambda names: names.pop(path.name, None))

    def make_folder(self, path: Path) -> None:
        folder = self._folder(path.parent)
        if path.name not in folder.volatile:
            self._change("make_folder", folder, _set(path.name, Folder()))

    def remove_folder(self, path: Path) -> None:
        if self._folder(path).volatile:
            raise OSError(errno.ENOTEMPTY, "not empty", str(path))
        self._change("remove_folder", self._folder(path.parent), lambda names: names.pop(path.name, None))

    def free(self, path: Path) -> tuple[int, int]:
        return self.room


def _set(name: str, what: Inode | Folder) -> Callable[[Names], object]:
    return lambda names: names.update({name: what})


def _move(old: str, new: str, what: Inode | Folder) -> Callable[[Names], object]:
    def change(names: Names) -> None:
        names.pop(old, None)
        names[new] = what

    return change


def _survivor(folder: Folder, rng: random.Random, lost: float, seen: dict[int, Inode]) -> Folder:
    names = dict(folder.durable)
    for change in folder.unsynced:  # a journalling file system keeps names in order, up to some point
        if rng.random() < lost:
            break
        change(names)
    survivor = Folder()
    for name, what in names.items():
        if isinstance(what, Folder):
            survivor.volatile[name] = _survivor(what, rng, lost, seen)
        else:
            survivor.volatile[name] = _remnant(what, rng, lost, seen)
    survivor.sync()
    return survivor


def _remnant(inode: Inode, rng: random.Random, lost: float, seen: dict[int, Inode]) -> Inode:
    if id(inode) not in seen:
        seen[id(inode)] = kept = Inode()
        kept.volatile = inode.volatile
        kept.durable = bytearray(inode.durable)
        kept.persist({sector for sector in inode.dirty if rng.random() >= lost})
        kept.volatile = bytearray(kept.durable)
        kept.dirty.clear()
    return seen[id(inode)]
