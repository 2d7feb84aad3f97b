"""How much an account uses, counted from its file names.

Theory: sizes stand in the names (``,S=``), so counting is a listing of folders; one that was not modified since it was
counted is not listed again. Two writers at once may both find room for the last message: the bound is exceeded by what
is on its way.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox import _reading, filename
from relay.mailbox.account_root import Root
from relay.mailbox.files import account_of
from relay.mailbox.mailbox import GRAIN
from relay.mailbox.vocabulary import Quota, Refusal, Refused

MAX_FOLDERS: Final = 20_000
LARGE: Final = 2_000
"""Messages in a folder from which on it is not counted at each change."""
FRESH: Final = 2.0
"""Seconds between two counts of such a folder."""


class _Count(NamedTuple):
    modified: int
    octets: int
    messages: int
    at: float
    """When, on the monotonic clock."""


class Usage:
    """The use of one account; for several threads."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._counts: dict[str, _Count] = {}
        self._lock = threading.Lock()

    @property
    def is_limited(self) -> bool:
        return self._root.limits.has_quota

    def quota(self) -> Quota:
        """As of now."""
        octets = messages = 0
        with self._lock:
            seen = {folder: self._count(folder) for folder in _folders(self._root.folder)}
            self._counts = seen
        for count in seen.values():
            octets += count.octets
            messages += count.messages
        limits = self._root.limits
        return Quota(octets, limits.octets, messages, limits.messages)

    def quota_of(self, mailbox: Path) -> Quota:
        """Of the mailbox with this folder, with the limits of its own; without any, nothing is counted."""
        bound = self._root.bound_of(mailbox)
        if not bound.octets and not bound.messages:
            return Quota(0, 0, 0, 0)
        with self._lock:
            found = {folder: self._count(folder) for folder in _parts(str(mailbox))}
            self._counts.update(found)
        octets = sum(count.octets for count in found.values())
        messages = sum(count.messages for count in found.values())
        return Quota(octets, bound.octets, messages, bound.messages)

    def require_room(self, octets: int, messages: int, mailbox: Path) -> None:
        """Refused OVER_QUOTA unless the account, and the mailbox with this folder, have room for so much more."""
        if not self.is_limited:
            return
        if not has_room(self.quota(), octets, messages):
            raise Refused(Refusal.OVER_QUOTA, "the account is over its quota")
        self.require_room_in(octets, messages, mailbox)

    def require_room_in(self, octets: int, messages: int, mailbox: Path) -> None:
        """The same for what the account has already: of the mailbox alone."""
        if not has_room(self.quota_of(mailbox), octets, messages):
            raise Refused(Refusal.OVER_QUOTA, "the mailbox is over its quota")

    def _count(self, folder: str) -> _Count:
        """With the lock held."""
        count = self._counts.get(folder)
        modified = _modified(folder)
        if count is None or (count.modified != modified and not _is_fresh(count)):
            count = _counted(folder, modified)
        return count


def has_room(quota: Quota, octets: int, messages: int) -> bool:
    """Whether so much more fits."""
    fits = not quota.octets_limit or quota.octets + octets <= quota.octets_limit
    return fits and (not quota.messages_limit or quota.messages + messages <= quota.messages_limit)


def _folders(root: Path) -> list[str]:
    """All ``new`` and ``cur`` of the account."""
    places = [str(root)]
    with os.scandir(root) as entries:
        places += [each.path for each in entries if each.name.startswith(".") and each.is_dir(follow_symlinks=False)]
    return [part for place in places[:MAX_FOLDERS] for part in _parts(place)]


def _parts(place: str) -> tuple[str, str]:
    return f"{place}/new", f"{place}/cur"


def _is_fresh(count: _Count) -> bool:
    return count.messages >= LARGE and time.monotonic() - count.at < FRESH


def _modified(folder: str) -> int:
    try:
        return os.lstat(folder).st_mtime_ns
    except OSError:
        return -1


def _counted(folder: str, modified: int) -> _Count:
    octets = messages = 0
    mailbox, _, place = folder.rpartition("/")
    root, way = account_of(mailbox)
    try:
        names, _ = _reading.entries(root, way + os.fsencode(place))
    except OSError:  # not there, or not ours to look at: what cannot be counted does not count
        names = []
    for name in names:
        size = filename.disk_size(name)
        if size is None:
            try:
                size = os.lstat(f"{folder}/{name}").st_size
            except OSError:
                continue
        octets += size
        messages += 1
    return _Count(modified if time.time_ns() - modified > GRAIN else 0, octets, messages, time.monotonic())
