"""The index: a picture of a mailbox as one file of columns, to be thrown away at will.

Theory: reading a log of 100,000 messages takes most of a second; reading their columns takes milliseconds. The index
says of which log it is (generation) and up to which record (offset, frame of that record); the rest of the log is
applied to it. A missing, damaged, or foreign one, and one that is ahead of its log after a power loss, is ignored and
written again. Never synced: the checksum finds what a crash left half.
"""

from __future__ import annotations

import contextlib
from array import array
from pathlib import Path
from typing import Final

import google_crc32c
import msgpack

from relay.mailbox.columns import COLUMNS, Picture
from relay.mailbox.files import read_file, replacing
from relay.mailbox.logfile import LogFile
from relay.mailbox.troubles import SILENT, Troubles
from relay.mailbox.uidlog import FRAME, Head

NAME: Final = "relay-index"
_MAGIC: Final = b"RelayIDX\x01"
_CRC: Final = 4


def save(folder: Path, log: LogFile, generation: int, picture: Picture) -> None:
    """Writes ``picture``, which is that of ``log`` up to ``log.end``. A fault of the disk is nobody's trouble."""
    scalars = (
        generation,
        log.end,
        log.last,
        picture.uidvalidity,
        picture.mailbox_id,
        picture.uidnext,
        picture.highestmodseq,
        picture.first_recent,
        picture.floor,
        picture.keywords,
        list(picture.uidls.items()),
        picture.looked,
        picture.gone,
        len(picture.uids),
        len(picture.expunged_uids),
        len(picture.names),
        list(picture.in_new),
    )
    head = msgpack.packb(scalars, unicode_errors="surrogateescape")
    columns = [getattr(picture, name) for name in COLUMNS]
    pieces = [_MAGIC, len(head).to_bytes(4, "little"), head]
    pieces += [each.tobytes() for each in (*columns, picture.expunged_uids, picture.expunged_modseqs)]
    pieces.append(bytes(picture.names))
    octets = b"".join(pieces)
    with contextlib.suppress(OSError), replacing(folder / NAME) as file:
        file.write(octets)
        file.write(google_crc32c.value(octets).to_bytes(_CRC, "little"))


def load(folder: Path, log: LogFile, generation: int, troubles: Troubles = SILENT) -> Picture | None:
    """The picture of ``log``, whose ``end`` and ``last`` are set to where it holds; None when there is no good one."""
    try:
        octets = read_file(folder / NAME)
    except FileNotFoundError:
        return None
    except OSError as fault:
        troubles.report(folder / NAME, fault)
        return None
    try:
        picture, end, last = _parse(octets, generation)
    except (ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException):
        return None
    length = FRAME.size + int.from_bytes(last[:4], "little")
    if end > log.size() or not log.holds(last, end, length):
        return None
    log.end, log.last = end, last
    return picture


def _parse(octets: bytes, generation: int) -> tuple[Picture, int, bytes]:
    view = memoryview(octets)[:-_CRC]
    if not octets.startswith(_MAGIC) or google_crc32c.value(bytes(view)) != int.from_bytes(octets[-_CRC:], "little"):
        raise ValueError("damaged")
    at = len(_MAGIC) + 4
    head_size = int.from_bytes(octets[at - 4 : at], "little")
    scalars = msgpack.unpackb(view[at : at + head_size], unicode_errors="surrogateescape", use_list=False)
    if scalars[0] != generation:
        raise ValueError("of another log")
    picture = Picture(Head(scalars[3], scalars[4], generation, *scalars[5:9]))
    picture.keywords = list(scalars[9])
    picture.uidls = dict(scalars[10])
    picture.looked, picture.gone = scalars[11], scalars[12]
    count, expunged, names = scalars[13:16]
    picture.in_new = set(scalars[16])
    at += head_size
    for name in COLUMNS:
        at = _fill(getattr(picture, name), view, at, count)
    at = _fill(picture.expunged_uids, view, at, expunged)
    at = _fill(picture.expunged_modseqs, view, at, expunged)
    picture.names += view[at : at + names]
    return picture, scalars[1], scalars[2]


def _fill(column: array[int], view: memoryview, at: int, count: int) -> int:
    end = at + count * column.itemsize
    column.frombytes(view[at:end])
    return end
