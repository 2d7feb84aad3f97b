"""The maildrop of a session: INBOX as it was when the client logged in (RFC 1939 4, 5).

Theory: the view is opened once, never refreshed, and read only; so message numbers cannot change under the client and
nothing that a session does before QUIT is seen by anybody. At QUIT the marked messages are removed in one step through
a view of its own; the store keeps what was removed, so that it can be restored.

A maildrop may be exclusive: then one session of POP3 has it at a time, on this machine. That is a lock of a file, which
goes with its process, so none is ever stale.

Everything here that says so blocks on the disk: it belongs in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from relay.mailbox.interfaces import Content, Store
from relay.mailbox.vocabulary import INBOX, Refused


class InUseError(Exception):
    """Another session has the maildrop."""


class Maildrop:
    """One session's. Belongs to one thread at a time."""

    def __init__(self, store: Store, lock: int) -> None:
        """Use ``open_maildrop``."""
        self._store: Final = store
        self._lock: Final = lock
        self._view: Final = store.open(INBOX, read_only=True)
        self.sizes: Final = array("Q", (self._size(index) for index in range(len(self._view))))
        """Octets of each message, by index (number - 1)."""
        self.deleted: set[int] = set()
        """Indexes of the messages that are marked as deleted."""

    def _size(self, index: int) -> int:
        """One message that is gone, or that cannot even be looked at, keeps nobody from the others."""
        try:
            return self._view.size(index)
        except (Refused, OSError):
            return 0

    def __len__(self) -> int:
        return len(self.sizes)

    def kept(self) -> Iterator[int]:
        """Indexes of the messages that are not marked."""
        return (index for index in range(len(self.sizes)) if index not in self.deleted)

    def octets(self) -> int:
        """Of the messages that are not marked."""
        return sum(self.sizes) - sum(self.sizes[index] for index in self.deleted)

    def uidl(self, index: int) -> bytes:
        """The unique id of a message (RFC 1939 7). Blocks."""
        return self._view.uidl(index).encode()

    def content(self, index: int) -> Content:
        """The octets of a message, to be closed. Blocks; relay.mailbox.vocabulary.Refused when it has gone, OSError
        when it cannot be read."""
        return self._view.content(index)

    def contents(self, indexes: Sequence[int]) -> list[bytes | None]:
        """The octets of messages, that are together not too much; None for one that is long or that must be looked for
        (``content``). Blocks."""
        return self._view.wholes(indexes)

    def update(self) -> int:
        """Removes what is marked, and gives how many messages that were; what has gone meanwhile is not counted.
        Durable on return. Blocks."""
        if not self.deleted:
            return 0
        uids = [self._view.uids[index] for index in sorted(self.deleted)]
        view = self._store.open(INBOX)
        try:
            if view.uidvalidity != self._view.uidvalidity:
                return 0  # another mailbox by now: these UIDs are of messages that the client has never seen
            removed = len(view.expunge(uids, deleted_only=False))
        finally:
            view.close()
        self.deleted.clear()
        return removed

    def close(self) -> None:
        """Gives back what it holds; removes nothing. Blocks."""
        try:
            self._view.close()
        finally:
            if self._lock >= 0:
                os.close(self._lock)


def open_maildrop(store: Store, account: str, locks: Path | None) -> Maildrop:
    """The maildrop of ``account``, exclusive when ``locks`` is the folder of the locks. Blocks. Raises InUseError."""
    lock = -1 if locks is None else _locked(locks, account)
    try:
        return Maildrop(store, lock)
    except BaseException:
        if lock >= 0:
            os.close(lock)
        raise


def _locked(locks: Path, account: str) -> int:
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(account.casefold().encode()).hexdigest()[:32]
    descriptor = os.open(locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError from None
        undo.pop_all()
    return descriptor
