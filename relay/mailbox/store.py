"""The mailboxes of one account on disk: Maildir++ (relay/mailbox/names.py), shared with other programs.

Theory: the folders are the list of mailboxes; nothing else says which there are. All sessions of a process that use one
account share its mailboxes' pictures (``Stores``); an idle account holds nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from relay.mailbox import deleted, metadata, names, spelling, subscriptions
from relay.mailbox.account_root import Root
from relay.mailbox.appending import FileAppending, copy
from relay.mailbox.columns import UNKNOWN
from relay.mailbox.content import crlf_size, likely_size
from relay.mailbox.files import NO_ROOM
from relay.mailbox.limits import NO_LIMITS, Limits
from relay.mailbox.mailbox import Mailbox
from relay.mailbox.maildir import is_mailbox, require_maildir, sync_directory
from relay.mailbox.quota import Usage
from relay.mailbox.troubles import SILENT, Troubles
from relay.mailbox.view import FolderView
from relay.mailbox.vocabulary import INBOX, SPECIAL_USES, Listed, Quota, Refusal, Refused, Status

_MARK: Final = "maildirfolder"
"""An empty file that says so in a Maildir++ folder."""


class FolderStore:
    """Fulfils Store (relay/mailbox/interfaces.py)."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = NO_LIMITS,
        now: Callable[[], float] | None = None,
        troubles: Troubles = SILENT,
    ) -> None:
        """The account's Maildir; made when it is not there. OSError when it cannot be, or is not ours."""
        self.root = Root(folder, limits, now or time.time, troubles)
        self.usage = Usage(self.root)
        self._mailboxes: WeakValueDictionary[str, Mailbox] = WeakValueDictionary()
        self._last: Mailbox | None = None
        """The one that was used last stays in memory while the account has a session: the next command is about it."""
        self._lock = threading.Lock()
        require_maildir(folder)

    def list(self) -> Sequence[Listed]:
        existing = set(self.names())
        subscribed = subscriptions.parse(self.root.known(subscriptions.NAME))
        uses = self.root.notes().special_uses
        known = existing | subscribed
        known |= {parent for name in known for parent in names.parents(name)}
        above = {parent for name in existing for parent in names.parents(name)}
        return [
            Listed(
                name,
                name in existing,
                name in subscribed,
                name in above,
                tuple(sorted(uses.get(names.folder_name(name), ()))) if name in existing else (),
            )
            for name in sorted(known, key=lambda name: (name != INBOX, name))
        ]

    def folder_of(self, name: str) -> Path:
        """Where a mailbox is, or would be."""
        return self.root.folder / names.folder_name(names.checked(name))

    def names(self) -> Sequence[str]:
        """Of the mailboxes that exist, INBOX first."""
        found = [INBOX]
        others: list[str] = []
        with os.scandir(self.root.folder) as entries:
            for entry in entries:
                name = names.name_of(entry.name) if entry.name.startswith(".") else None
                if name is not None and names.folder_name(name) != entry.name:
                    others.append(entry.name)
                elif name is not None and entry.is_dir(follow_symlinks=False) and is_mailbox(entry.path):
                    found.append(name)
        found += filter(None, (spelling.adopt(self.root, folder) for folder in others))
        return sorted(found, key=lambda name: (name != INBOX, name))

    def create(self, name: str, special_use: Collection[str] = ()) -> str:
        name = names.checked(name.removesuffix("/"))
        folder = names.folder_name(name)
        with self.root.locked():
            self._require_new(name)
            if self.root.limits.mailboxes and len(self.names()) >= self.root.limits.mailboxes:
                raise Refused(Refusal.LIMIT, "the account has as many mailboxes as it may")
            self._require_free(folder, special_use)
            with _undone(self.root.folder / folder):
                require_maildir(self.root.folder / folder)
                (self.root.folder / folder / _MARK).touch(mode=0o600)
        with _undone(self.root.folder / folder):
            if special_use:
                self.set_special_use(name, special_use)
            with self.mailbox(name).locked() as picture:
                return f"F{picture.mailbox_id:016x}"

    def delete(self, name: str) -> None:
        name = names.checked(name)
        mailbox = self.mailbox(name)
        if name == INBOX:
            raise Refused(Refusal.CANNOT, "INBOX cannot be deleted")
        folder = names.folder_name(name)
        with mailbox.locked():
            try:
                kept = deleted.keep_mailbox(self.root.folder, folder, int(self.root.now()))
                is_kept = self.root.limits.deleted_retention > 0
            except OSError as fault:
                if fault.errno not in NO_ROOM:
                    raise
                kept, is_kept = self.root.folder / folder, False
            mailbox.is_replaced = True
        self._forget(folder)
        if not is_kept:
            shutil.rmtree(kept, ignore_errors=True)
        try:  # it is deleted, whatever becomes of this
            sync_directory(self.root.folder)
            self.root.set_special_uses(lambda table: table.update({folder: ()}))
        except OSError as fault:
            self.root.troubles.report(self.root.folder, fault)

    def rename(self, name: str, new_name: str) -> None:
        name, new_name = names.checked(name), names.checked(new_name.removesuffix("/"))
        self._require_new(new_name)
        if name == INBOX:
            self._rename_inbox(new_name)
            return
        moving = [each for each in self.names() if each == name or each.startswith(name + "/")]
        if not moving:
            raise Refused(Refusal.NONEXISTENT, "there is no such mailbox")
        if new_name.startswith(name + "/"):
            raise Refused(Refusal.CANNOT, "a mailbox cannot be moved below itself")
        pairs = [(each, names.checked(new_name + each[len(name) :])) for each in moving]
        for _, new in pairs:
            self._require_new(new)
        before = dict(self.root.notes().special_uses)
        self.root.set_special_uses(lambda table: _renamed(table, pairs, keeps=True))
        moved: list[tuple[str, str]] = []
        try:
            for old, new in pairs:
                self._move_folder(names.folder_name(old), names.folder_name(new))
                moved.append((old, new))
            sync_directory(self.root.folder)
        except (OSError, Refused):  # all or none
            with contextlib.suppress(OSError, Refused):
                for old, new in reversed(moved):
                    self._move_folder(names.folder_name(new), names.folder_name(old))
            with contextlib.suppress(OSError):
                self.root.set_special_uses(lambda table: _restored(table, before))
            raise
        try:  # it is renamed, whatever becomes of this
            self.root.set_special_uses(lambda table: _renamed(table, pairs))
        except OSError as fault:
            self.root.troubles.report(self.root.folder, fault)

    def subscribe(self, name: str) -> None:
        name = names.checked(name)
        with self.root.locked():
            subscribed = subscriptions.read(self.root.folder)
            if name not in subscribed and len(subscribed) >= subscriptions.MAX_SUBSCRIPTIONS:
                raise Refused(Refusal.LIMIT, "the account has as many subscriptions as it may")
            subscriptions.write(self.root.folder, subscribed | {name})

    def unsubscribe(self, name: str) -> None:
        name = names.checked(name)
        with self.root.locked():
            subscribed = subscriptions.read(self.root.folder)
            if name in subscribed:
                subscriptions.write(self.root.folder, subscribed - {name})

    def set_special_use(self, name: str, special_use: Collection[str]) -> None:
        name = names.checked(name)
        self.mailbox(name)
        folder = names.folder_name(name)

        def change(table: dict[str, tuple[str, ...]]) -> None:
            _require_free(table, folder, special_use)
            table[folder] = tuple(sorted(special_use))

        self.root.set_special_uses(change)

    def annotations(self, name: str) -> Mapping[str, bytes]:
        return metadata.read(self._annotations(name))

    def annotate(self, name: str, changes: Mapping[str, bytes | None]) -> None:
        path, folder = self._annotations(name), self.root.folder
        with self.root.locked():
            files = {folder / names.folder_name(each) / metadata.NAME for each in self.names()}
            metadata.change(path, changes, {*files, folder / metadata.ACCOUNT} - {path})

    def _annotations(self, name: str) -> Path:
        """The file of a mailbox, or of the account."""
        return self.mailbox(name).folder / metadata.NAME if name else self.root.folder / metadata.ACCOUNT

    def status(self, name: str) -> Status:
        mailbox = self.mailbox(name)
        unread: list[int] = []
        with mailbox.locked() as picture:
            for row in picture.rows():
                if picture.sizes[row] == UNKNOWN:
                    path = mailbox.path(picture.uids[row]) or ""
                    try:
                        picture.sizes[row] = crlf_size(mailbox.folder / path)
                    except FileNotFoundError:
                        picture.sizes[row] = 0  # the next look finds it gone
                    except OSError as fault:
                        mailbox.report(path, fault)
                        unread.append(row)
            return Status(
                len(picture),
                *picture.counts(),
                sum(picture.sizes[row] for row in picture.rows() if picture.sizes[row] != UNKNOWN)
                + sum(_likely_size(mailbox, row) for row in unread),
                picture.uidnext,
                picture.uidvalidity,
                picture.highestmodseq,
                f"F{picture.mailbox_id:016x}",
            )

    def quota(self) -> Quota:
        return self.usage.quota()

    def mailbox_quota(self, name: str) -> Quota:
        return self.usage.quota_of(self.mailbox(name).folder)

    def begin_append(self, name: str) -> FileAppending:
        return FileAppending(self.mailbox(name), self.usage)

    def open(self, name: str, *, read_only: bool = False) -> FolderView:
        name = names.checked(name)
        mailbox = self.mailbox(name)
        mailbox.try_writing()
        return FolderView(mailbox, name, read_only, self.usage, self.mailbox)

    def mailbox(self, name: str) -> Mailbox:
        """The mailbox that all of this process share. Refused NONEXISTENT."""
        folder = names.folder_name(names.checked(name))
        path = self.root.folder / folder if folder else self.root.folder
        if folder and not spelling.is_there(self.root, names.checked(name)):
            raise Refused(Refusal.NONEXISTENT, "there is no such mailbox")
        try:
            require_maildir(path)
        except OSError as fault:
            self.root.troubles.report(fault.filename or path, fault)
            raise
        with self._lock:
            found = self._mailboxes.get(folder)
            if found is None or found.is_replaced:
                found = self._mailboxes[folder] = Mailbox(self.root, path)
            self._last = found
            return found

    def _rename_inbox(self, new_name: str) -> None:
        """RFC 9051 6.3.6: its messages go to a new mailbox; INBOX stays, empty. RFC 5464 4.1: its annotations are
        copied."""
        self.create(new_name)
        try:
            if found := self.annotations(INBOX):
                self.annotate(new_name, found)
            inbox = self.mailbox(INBOX)
            with inbox.locked() as picture:
                uids = [picture.uids[row] for row in picture.rows()]
            copy(inbox, uids, self.mailbox(new_name), self.usage, move=True)
        except (OSError, Refused):
            with contextlib.suppress(OSError, Refused):
                if not self.status(new_name).messages:
                    self.delete(new_name)
            raise

    def _move_folder(self, old: str, new: str) -> None:
        # The account's lock is never held here: who makes a mailbox's log holds that mailbox and waits for the account.
        with self.mailbox(names.name_of(old) or "").locked():
            try:
                os.rename(self.root.folder / old, self.root.folder / new)
            except OSError as fault:
                if fault.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                raise Refused(Refusal.ALREADY_EXISTS, "there is such a mailbox already") from None
        self._forget(old)

    def _forget(self, folder: str) -> None:
        with self._lock:
            self._mailboxes.pop(folder, None)
            self._last = None

    def _require_new(self, name: str) -> None:
        folder = self.root.folder / names.folder_name(name)
        if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
            raise Refused(Refusal.CANNOT, "the name cannot be used: something else has it on disk")
        if spelling.is_there(self.root, name):
            raise Refused(Refusal.ALREADY_EXISTS, "there is such a mailbox already")

    def _require_free(self, folder: str, special_use: Collection[str]) -> None:
        _require_free(self.root.notes().special_uses, folder, special_use)


class Stores:
    """The stores of all accounts of a process, each made once and kept while somebody uses it."""

    def __init__(self, now: Callable[[], float] | None = None, troubles: Troubles = SILENT) -> None:
        self._now = now
        self._troubles = troubles
        self._stores: WeakValueDictionary[Path, FolderStore] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, folder: Path, limits: Limits = NO_LIMITS) -> FolderStore:
        """The store of the account whose Maildir is ``folder`` (relay/mailbox/maildir.py: folder_of)."""
        with self._lock:
            store = self._stores.get(folder)
            if store is None or store.root.limits != limits:
                store = self._stores[folder] = FolderStore(folder, limits, self._now, self._troubles)
            return store


def _require_free(table: dict[str, tuple[str, ...]], folder: str, special_use: Collection[str]) -> None:
    for use in special_use:
        taken = any(use in uses for other, uses in table.items() if other != folder)
        if use not in SPECIAL_USES or taken:
            raise Refused(Refusal.CANNOT, f"{use} cannot be given to this mailbox")


def _renamed(table: dict[str, tuple[str, ...]], pairs: Sequence[tuple[str, str]], *, keeps: bool = False) -> None:
    """``keeps``: under the old names, too."""
    for old, new in pairs:
        uses = table.get(names.folder_name(old)) if keeps else table.pop(names.folder_name(old), None)
        if uses:
            table[names.folder_name(new)] = uses


def _restored(table: dict[str, tuple[str, ...]], before: Mapping[str, tuple[str, ...]]) -> None:
    table.clear()
    table.update(before)


@contextlib.contextmanager
def _undone(folder: Path) -> Iterator[None]:
    """A new mailbox's folder that a fault of the disk keeps from being whole goes again, unless something is in it."""
    try:
        yield
    except (OSError, Refused):
        with contextlib.suppress(OSError):
            for part in ("new", "cur"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(folder / part)
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _likely_size(mailbox: Mailbox, row: int) -> int:
    """Of a message that cannot be read."""
    try:
        return likely_size(mailbox.folder / (mailbox.path(mailbox.picture.uids[row]) or ""))
    except OSError:
        return 0
