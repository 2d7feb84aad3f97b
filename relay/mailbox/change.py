"""Changes of one mailbox: flags, removal, and new messages. Each is one transaction of relay/mailbox/mailbox.py.

A message whose file another program renamed in this very moment is looked for once more; one that is gone is left out
and named. A fault of the disk in the middle leaves what was done logged, and is raised.

What is done is never said to be not done. Flags that cannot be logged are taken back; a message that is removed is gone
whether that could be logged or not (the next look finds out). Removal makes room even where there is none at all: then
it keeps nothing to restore, and what was kept longest goes (deleted.py: give_way).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, TypeVar

from relay.mailbox import _disk, deleted, filename
from relay.mailbox.columns import IN_NEW, MARKS, Picture
from relay.mailbox.files import NO_ROOM
from relay.mailbox.mailbox import Mailbox
from relay.mailbox.maildir import sync_directory
from relay.mailbox.rescan import expected
from relay.mailbox.uidlog import Added, Expunged, Flagged, Item, Keyword, Record
from relay.mailbox.vocabulary import (
    DELETED,
    FIRST_KEYWORD,
    MAX_KEYWORDS,
    Appended,
    How,
    Refusal,
    Refused,
    Stored,
    flag_names,
    system_flags,
)

T = TypeVar("T")


class Draft(NamedTuple):
    """A message whose file waits in ``tmp`` under its base, synced."""

    base: str
    flags: tuple[str, ...]
    internal_date: int
    email_id: int


def store_flags(
    mailbox: Mailbox, uids: Iterable[int], how: How, flags: Collection[str], unchanged_since: int | None
) -> Stored:
    """Changes the flags of messages that are there, ``uids`` ascending. Durable."""
    system_flags(flags)
    with mailbox.locked() as picture:
        present, gone, failed = _present(picture, uids)
        if unchanged_since is not None:
            failed = [uid for uid in present if picture.modseqs[picture.row_of(uid)] > unchanged_since]
            present = [uid for uid in present if uid not in set(failed)]
        mask, records = _mask(picture, flags)
        wanted = [(uid, new) for uid in present if (new := _changed(picture, uid, how, mask)) is not None]
        changed: list[tuple[int, int]] = []
        renames: list[_Renamed] = []
        try:
            rest = _each(mailbox, wanted, lambda pair: renames.append(_rename(mailbox, *pair)), changed)
            gone += [uid for uid, _ in rest]
        finally:
            try:
                if changed:
                    sync_directory(mailbox.folder / "cur")
                    records.append(Flagged(mailbox.picture.highestmodseq + 1, sorted(changed)))
                if records:
                    mailbox.commit(records)
            except OSError:
                _take_back(mailbox, renames)
                raise
    return Stored([uid for uid, _ in changed], failed, sorted(gone))


def expunge(mailbox: Mailbox, uids: Iterable[int], *, deleted_only: bool, keep: bool = True) -> list[int]:
    """Removes messages, ``uids`` ascending, and returns which; ``keep``: they can be restored. Durable."""
    with mailbox.locked() as picture:
        present, _, _ = _present(picture, uids)
        if deleted_only:
            present = [uid for uid in present if picture.flags[picture.row_of(uid)] & DELETED]
        removed: list[int] = []
        try:
            _each(mailbox, present, lambda uid: _remove(mailbox, uid, keep), removed)
        finally:
            if removed:
                _log_removal(mailbox, removed)
    return sorted(removed)


def _log_removal(mailbox: Mailbox, removed: list[int]) -> None:
    """The files are gone, and that is so whatever becomes of the log."""
    try:
        sync_directory(mailbox.folder / "cur")
        sync_directory(mailbox.folder / "new")
        mailbox.commit([Expunged(mailbox.picture.highestmodseq + 1, sorted(removed))])
    except OSError as fault:
        mailbox.root.troubles.report(mailbox.log.path, fault)
    if not _has_room(mailbox):
        give_way(mailbox)


def give_way(mailbox: Mailbox) -> bool:
    """Makes room on a full disk by what was removed before; whether any of that went."""
    return mailbox.log.is_writable and deleted.give_way(mailbox.root.folder, lambda: _has_room(mailbox))


def _has_room(mailbox: Mailbox) -> bool:
    return deleted.has_room(mailbox.root.folder) and mailbox.log.has_room(0)


def add(mailbox: Mailbox, drafts: Sequence[Draft], *, is_growth: bool = True) -> Appended:
    """Publishes the files that wait in ``tmp``, all or none. Durable. Not ``is_growth``: they were in the account
    before (MOVE), and may be logged into the room that is kept for removing."""
    with mailbox.locked() as picture:
        records: list[Record] = []
        items: list[Item] = []
        now = int(mailbox.root.now())
        keywords = list(picture.keywords)
        for draft in drafts:
            mask, made = _mask_with(keywords, draft.flags)
            records += made
            items.append(Item(picture.uidnext + len(items), mask, draft.email_id, draft.internal_date, now, draft.base))
        if items:
            records.append(Added(picture.highestmodseq + 1, items))
            (_add_one if len(items) == 1 else _add_many)(mailbox, records, items, is_growth)
        return Appended(picture.uidvalidity, [item.uid for item in items])


def _add_one(mailbox: Mailbox, records: Sequence[Record], items: Sequence[Item], is_growth: bool) -> None:
    """Publishes, then logs: a crash in between leaves a message that a look gives a UID; nobody was told another."""
    (item,) = items
    target = os.fsencode(mailbox.folder / _place(item))
    _disk.move(os.fsencode(mailbox.folder / "tmp" / item.base), target)
    try:
        mailbox.commit(records, is_growth=is_growth)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    try:
        _disk.sync_directory(os.fsencode(mailbox.folder / "cur"))
    except OSError:
        _take_out(mailbox, items)
        raise


def _add_many(mailbox: Mailbox, records: Sequence[Record], items: Sequence[Item], is_growth: bool) -> None:
    """Logs, then publishes: a look rolls forward what a crash kept from it, so all of them appear together."""
    mailbox.commit(records, is_growth=is_growth)
    try:
        for item in items:
            with contextlib.suppress(FileNotFoundError):  # a look has rolled it forward
                os.rename(mailbox.folder / "tmp" / item.base, mailbox.folder / _place(item))
        _disk.sync_directory(os.fsencode(mailbox.folder / "cur"))
    except OSError:
        _take_out(mailbox, items)
        raise
    with contextlib.suppress(OSError):  # costs another look
        mailbox.commit([], durable=False, is_growth=True)


def _take_out(mailbox: Mailbox, items: Sequence[Item]) -> None:
    """What was logged and could not be published is not there; its UIDs are used up."""
    for item in items:
        for path in (f"tmp/{item.base}", _place(item)):
            with contextlib.suppress(OSError):
                os.unlink(mailbox.folder / path)
    try:
        mailbox.commit([Expunged(mailbox.picture.highestmodseq + 1, [item.uid for item in items])])
    except OSError:
        with contextlib.suppress(OSError):  # brings a look, which finds them gone
            os.utime(mailbox.folder / "cur")


def _place(item: Item) -> str:
    """A name without flags that have no letter; a look after a crash gives the same."""
    return filename.in_cur(item.base, item.flags & ~IN_NEW)


def _present(picture: Picture, uids: Iterable[int]) -> tuple[list[int], list[int], list[int]]:
    present: list[int] = []
    gone: list[int] = []
    for uid in uids:
        (present if picture.row_of(uid) >= 0 else gone).append(uid)
    return present, gone, []


def _changed(picture: Picture, uid: int, how: How, mask: int) -> int | None:
    """The flags after the change; None when they stay."""
    old = picture.flags[picture.row_of(uid)] & ~MARKS
    new = {How.ADD: old | mask, How.REMOVE: old & ~mask, How.REPLACE: mask}[how]
    return new if new != old else None


def _mask(picture: Picture, flags: Collection[str]) -> tuple[int, list[Record]]:
    return _mask_with(list(picture.keywords), flags)


def _mask_with(keywords: list[str], flags: Collection[str]) -> tuple[int, list[Record]]:
    """The mask of ``flags``, and records of keywords that the mailbox has not yet; they are added to ``keywords``."""
    mask, wanted = system_flags(flags)
    made: list[Record] = []
    known = {name.lower(): number for number, name in enumerate(keywords)}
    for name in wanted:
        number = known.get(name.lower())
        if number is None:
            number = len(keywords)
            if number >= MAX_KEYWORDS:
                raise Refused(Refusal.LIMIT, "too many different keywords in this mailbox")
            keywords.append(name)
            known[name.lower()] = number
            made.append(Keyword(number, name))
        mask |= 1 << FIRST_KEYWORD + number
    return mask, made


def _each(mailbox: Mailbox, wanted: Sequence[T], change: Callable[[T], None], done: list[T]) -> list[T]:
    """Makes ``change`` for each; after a look once more for those whose file was elsewhere. Returns the rest."""
    missed: list[T] = []
    for each in wanted:
        try:
            change(each)
            done.append(each)
        except FileNotFoundError:
            missed.append(each)
    if not missed:
        return []
    rest: list[T] = []
    with mailbox.locked(force=True):
        for each in missed:
            try:
                change(each)
                done.append(each)
            except FileNotFoundError:
                rest.append(each)
    return rest


class _Renamed(NamedTuple):
    """One that can be taken back."""

    uid: int
    before: str
    after: str


def _take_back(mailbox: Mailbox, renames: Sequence[_Renamed]) -> None:
    for each in reversed(renames):
        with contextlib.suppress(OSError):
            os.rename(mailbox.folder / each.after, mailbox.folder / each.before)
            mailbox.renamed(each.uid, each.before)


def _rename(mailbox: Mailbox, uid: int, flags: int) -> _Renamed:
    """Gives the file the name that goes with ``flags``; from ``new`` it comes to ``cur``."""
    picture, path = mailbox.picture, mailbox.path(uid)
    if path is None:
        raise FileNotFoundError
    base = picture.base(picture.row_of(uid))
    target = filename.in_cur(base, flags, mailbox.odd_letters(uid))
    if target != path:
        try:
            os.rename(mailbox.folder / path, mailbox.folder / target)
        except OSError as fault:  # the folder may have to grow
            if fault.errno not in NO_ROOM or not give_way(mailbox):
                raise
            os.rename(mailbox.folder / path, mailbox.folder / target)
        mailbox.renamed(uid, None if target == expected(base, flags) else target)
    return _Renamed(uid, path, target)


def _remove(mailbox: Mailbox, uid: int, keep: bool) -> None:
    path = mailbox.path(uid)
    if path is None:
        raise FileNotFoundError
    root = mailbox.root
    if keep and root.limits.deleted_retention > 0:
        folder = "" if mailbox.folder == root.folder else mailbox.folder.name
        try:
            deleted.keep(root.folder, folder, mailbox.folder / path, int(root.now()))
        except OSError as fault:
            if fault.errno not in NO_ROOM:
                raise
            os.unlink(mailbox.folder / path)
    else:
        os.unlink(mailbox.folder / path)


def names_of(picture: Picture, uid: int) -> tuple[str, ...]:
    """The flags of a message by name."""
    return flag_names(picture.flags[picture.row_of(uid)] & ~MARKS, picture.keywords)
