"""Tells sessions that their mailboxes changed, whoever changed them: inotify on folders, one watcher for a worker.

Theory: three kernel watches a mailbox (``new``, ``cur``, and the folder for the uid log), however many sessions look at
it. Many events between two dispatches are one call. inotify does not see what another machine does on a network file
system, and the kernel may have no watches left: such mailboxes are polled, a bounded number each time.

``libc`` is called through ctypes, because Python has no inotify and the three calls need no library of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from relay.mailbox import account_root, metadata, subscriptions
from relay.mailbox.inotify_names import ChangedNames
from relay.mailbox.interfaces import Store, View
from relay.mailbox.logfile import NAME as LOG
from relay.mailbox.rescan import modified
from relay.mailbox.store import FolderStore
from relay.mailbox.view import FolderView

POLLED_AT_ONCE: Final = 500
"""Mailboxes; three ``stat`` calls each."""
_EVENT: Final = struct.Struct("iIII")
_MODIFY: Final = 0x2
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x1000000
_MASK_ADD: Final = 0x20000000
_ISDIR: Final = 0x40000000
_MESSAGES: Final = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _ONLYDIR
_FOLDER: Final = _MODIFY | _MOVED_TO | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_ACCOUNT: Final = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR | _MASK_ADD
_ACCOUNT_FILES: Final = frozenset(map(os.fsencode, (subscriptions.NAME, account_root.NAME, metadata.ACCOUNT)))
_MAILBOX_FILES: Final = frozenset(map(os.fsencode, (LOG, metadata.NAME)))
_REMOTE: Final = {0x6969, 0xFF534D42, 0xFE534D42, 0x517B, 0x65735546, 0x47504653, 0x0BD00BD0, 0x00C36400, 0x01021997}
"""``f_type`` of NFS, CIFS, SMB2, SMB, FUSE, GPFS, Lustre, Ceph, 9p."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Watched:
    """One mailbox, and who wants to know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.callbacks: list[Callable[[], None]] = []
        self.changed_names: list[ChangedNames] = []
        """Of the callbacks' open mailboxes: mostly one and the same."""
        self.of_account: list[Callable[[], None]] = []
        """Who wants to know of what is beside the messages in an account's folder."""
        self.descriptors: list[int] = []
        self.is_polled = False
        self.seen: tuple[int, ...] = ()

    def name_changed(self, name: str) -> None:
        """An event named a file of ``cur``."""
        for each in set(self.changed_names):
            each.name(name)

    def lost(self) -> None:
        """Events were lost."""
        for each in set(self.changed_names):
            each.lost()

    def state(self) -> tuple[int, ...]:
        found = [*modified(self.folder)]
        for name in (LOG, metadata.NAME):
            with contextlib.suppress(OSError):
                file = os.stat(self.folder / name)
                found += (file.st_ino, file.st_size)
        if self.of_account:
            with contextlib.suppress(OSError):
                found.append(os.stat(self.folder).st_mtime_ns)
        return tuple(found)


class FolderWatcher:
    """Fulfils Watcher (relay/mailbox/interfaces.py). For the loop's thread."""

    def __init__(self) -> None:
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[Path, _Watched] = {}
        self._by_descriptor: dict[int, _Watched] = {}
        self._polls: list[_Watched] = []

    def fileno(self) -> int:
        return int(self._descriptor)

    def watch(self, view: View, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(view, FolderView), "the view of another kind of store"
        end = self._watch(view.folder, changed)
        changed_names = self._watched[view.folder].changed_names
        changed_names.append(view.changed_names)

        def end_both() -> None:
            if view.changed_names in changed_names:
                changed_names.remove(view.changed_names)
            end()

        return end_both

    def watch_mailbox(self, store: Store, name: str, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(store, FolderStore), "another kind of store"
        return self._watch(store.folder_of(name), changed)

    def watch_account(self, store: Store, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(store, FolderStore), "another kind of store"
        return self._watch(store.root.folder, changed, is_account=True)

    def _watch(self, folder: Path, changed: Callable[[], None], *, is_account: bool = False) -> Callable[[], None]:
        watched = self._watched.get(folder)
        if watched is None:
            watched = self._watched[folder] = _Watched(folder)
            self._begin(watched)
        if is_account and not watched.of_account and self._usable():
            _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _ACCOUNT)
        callbacks = watched.of_account if is_account else watched.callbacks
        callbacks.append(changed)

        def end() -> None:
            if changed in callbacks:
                callbacks.remove(changed)
                if not watched.callbacks and not watched.of_account:
                    self._end(watched)

        return end

    def dispatch(self) -> None:
        told: dict[_Watched, set[bool]] = {}
        for each, is_account in self._events():
            told.setdefault(each, set()).add(is_account)
        for _ in range(min(POLLED_AT_ONCE, len(self._polls))):
            watched = self._polls.pop(0)
            if watched.callbacks or watched.of_account:
                self._polls.append(watched)
                state = watched.state()
                if state != watched.seen:
                    watched.seen = state
                    told[watched] = {False, True}
        for watched, kinds in told.items():
            for changed in [*watched.callbacks] * (False in kinds) + [*watched.of_account] * (True in kinds):
                changed()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._watched.clear()
        self._by_descriptor.clear()
        self._polls.clear()

    def _begin(self, watched: _Watched) -> None:
        places = ((watched.folder / "new", _MESSAGES), (watched.folder / "cur", _MESSAGES), (watched.folder, _FOLDER))
        for path, mask in places:
            descriptor = _libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) if self._usable() else -1
            if descriptor < 0:
                watched.is_polled = True
                break
            watched.descriptors.append(descriptor)
            self._by_descriptor[descriptor] = watched
        if watched.is_polled or _is_remote(watched.folder):
            watched.seen = watched.state()
            self._polls.append(watched)

    def _usable(self) -> bool:
        return bool(self._descriptor >= 0)

    def _end(self, watched: _Watched) -> None:
        for descriptor in watched.descriptors:
            if self._by_descriptor.pop(descriptor, None) is not None:
                _libc.inotify_rm_watch(self._descriptor, descriptor)
        if self._watched.get(watched.folder) is watched:
            del self._watched[watched.folder]

    def _events(self) -> Iterator[tuple[_Watched, bool]]:
        """Who is to be told, and whether of the account."""
        while self._descriptor >= 0:
            try:
                octets = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                break
            at = 0
            while at < len(octets):
                descriptor, mask, _, length = _EVENT.unpack_from(octets, at)
                name = octets[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0")
                at += _EVENT.size + length
                yield from self._event(descriptor, mask, name)

    def _event(self, descriptor: int, mask: int, name: bytes) -> Iterator[tuple[_Watched, bool]]:
        if mask & _Q_OVERFLOW:
            for each in set(self._by_descriptor.values()):
                each.lost()
                yield each, False
                yield each, True
            return
        watched = self._by_descriptor.get(descriptor)
        if watched is None:
            return
        if mask & _IGNORED:
            self._by_descriptor.pop(descriptor, None)
        elif name and watched.descriptors[1:2] == [descriptor]:
            watched.name_changed(os.fsdecode(name))
        is_folder = watched.descriptors and descriptor == watched.descriptors[-1]
        if not is_folder or not name or name in _MAILBOX_FILES:
            yield watched, False
        if is_folder and (name in _ACCOUNT_FILES or (mask & _ISDIR and name[:1] == b".")):
            yield watched, True


def _is_remote(folder: Path) -> bool:
    """Whether another machine may change the folder without inotify knowing."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(folder), buffer) != 0:
        return True
    return int.from_bytes(buffer.raw[:4], "little") in _REMOTE
