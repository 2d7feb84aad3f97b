"""A look at a folder: what the files say beside what the log says, as records for the log.

Theory: files are the truth about which messages there are and which (lettered) flags they have, because any program
may change them; the log is the truth about UIDs, MODSEQs and keywords without letters. A look compares both and says
what happened.

Traps: ``readdir`` may miss a file that is renamed meanwhile, so nothing counts as gone that two listings did not both
miss. What is no regular file is no message (cr.yp.to/proto/maildir.html), whatever its name: the operator is told. A
message in the log whose file is still in ``tmp`` was being added when a process died: it is put into its place.
One base in ``new`` and in ``cur`` is two messages, if both are really there: one of them gets another base.

Not here: when to look (relay/mailbox/mailbox.py).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from relay.mailbox import _reading, filename
from relay.mailbox.columns import IN_NEW, MARKS, Picture
from relay.mailbox.files import account_of
from relay.mailbox.maildir import make_maildir, unique_name
from relay.mailbox.uidlog import Added, Claimed, Expunged, Flagged, Item, Record

Listing: TypeAlias = dict[str, str]
"""Path below the folder, by base."""


STRANGE: Final = 100


class Seen(NamedTuple):
    """What a look found."""

    records: list[Record]
    odd: dict[int, str]
    """UIDs whose file has not the name that the log's flags give, with its path below the folder."""
    strange: list[str]
    """Paths below the folder of what is no regular file, STRANGE at most."""


def modified(folder: Path) -> tuple[int, int]:
    """Modification times (ns) of ``new`` and ``cur``; 0 for one that is not there."""
    return _mtime(folder / "new"), _mtime(folder / "cur")


def look(folder: Path, picture: Picture, modseq: int, now: int) -> Seen:
    """Compares; ``modseq`` is for what changed. Only the caller's lock keeps our own processes from changing files."""
    rows = picture.bases()
    strange: list[str] = []
    listing = _listing(folder, strange)
    if missing := rows.keys() - listing.keys():
        again = _listing(folder, [])
        listing = again | {base: path for base, path in listing.items() if base in again}
        missing -= again.keys()
    for base in sorted(missing):
        if _rolled_forward(folder, picture, rows[base], base, listing):
            missing.discard(base)
    seen = _known(picture, rows, listing, modseq)
    records = list(seen.records)
    if missing:
        records.append(Expunged(modseq, sorted(picture.uids[rows[base]] for base in missing)))
    arrived = sorted(listing.keys() - rows.keys(), key=filename.order)
    items = _items(folder, picture, [(base, listing[base]) for base in arrived], now)
    if items:
        records.append(Added(modseq, items))
        seen.odd.update(_odd_items(items, listing))
    return Seen(records, seen.odd, strange)


def look_at_new(folder: Path, picture: Picture, modseq: int, now: int) -> Seen | None:
    """The same when only ``new`` was modified: costs what is in ``new``. None when that does not say all."""
    known = {picture.base(row) for uid in picture.in_new if (row := picture.row_of(uid)) >= 0}
    regular, others = names(folder, "new")
    listing = {name: f"new/{name}" for name in regular}
    arrived = sorted(listing.keys() - known, key=filename.order)
    if known - listing.keys() or any(":" in base or os.fsencode(base) in picture.names for base in arrived):
        return None
    items = _items(folder, picture, [(base, listing[base]) for base in arrived], now)
    return Seen([Added(modseq, items)] if items else [], {}, [f"new/{name}" for name in others[:STRANGE]])


def expected(base: str, flags: int) -> str:
    """The path below the folder that a message with these flags has, if nobody else has renamed it."""
    return f"new/{base}" if flags & IN_NEW else filename.in_cur(base, flags)


def _mtime(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _listing(folder: Path, strange: list[str]) -> Listing:
    """Adds to ``strange`` what is no regular file."""
    found: Listing = {}
    for place in ("new", "cur"):
        regular, others = names(folder, place)
        strange += [f"{place}/{name}" for name in others[: STRANGE - len(strange)]]
        for name in regular:
            base, path = name.partition(":")[0], f"{place}/{name}"
            if base in found and (other := _other_base(folder, found[base], base, path)):
                base, path = other
            found[base] = path
    return found


def names(folder: Path, place: str) -> tuple[list[str], list[str]]:
    """The regular files in ``new`` or ``cur``, and what else is there, without what is hidden."""
    root, way = account_of(folder)
    below = way + os.fsencode(place)
    try:
        return _reading.entries(root, below)
    except FileNotFoundError:
        make_maildir(folder)  # somebody removed it
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror, f"{folder}/{place}") from None
    return _reading.entries(root, below)


def _other_base(folder: Path, first: str, base: str, second: str) -> tuple[str, str] | None:
    """(Base, path) that the second message with ``base`` was given; None when there is only one: it was renamed while
    we looked."""
    if not (os.path.lexists(folder / first) and os.path.lexists(folder / second)):
        return None
    _, colon, info = second.partition(":")
    other = unique_name() + filename.sizes(base)
    path = f"cur/{other}{colon}{info}"
    os.rename(folder / second, folder / path)
    return other, path


def _rolled_forward(folder: Path, picture: Picture, row: int, base: str, listing: Listing) -> bool:
    path = filename.in_cur(base, picture.flags[row])
    try:
        os.rename(folder / "tmp" / base, folder / path)
    except OSError:
        return False
    listing[base] = path
    return True


def _known(picture: Picture, rows: dict[str, int], listing: Listing, modseq: int) -> Seen:
    """What happened to messages that have a UID."""
    changed: list[tuple[int, int]] = []
    claimed: list[int] = []
    odd: dict[int, str] = {}
    count = len(picture.keywords)
    infos: dict[str, int] = {}
    letters: dict[int, str] = {}
    flags_of, uids = picture.flags, picture.uids
    for base, path in listing.items():
        row = rows.get(base)
        if row is None:
            continue
        flags = flags_of[row]
        info = path[len(base) + 4 :]
        if path.startswith("new/"):
            if info or not flags & IN_NEW:
                odd[uids[row]] = path
            continue
        mask = infos.get(info)
        if mask is None:
            mask = infos[info] = filename.mask_of(filename.split(info)[1], count)
        now = flags & ~filename.IN_NAME & ~MARKS | mask
        if now != flags & ~MARKS:
            changed.append((uids[row], now))
        elif flags & IN_NEW:
            claimed.append(uids[row])
        usual = letters.get(now)
        if usual is None:
            usual = letters[now] = filename.INFO + filename.letters_of(now)
        if info != usual:
            odd[uids[row]] = path
    records: list[Record] = []
    if changed:
        records.append(Flagged(modseq, sorted(changed)))
    if claimed:
        records.append(Claimed(sorted(claimed)))
    return Seen(records, odd, [])


def _items(folder: Path, picture: Picture, arrived: list[tuple[str, str]], now: int) -> list[Item]:
    """UIDs for new messages; one that goes while we look gets none."""
    items: list[Item] = []
    uid = picture.uidnext
    for base, path in arrived:
        flags = filename.mask_of(filename.split(path)[1], len(picture.keywords))
        with contextlib.suppress(OSError):
            found = os.lstat(folder / path)
            if not stat.S_ISREG(found.st_mode):
                continue
            date = int(found.st_mtime)
            items.append(
                Item(uid, flags | (IN_NEW if path.startswith("new/") else 0), filename.email_id(base), date, now, base)
            )
            uid += 1
    return items


def _odd_items(items: list[Item], listing: Listing) -> dict[int, str]:
    return {item.uid: listing[item.base] for item in items if listing[item.base] != expected(item.base, item.flags)}
