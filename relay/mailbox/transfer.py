"""A mailbox out to a file, and in from one: mbox (RFC 4155, "mboxrd" quoting), tar of a Maildir, and a Maildir.

Memory is bounded: one line, or one block. What is taken in comes with its flags and its date as far as the source has
them.
"""

from __future__ import annotations

import os
import re
import tarfile
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Final

from relay.mailbox import filename
from relay.mailbox.ports import Appending, Content, Store, View
from relay.mailbox.vocabulary import flag_names

PIECE: Final = 1 << 16
LONGEST_LINE: Final = 1 << 20
_FROM: Final = re.compile(rb">*From ")
_STATUS: Final = {b"R": "\\Seen", b"A": "\\Answered", b"F": "\\Flagged", b"T": "\\Draft", b"D": "\\Deleted"}
_HEADERS: Final = (b"status:", b"x-status:")


def export_mbox(view: View, out: IO[bytes]) -> int:
    """Writes all messages, lines with LF, flags as Status and X-Status; how many."""
    for index in range(len(view)):
        date = time.asctime(time.gmtime(view.internal_date(index)))
        out.write(f"From MAILER-DAEMON {date}\n".encode())
        out.write(_status(view.flag_names(view.flags[index])))
        stripped = b""
        for line in _lines(_pieces(view, index)):
            stripped = line[:-2] + b"\n" if line.endswith(b"\r\n") else line
            out.write(b">" + stripped if _FROM.match(stripped) else stripped)
        out.write(b"\n" if stripped.endswith(b"\n") else b"\n\n")
    return len(view)


def export_tar(view: View, out: IO[bytes], folder: str) -> int:
    """Writes a tar of a Maildir with all messages in ``folder``/cur, lines with CRLF as they are sent; how many."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for place in ("cur", "new", "tmp"):
            entry = tarfile.TarInfo(f"{folder}/{place}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(entry)
        for index in range(len(view)):
            letters = filename.letters_of(view.flags[index] & filename.IN_NAME & 31)
            unique = f"{view.internal_date(index)}.U{view.uids[index]}V{view.uidvalidity}.relay"
            name = f"{unique},W={view.size(index)}:2,{letters}"
            entry = tarfile.TarInfo(f"{folder}/cur/{name}")
            entry.size, entry.mtime, entry.mode = view.size(index), view.internal_date(index), 0o600
            with view.content(index) as content:
                archive.addfile(entry, _Reader(content))
    return len(view)


def import_mbox(store: Store, name: str, source: IO[bytes]) -> int:
    """Appends all messages of an mbox; how many. ValueError when it is none; nothing is taken in then."""
    count = 0
    appending: Appending | None = None
    is_empty_line = True
    held = b""
    while line := source.readline(LONGEST_LINE):
        if line.startswith(b"From ") and is_empty_line:
            if appending is not None:
                appending.commit()
            appending = store.begin_append(name)
            header, flags = _header(source)
            appending.add(flags, _date(line))
            appending.write(header)
            count += 1
            held, is_empty_line = b"", False
            continue
        if appending is None:
            raise ValueError("this is no mbox: it does not begin with a From line")
        appending.write(held)
        held = b""
        is_empty_line = line in {b"\n", b"\r\n"}
        if _FROM.match(line) and line.startswith(b">"):
            line = line[1:]
        sent = line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if line.endswith(b"\n") else line
        if is_empty_line:
            held = sent  # the one before a From line belongs to the mbox
        else:
            appending.write(sent)
    if appending is not None:
        appending.commit()
    return count


def import_maildir(store: Store, name: str, folder: Path) -> int:
    """Appends all messages of the Maildir ``folder``; how many. ValueError when it is none."""
    if not (folder / "cur").is_dir():
        raise ValueError("this is no Maildir: there is no folder cur in it")
    paths = [path for place in ("new", "cur") for path in _files(folder / place)]
    for path in sorted(paths, key=lambda path: filename.order(path.name)):
        letters = filename.split(path.name)[1]
        mask = filename.mask_of(letters, 0)
        appending = store.begin_append(name)
        appending.add(flag_names(mask, ()), int(path.stat().st_mtime))
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                appending.write(piece)
        appending.commit()
    return len(paths)


class _Reader:
    """A message as a file to read from its beginning."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int = PIECE, /) -> bytes:
        octets = self._content.read(self._at, count)
        self._at += len(octets)
        return octets


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []


def _pieces(view: View, index: int) -> Iterator[bytes]:
    at = 0
    with view.content(index) as content:
        while piece := content.read(at, PIECE):
            at += len(piece)
            yield piece


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _status(flags: tuple[str, ...]) -> bytes:
    letters = {flag: letter for letter, flag in _STATUS.items()}
    seen = b"RO" if "\\Seen" in flags else b"O"
    others = b"".join(letters[flag] for flag in flags if flag in letters and flag != "\\Seen")
    return b"Status: " + seen + b"\n" + (b"X-Status: " + others + b"\n" if others else b"")


def _header(source: IO[bytes]) -> tuple[bytes, list[str]]:
    """The header section without Status and X-Status, as it is sent, and the flags that they say."""
    kept: list[bytes] = []
    flags: list[str] = []
    while (line := source.readline(LONGEST_LINE)) and sum(map(len, kept)) < LONGEST_LINE:
        if line.lower().startswith(_HEADERS):
            flags += [flag for letter, flag in _STATUS.items() if letter in line.partition(b":")[2]]
            continue
        kept.append(line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if line.endswith(b"\n") else line)
        if line in {b"\n", b"\r\n"}:
            break
    return b"".join(kept), flags


def _date(line: bytes) -> int | None:
    words = line.decode("ascii", "replace").split(maxsplit=2)
    try:
        parsed = time.strptime(words[2].strip(), "%a %b %d %H:%M:%S %Y")
        return int(parsedate_to_datetime(time.strftime("%d %b %Y %H:%M:%S +0000", parsed)).timestamp())
    except (ValueError, IndexError):
        return None
