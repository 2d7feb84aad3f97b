"""Removed messages: kept for a while beside the mailboxes, where neither quota nor other programs see them.

``relay-deleted/<folder>/<second of removal>,<file name>`` below the account's Maildir, ``<folder>`` being ``INBOX`` or
the name of the Maildir++ folder (``.Work.2026``). A deleted mailbox is put there as a whole, as ``<second>,<folder>``,
with its messages in its ``cur`` and ``new``. Removal is a rename, so it costs nothing and loses nothing. Where the disk
is full, what was removed first gives way.

Not here: putting messages back into a mailbox (relay/mailbox/restore.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox import _reading, filename, names
from relay.mailbox.maildir import unique_name
from relay.mailbox.vocabulary import INBOX

NAME: Final = "relay-deleted"
LITTLE: Final = 1 << 20
FEW: Final = 16
_LONGEST: Final = 230
"""Octets of a name that has room for a number in front."""


class Kept(NamedTuple):
    """One message that can be restored."""

    path: Path
    mailbox: str
    """The name of the mailbox that it was in."""
    removed: int
    """When, in seconds since 1970."""
    name: str
    """Its file name, with the flags it had."""
    size: int
    """Octets on disk."""


def keep(root: Path, folder: str, path: Path, now: int) -> None:
    """Moves the file away; ``folder`` is the Maildir++ folder it is in, "" for INBOX. FileNotFoundError when the
    message is gone."""
    target = root / NAME / (folder or INBOX)
    if not _are_folders(root / NAME, target) and os.path.lexists(path):
        _make(root / NAME)
        _make(target)
    name = path.name
    if len(os.fsencode(name)) > _LONGEST:
        base, _, info = name.partition(":")
        name = f"{unique_name()}{filename.sizes(base)}:{info}"
    os.rename(path, target / f"{now},{name}")


def keep_mailbox(root: Path, folder: str, now: int) -> Path:
    """Moves a whole mailbox away; returns where it is."""
    _make(root / NAME)
    while True:
        target = root / NAME / f"{now},{folder}"
        try:
            os.rename(root / folder, target)
        except OSError:
            if not target.exists():
                raise
            now += 1  # another of that name was deleted in this second
        else:
            return target


def kept(root: Path) -> Iterator[Kept]:
    """All that can be restored, in no order; what goes meanwhile is left out."""
    for group in _entries(root / NAME):
        second, comma, folder = group.name.partition(",")
        if comma and second.isdecimal():
            for place in ("cur", "new"):
                for file in _entries(Path(group.path) / place):
                    yield from _one(file, folder, int(second), file.name)
        else:
            for file in _entries(Path(group.path)):
                second, comma, name = file.name.partition(",")
                if comma and second.isdecimal():
                    yield from _one(file, group.name, int(second), name)


def purge(root: Path, before: float) -> int:
    """Removes for good what was removed before that second; how many messages."""
    count = 0
    for each in list(kept(root)):
        if each.removed < before:
            with contextlib.suppress(OSError):
                each.path.unlink()
                count += 1
    for group in list(_entries(root / NAME)):
        second = group.name.partition(",")[0]
        if second.isdecimal() and int(second) < before:
            shutil.rmtree(group.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.rmdir(group.path)
    return count


def has_room(root: Path) -> bool:
    """Whether the disk is not full: has LITTLE octets and FEW files left. (What a quota of the file system's own says
    shows only when it is too late.)"""
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize >= LITTLE and (not found.f_files or found.f_favail >= FEW)


def give_way(root: Path, has_room: Callable[[], bool]) -> bool:
    """Removes for good what was removed first, until there is room on the disk; whether anything was removed."""
    is_done = False
    for each in sorted(kept(root), key=lambda each: each.removed):
        with contextlib.suppress(OSError):
            each.path.unlink()
            is_done = True
        if has_room():
            break
    return is_done


def _are_folders(*paths: Path) -> bool:
    return _reading.are_folders([os.fsencode(each) for each in paths])


def _make(folder: Path) -> None:
    """OSError for what is there and is no folder: what is removed must not go to where a link leads."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _are_folders(folder):
        raise OSError(errno.ENOTDIR, "not a folder", str(folder))


def _one(file: os.DirEntry[str], folder: str, removed: int, name: str) -> Iterator[Kept]:
    mailbox = INBOX if folder == INBOX else names.name_of(folder)
    if mailbox is not None:
        with contextlib.suppress(OSError):
            if not file.is_file(follow_symlinks=False):
                return
            size = filename.disk_size(name) or file.stat(follow_symlinks=False).st_size
            yield Kept(Path(file.path), mailbox, removed, name, size)


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    if not path.is_symlink():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            yield from entries
