"""What an operator does for an account: brings removed messages back, checks and repairs, lets old things go.

All of it works beside running sessions: it uses the same locks, and sessions see what changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox import account_root, change, deleted, filename, index, message_cache, metadata, rescan, subscriptions
from relay.mailbox.change import Draft
from relay.mailbox.columns import IN_NEW
from relay.mailbox.content import crlf_size, require_readable
from relay.mailbox.deleted import Kept
from relay.mailbox.files import open_file
from relay.mailbox.logfile import NAME as LOG
from relay.mailbox.maildir import unique_name
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import INBOX, Refusal, Refused, flag_names

STALE: Final = 36 * 3600
"""Seconds after which a file in ``tmp`` belongs to nobody (cr.yp.to/proto/maildir.html)."""


class Finding(NamedTuple):
    """One line of ``relay mailbox fsck``."""

    mailbox: str
    is_damage: bool
    text: str


def restore(store: FolderStore, since: float, mailbox: str | None = None) -> dict[str, int]:
    r"""Puts back what was removed at or after ``since`` (seconds since 1970), of one mailbox or of all, into the
    mailbox it was in, which is made again if need be; without \Deleted. Returns how many by mailbox. Durable."""
    wanted: dict[str, list[Kept]] = {}
    for each in deleted.kept(store.root.folder):
        if each.removed >= since and mailbox in {None, each.mailbox}:
            wanted.setdefault(each.mailbox, []).append(each)
    return {name: _put_back(store, name, found) for name, found in sorted(wanted.items())}


def expire(store: FolderStore, which: str, before: float) -> int:
    """Removes what came into the mailbox with that name or special use before that second; how many messages. They can
    be restored like others."""
    count = 0
    for listed in store.list():
        if listed.exists and (which == listed.name or which in listed.special_use):
            mailbox = store.mailbox(listed.name)
            with mailbox.locked() as picture:
                old = [picture.uids[row] for row in picture.rows() if picture.save_dates[row] < before]
            count += len(change.expunge(mailbox, old, deleted_only=False))
    return count


def purge(store: FolderStore, before: float) -> int:
    """Removes for good what was removed before that second, and what processes that died left in ``tmp``; how many."""
    count = deleted.purge(store.root.folder, before)
    limit = store.root.now() - STALE
    for name in store.names():
        with contextlib.suppress(OSError, Refused):
            for entry in os.scandir(store.mailbox(name).folder / "tmp"):
                found = entry.stat(follow_symlinks=False)
                if found.st_mtime < limit and found.st_ctime < limit and not stat.S_ISDIR(found.st_mode):
                    os.unlink(entry.path)
                    count += 1
    return count


def check(store: FolderStore, *, deep: bool = False) -> Iterator[Finding]:
    """Looks at every mailbox; what can be put right is, by the look that every session makes. ``deep``: also
    compares the sizes in file names with the files."""
    for own in (account_root.NAME, subscriptions.NAME, metadata.ACCOUNT):
        yield from _check_own(INBOX, store.root.folder / own)
    for name in store.names():
        try:
            mailbox = store.mailbox(name)
            with mailbox.locked(force=True) as picture:
                paths = {uid: mailbox.path(uid) for row in picture.rows() if (uid := picture.uids[row])}
                bases = {uid: picture.base(picture.row_of(uid)) for uid in paths}
        except Refused as refused:
            yield Finding(name, True, refused.text)
            continue
        except OSError as fault:
            yield Finding(name, True, f"{fault.filename or store.folder_of(name)} cannot be used: {_cause(fault)}")
            continue
        for place in ("new", "cur"):
            for strange in rescan.names(mailbox.folder, place)[1]:
                text = f"{mailbox.folder}/{place}/{strange} is no regular file, so it is no message"
                yield Finding(name, True, text)
        for own in (LOG, index.NAME, message_cache.NAME, metadata.NAME):
            yield from _check_own(name, mailbox.folder / own)
        for file in sorted(mailbox.folder.glob("relay-uids.damaged-*")):
            yield Finding(name, True, f"the uid log was damaged and has been written anew; the old one is {file.name}")
        for uid, path in paths.items():
            yield from _check_file(name, mailbox.folder / (path or ""), uid, bases[uid], deep)
        text = f"{len(paths)} messages, UIDVALIDITY {picture.uidvalidity}, next UID {picture.uidnext}"
        yield Finding(name, False, text)


def _check_file(name: str, path: Path, uid: int, base: str, deep: bool) -> Iterator[Finding]:
    try:
        require_readable(path)
        size = path.lstat().st_size
    except OSError as fault:
        yield Finding(name, True, f"{path} (UID {uid}) cannot be read: {_cause(fault)}")
        return
    claimed = filename.disk_size(base)
    if claimed is not None and claimed != size:
        yield Finding(name, True, f"UID {uid} has {size} octets, its name says {claimed}")
    if deep:
        try:
            sent = crlf_size(path)
        except OSError as fault:
            yield Finding(name, True, f"{path} (UID {uid}) cannot be read: {_cause(fault)}")
            return
        if (filename.size(base) or sent) != sent:
            yield Finding(name, True, f"UID {uid} has {sent} octets with CRLF, its name says {filename.size(base)}")


def _check_own(name: str, path: Path) -> Iterator[Finding]:
    """A file of Relay's own beside the messages."""
    try:
        os.close(open_file(path))
    except FileNotFoundError:
        return
    except OSError as fault:
        yield Finding(name, True, f"{path} cannot be used: {_cause(fault)}")


def _cause(fault: OSError) -> str:
    return os.strerror(fault.errno) if fault.errno else str(fault)


def _put_back(store: FolderStore, name: str, found: list[Kept]) -> int:
    try:
        mailbox = store.mailbox(name)
    except Refused as refused:
        if refused.why is not Refusal.NONEXISTENT or name == INBOX:
            raise
        store.create(name)
        mailbox = store.mailbox(name)
    drafts: list[Draft] = []
    with mailbox.locked() as picture:
        keywords = list(picture.keywords)
    for each in sorted(found, key=lambda each: filename.order(each.name)):
        base, letters = filename.split(each.name)
        mask = filename.mask_of(letters, len(keywords)) & ~IN_NEW
        flags = [flag for flag in flag_names(mask, keywords) if flag != "\\Deleted"]
        again = unique_name() + filename.sizes(base)
        with contextlib.suppress(FileNotFoundError):  # purged, or restored by somebody else
            date = int(each.path.lstat().st_mtime)
            os.rename(each.path, mailbox.folder / "tmp" / again)
            drafts.append(Draft(again, tuple(flags), date, filename.email_id(base)))
    return len(change.add(mailbox, drafts).uids)
