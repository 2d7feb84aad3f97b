"""Taking over a Maildir from Dovecot: its UIDVALIDITY, UIDs and keywords, so that clients download nothing again.

``dovecot-uidlist`` version 3 (and 1): a first line ``3 V<uidvalidity> N<next uid> G<guid>``, then one line a message,
``<uid> [<letter><value> ...] :<file name>``; ``P`` gives a fixed POP3 UIDL. ``dovecot-keywords``: lines of ``<number>
<name>``, number n being the letter ``a`` + n of file names. Both are read once, when a mailbox has no uid log; keywords
are written back when one is added, so that Dovecot could take the Maildir over again.

MODSEQs are not in these files. So that they are above all that a client remembers, they start at the present second.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox import filename
from relay.mailbox.columns import IN_NEW
from relay.mailbox.files import read_file, replacing
from relay.mailbox.rescan import names
from relay.mailbox.uidlog import Added, Head, Item, Keyword, Record, Uidl
from relay.mailbox.vocabulary import MAX_KEYWORDS, MAX_UID, is_keyword

UIDLIST: Final = "dovecot-uidlist"
KEYWORDS: Final = "dovecot-keywords"


class Entry(NamedTuple):
    """One message of a uidlist."""

    uid: int
    base: str
    uidl: str


class Uidlist(NamedTuple):
    """The whole file."""

    uidvalidity: int
    uidnext: int
    entries: list[Entry]
    """UIDs ascend."""


def taken_over(folder: Path, head: Head, now: int) -> list[Record]:
    """The records of a new log for the Maildir ``folder``: ``head`` as it is when Dovecot was never there. OSError when
    there is a uidlist that cannot be read: without it, clients would download everything again."""
    keywords = [Keyword(number, name) for number, name in enumerate(read_keywords(folder))]
    found: str | None = None
    with contextlib.suppress(FileNotFoundError):
        found = read_file(folder / UIDLIST).decode("utf-8", "surrogateescape")
    uidlist = parse(found) if found is not None else None
    if uidlist is None:
        return [head, *keywords]
    items, uidls = _present(folder, uidlist, len(keywords), now)
    head = head._replace(uidvalidity=uidlist.uidvalidity, uidnext=uidlist.uidnext, highestmodseq=now, floor=now)
    first_recent = 1 + max((item.uid for item in items if not item.flags & IN_NEW), default=0)
    records: list[Record] = [head._replace(first_recent=first_recent), *keywords]
    if items:
        records.append(Added(now, items))
    return [*records, *uidls]


def parse(text: str) -> Uidlist | None:
    """None for what is not a uidlist; lines that are not understood, or whose UIDs do not ascend, are left out."""
    lines = text.splitlines()
    header = _header(lines[0].split()) if lines else None
    if header is None:
        return None
    version, uidvalidity, uidnext = header
    entries: list[Entry] = []
    for line in lines[1:]:
        entry = _entry(line, version)
        if entry and entry.uid > (entries[-1].uid if entries else 0):
            entries.append(entry)
    return Uidlist(uidvalidity, max(uidnext, entries[-1].uid + 1 if entries else 1), entries)


def write_keywords(folder: Path, keywords: Sequence[str]) -> None:
    """Writes the keywords that have letters; a fault of the disk is nobody's trouble, they are in our log."""
    with contextlib.suppress(OSError), replacing(folder / KEYWORDS) as file:
        file.write(keyword_lines(keywords).encode())


def keyword_lines(keywords: Sequence[str]) -> str:
    """What ``dovecot-keywords`` says of them."""
    return "".join(f"{number} {name}\n" for number, name in enumerate(keywords[: filename.LETTERED]))


def read_keywords(folder: Path) -> list[str]:
    """The keywords of the Maildir ``folder``, as its ``dovecot-keywords`` says; none without one."""
    return parse_keywords(_read(folder / KEYWORDS) or "")


def parse_keywords(text: str) -> list[str]:
    """Names by number; a number that has none, or no good one, gets one that nobody uses."""
    names: dict[int, str] = {}
    for line in text.splitlines():
        number, _, name = line.partition(" ")
        if number.isdecimal() and int(number) < MAX_KEYWORDS and is_keyword(name):
            names[int(number)] = name
    return [names.get(number, f"unknown-{number}") for number in range(max(names, default=-1) + 1)]


def _header(words: list[str]) -> tuple[int, int, int] | None:
    if not words or words[0] not in {"1", "3"}:
        return None
    is_old = words[0] == "1"
    values = dict(zip("VN", words[1:3], strict=False)) if is_old else {word[0]: word[1:] for word in words[1:]}
    uidvalidity, uidnext = values.get("V", ""), values.get("N", "1")
    if not (uidvalidity.isdecimal() and uidnext.isdecimal()):
        return None
    numbers = int(uidvalidity), int(uidnext)
    return (int(words[0]), *numbers) if 0 < numbers[0] <= MAX_UID and 0 < numbers[1] <= MAX_UID + 1 else None


def _entry(line: str, version: int) -> Entry | None:
    number, _, rest = line.partition(" ")
    if not number.isdecimal() or not 0 < int(number) <= MAX_UID:
        return None
    uidl = ""
    if version == 3:
        fields, colon, rest = (" " + rest).partition(" :")
        if not colon:
            return None
        uidl = next((field[1:] for field in fields.split() if field[0] == "P"), "")
    base = filename.split(rest)[0]
    return Entry(int(number), base, uidl) if base and "/" not in base else None


def _present(folder: Path, uidlist: Uidlist, keywords: int, now: int) -> tuple[list[Item], list[Uidl]]:
    """The messages of the uidlist whose files are there, with the flags of their names."""
    paths: dict[str, str] = {}
    for place in ("cur", "new"):
        with contextlib.suppress(FileNotFoundError):
            paths.update({filename.split(name)[0]: f"{place}/{name}" for name in names(folder, place)[0]})
    items: list[Item] = []
    uidls: list[Uidl] = []
    for entry in uidlist.entries:
        path = paths.pop(entry.base, None)
        if path is None:
            continue
        with contextlib.suppress(OSError):
            date = int(os.lstat(folder / path).st_mtime)
            flags = filename.mask_of(filename.split(path)[1], keywords) | (IN_NEW if path.startswith("new/") else 0)
            items.append(Item(entry.uid, flags, filename.email_id(entry.base), date, min(date, now), entry.base))
            if entry.uidl:
                uidls.append(Uidl(entry.uid, entry.uidl))
    return items, uidls


def _read(path: Path) -> str | None:
    try:
        return read_file(path).decode("utf-8", "surrogateescape")
    except OSError:
        return None
