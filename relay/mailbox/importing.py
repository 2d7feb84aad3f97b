"""Messages into a mailbox: from an mbox (RFC 4155, "mboxrd" quoting), a Maildir, or a tar of one.

Theory: each message is a transaction of its own, and is durable when its name is yielded; so a source that turns out to
be damaged, or a disk that gets full, costs what comes after. Flags, keywords and dates come along as far as the source
has them.

A Maildir's files are taken as they would be sent: LF becomes CRLF, unless the file's name says that it holds what is
sent already (filename.py). An mbox has lines, and each ends with CRLF.

Memory is bounded: one line, or one block.
"""

from __future__ import annotations

import os
import re
import tarfile
import time
from calendar import timegm
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from relay.mailbox import dovecot, filename
from relay.mailbox.content import with_crlf
from relay.mailbox.files import open_file
from relay.mailbox.interfaces import Appending, Store
from relay.mailbox.vocabulary import flag_names, is_keyword

PIECE: Final = 1 << 16
LONGEST_LINE: Final = 1 << 20
FROM: Final = re.compile(rb">*From ")
STATUS: Final = {b"R": "\\Seen", b"A": "\\Answered", b"F": "\\Flagged", b"T": "\\Draft", b"D": "\\Deleted"}
_LETTERS: Final = (b"status", b"x-status")
_KEYWORDS: Final = (b"x-keywords", b"x-keyword")
_TAR_MARK: Final = slice(257, 262)


class Imported(NamedTuple):
    """What became of one message of the source."""

    name: str
    """Its file, or its number."""
    trouble: str = ""
    """Why it was not taken in; empty when it was."""


def is_tar(beginning: bytes) -> bool:
    """Whether a file that begins so is a tar."""
    return beginning[_TAR_MARK] == b"ustar"


def import_mbox(store: Store, name: str, source: IO[bytes]) -> Iterator[Imported]:
    """Appends all messages of an mbox. ValueError when it is none; nothing is taken in then."""
    count = 0
    appending: Appending | None = None
    is_empty_line = True
    held = b""
    while line := source.readline(LONGEST_LINE):
        if line.startswith(b"From ") and is_empty_line:
            if appending is not None:
                appending.commit()
                yield Imported(str(count))
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
        if FROM.match(line) and line.startswith(b">"):
            line = line[1:]
        sent = line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if line.endswith(b"\n") else line
        if is_empty_line:
            held = sent  # the one before a From line belongs to the mbox
        else:
            appending.write(sent)
    if appending is not None:
        appending.commit()
        yield Imported(str(count))


def import_maildir(store: Store, name: str, folder: Path) -> Iterator[Imported]:
    """Appends all messages of the Maildir ``folder``; what cannot be read is left out. ValueError when it is none."""
    if not (folder / "cur").is_dir():
        raise ValueError("this is no Maildir: there is no folder cur in it")
    keywords = dovecot.read_keywords(folder)
    paths = [path for place in ("new", "cur") for path in _files(folder / place)]
    for path in sorted(paths, key=lambda path: filename.order(path.name)):
        try:
            file = os.fdopen(open_file(path), "rb")  # a fault here is the source's, later ones are the store's
        except OSError as fault:
            yield Imported(path.name, fault.strerror or "cannot be read")
            continue
        with file:
            date = int(os.fstat(file.fileno()).st_mtime)
            _append(store, name, path.name, keywords, date, file)
        yield Imported(path.name)


def import_tar(store: Store, name: str, source: IO[bytes]) -> Iterator[Imported]:
    """Appends all messages of a tar of one Maildir, as export_tar writes it. ValueError when it is damaged or holds
    something else."""
    keywords: Sequence[str] = ()
    only = None
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                *above, place, file_name = ("/" + member.name).split("/")
                file = archive.extractfile(member) if member.isreg() else None
                if file is None:
                    continue
                if file_name == dovecot.KEYWORDS:
                    keywords = dovecot.parse_keywords(file.read(PIECE).decode("utf-8", "surrogateescape"))
                elif place in {"cur", "new"}:
                    only = above if only is None else only
                    if above != only:
                        raise ValueError("there is more than one mailbox in this tar")
                    _append(store, name, file_name, keywords, int(member.mtime), file)
                    yield Imported(file_name)
    except tarfile.TarError as fault:
        raise ValueError(f"this tar is damaged: {fault}") from None
    if only is None:
        raise ValueError("there is no message of a Maildir in this tar")


def _append(store: Store, name: str, file_name: str, keywords: Sequence[str], date: int, file: IO[bytes]) -> None:
    """One message of a Maildir."""
    mask = filename.mask_of(filename.split(file_name)[1], len(keywords))
    appending = store.begin_append(name)
    appending.add(flag_names(mask, keywords), date)
    is_exact, is_after_cr = filename.is_exact(file_name), False
    while piece := file.read(PIECE):
        appending.write(piece if is_exact else with_crlf(piece, is_after_cr and piece.startswith(b"\n")))
        is_after_cr = piece.endswith(b"\r")
    appending.commit()


def _files(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []


def _header(source: IO[bytes]) -> tuple[bytes, list[str]]:
    """The header section without the fields that say flags, as it is sent, and these flags."""
    kept: list[bytes] = []
    flags: list[str] = []
    while (line := source.readline(LONGEST_LINE)) and sum(map(len, kept)) < LONGEST_LINE:
        field, _, value = line.partition(b":")
        if field.lower() in _LETTERS:
            flags += [flag for letter, flag in STATUS.items() if letter in value]
            continue
        if field.lower() in _KEYWORDS:
            flags += [word for word in value.decode("ascii", "replace").split() if is_keyword(word)]
            continue
        kept.append(line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if line.endswith(b"\n") else line)
        if line in {b"\n", b"\r\n"}:
            break
    return b"".join(kept), flags


def _date(line: bytes) -> int | None:
    words = line.decode("ascii", "replace").split(maxsplit=2)
    try:
        return timegm(time.strptime(words[2].strip(), "%a %b %d %H:%M:%S %Y"))
    except (ValueError, IndexError):
        return None
