"""A mailbox out to a file: mbox (RFC 4155, "mboxrd" quoting) or a tar of a Maildir; importing.py reads both back.

An mbox keeps everything: flags as Status and X-Status, keywords as X-Keywords, the internal date in the From line. A
Maildir has letters for 26 keywords (dovecot-keywords says which); those beyond are not in it.

Memory is bounded: one line, or one block.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

from relay.mailbox import dovecot, filename
from relay.mailbox.importing import FROM, PIECE, STATUS
from relay.mailbox.interfaces import Content, View
from relay.mailbox.vocabulary import Refused


class Left(NamedTuple):
    """A message that could not be read."""

    uid: int
    cause: str


def export_mbox(view: View, out: IO[bytes]) -> list[Left]:
    """Writes all messages, lines with LF; those that were left out because they could not be read."""
    left: list[Left] = []
    for index, content in _contents(view, left):
        date = time.asctime(time.gmtime(view.internal_date(index)))
        out.write(f"From MAILER-DAEMON {date}\n".encode())
        out.write(_status(view.flag_names(view.flags[index])))
        stripped = b""
        for line in _lines(_pieces(content)):
            stripped = line[:-2] + b"\n" if line.endswith(b"\r\n") else line
            out.write(b">" + stripped if FROM.match(stripped) else stripped)
        out.write(b"\n" if stripped.endswith(b"\n") else b"\n\n")
    return left


def export_tar(view: View, out: IO[bytes], folder: str) -> list[Left]:
    """Writes a tar of a Maildir with all messages in ``folder``/cur, octets as they are sent; those that were left out
    because they could not be read."""
    left: list[Left] = []
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for place in ("cur", "new", "tmp"):
            entry = tarfile.TarInfo(f"{folder}/{place}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(entry)
        keywords = dovecot.keyword_lines(view.keywords).encode("utf-8", "surrogateescape")
        entry = tarfile.TarInfo(f"{folder}/{dovecot.KEYWORDS}")
        entry.size, entry.mode = len(keywords), 0o600
        archive.addfile(entry, io.BytesIO(keywords))
        for index, content in _contents(view, left):
            letters = filename.letters_of(view.flags[index] & filename.IN_NAME)
            unique = f"{view.internal_date(index)}.U{view.uids[index]}V{view.uidvalidity}.relay"
            size = content.size
            name = f"{unique},S={size},W={size}:2,{letters}"
            entry = tarfile.TarInfo(f"{folder}/cur/{name}")
            entry.size, entry.mtime, entry.mode = size, view.internal_date(index), 0o600
            archive.addfile(entry, _Reader(content))
    return left


def _contents(view: View, left: list[Left]) -> Iterator[tuple[int, Content]]:
    """The messages that can be opened, one at a time; the others go to ``left``."""
    for index in range(len(view)):
        try:
            content = view.content(index)
        except Refused:  # gone meanwhile
            continue
        except OSError as fault:
            left.append(Left(view.uids[index], fault.strerror or "cannot be read"))
            continue
        with content:
            yield index, content


class _Reader:
    """A message as a file to read from its beginning."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int = PIECE, /) -> bytes:
        octets = self._content.read(self._at, count)
        self._at += len(octets)
        return octets


def _pieces(content: Content) -> Iterator[bytes]:
    at = 0
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
    letters = {flag: letter for letter, flag in STATUS.items()}
    seen = b"RO" if "\\Seen" in flags else b"O"
    others = b"".join(letters[flag] for flag in flags if flag in letters and flag != "\\Seen")
    keywords = " ".join(flag for flag in flags if not flag.startswith("\\")).encode()
    return (
        b"Status: " + seen + b"\n"
        + (b"X-Status: " + others + b"\n" if others else b"")
        + (b"X-Keywords: " + keywords + b"\n" if keywords else b"")
    )  # fmt: skip
