"""The uid log of a mailbox: what cannot be rebuilt from its files, as records. Pure: octets in, records out.

Theory: everything that IMAP promises about a mailbox beyond its messages (UIDVALIDITY, UIDs, MODSEQs, keywords, which
UIDs were expunged, who was told of what) is a fold over an append-only list of records (relay/mailbox/columns.py). A
transaction is one write of some records at the end. docs/MAILBOX.md has the format.

Invariants: a torn tail is recognised and holds nothing that anybody was told (additions are synced first); damage in
the middle costs the records that it hit and nothing after them; every ``Looked`` repeats the highest numbers, so that
even then no UID and no MODSEQ is given twice.

Not here: the file and its lock (relay/mailbox/logfile.py).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import google_crc32c

MAGIC: Final = b"RelayUID"
VERSION: Final = 1
FRAME: Final = struct.Struct("<IIB")
"""Length of the body, crc32c of kind and body, kind."""
MAX_BODY: Final = 1 << 26

_HEAD: Final = struct.Struct("<8sHIQQIQIQ")
_ADDED: Final = struct.Struct("<IQQqqH")
_FLAGGED: Final = struct.Struct("<IQ")
_NUMBER: Final = struct.Struct("<Q")
_LOOKED: Final = struct.Struct("<QQQIQI")
_UID: Final = struct.Struct("<I")
_BATCH: Final = 10_000


class Head(NamedTuple):
    """The first record, of a new log or of a compacted one."""

    uidvalidity: int
    mailbox_id: int
    generation: int
    """Random; says of which log an index is."""
    uidnext: int
    highestmodseq: int
    first_recent: int
    floor: int
    """Expunges up to this MODSEQ are forgotten."""


class Item(NamedTuple):
    """One message that was given a UID."""

    uid: int
    flags: int
    email_id: int
    internal_date: int
    save_date: int
    base: str


class Added(NamedTuple):
    """Messages in the order of their UIDs."""

    modseq: int
    items: Sequence[Item]


class Flagged(NamedTuple):
    """(UID, all its flags) of messages whose flags have changed."""

    modseq: int
    items: Sequence[tuple[int, int]]


class Expunged(NamedTuple):
    """UIDs that are gone."""

    modseq: int
    uids: Sequence[int]


class Claimed(NamedTuple):
    """UIDs whose files went from ``new`` to ``cur``."""

    uids: Sequence[int]


class Keyword(NamedTuple):
    """Keyword number ``number`` of the mailbox."""

    number: int
    name: str


class Uidl(NamedTuple):
    """What POP3 says of a message of a taken-over Maildir."""

    uid: int
    text: str


class Looked(NamedTuple):
    """All of the folder up to these modification times (ns) is in the log; ends every transaction."""

    new: int
    cur: int
    dirty_since: int
    """Since when (ns) changes of our own made ``cur`` newer, under which a foreign one may hide; 0 for never."""
    uidnext: int
    highestmodseq: int
    first_recent: int


Record = Head | Added | Flagged | Expunged | Claimed | Keyword | Uidl | Looked


class Parsed(NamedTuple):
    """What a stretch of a log holds."""

    records: list[Record]
    end: int
    """How many octets of it are whole records: a torn tail is not."""
    last: bytes
    """The frame of the last whole record, empty when there is none."""
    damaged: int
    """Octets in the middle that are no records."""


def encode(record: Record) -> bytes:
    """The record's octets, frame included; large ones become several records."""
    match record:
        case Head():
            return _framed(b"H", _HEAD.pack(MAGIC, VERSION, *record))
        case Added(modseq, items):
            return b"".join(_encode_added(modseq, items[at : at + _BATCH]) for at in range(0, len(items), _BATCH))
        case Flagged(modseq, pairs):
            return _framed(b"F", _NUMBER.pack(modseq) + b"".join(_FLAGGED.pack(*pair) for pair in pairs))
        case Expunged(modseq, uids):
            return _framed(b"X", _NUMBER.pack(modseq) + struct.pack(f"<{len(uids)}I", *uids))
        case Claimed(uids):
            return _framed(b"C", struct.pack(f"<{len(uids)}I", *uids))
        case Keyword(number, name):
            return _framed(b"K", bytes([number]) + name.encode())
        case Uidl(uid, text):
            return _framed(b"P", _UID.pack(uid) + text.encode("utf-8", "surrogateescape"))
        case Looked():
            return _framed(b"L", _LOOKED.pack(*record))


def parse(octets: bytes) -> Parsed:
    """The records of ``octets``, which begin where a record begins. Nothing is raised for damage."""
    records: list[Record] = []
    at = end = damaged = 0
    last = b""
    while at < len(octets):
        stop = _whole(octets, at)
        record = _decode(octets[at + 8 : at + 9], octets[at + FRAME.size : stop]) if stop else None
        if record is None:
            following = _next_record(octets, at + 1)
            if following < 0:
                break
            damaged += following - at
            at = following
            continue
        last = octets[at : at + FRAME.size]
        records.append(record)
        at = end = stop
    return Parsed(records, end, last, damaged)


def read_head(octets: bytes) -> Head | None:
    """The head at the beginning of a log; None when there is none that we understand."""
    stop = _whole(octets, 0)
    record = _decode(octets[8:9], octets[FRAME.size : stop]) if stop else None
    return record if isinstance(record, Head) else None


HEAD_SIZE: Final = FRAME.size + _HEAD.size


def _framed(kind: bytes, body: bytes) -> bytes:
    return FRAME.pack(len(body), google_crc32c.value(kind + body), kind[0]) + body


def _encode_added(modseq: int, items: Sequence[Item]) -> bytes:
    pieces = [_NUMBER.pack(modseq)]
    for item in items:
        name = os.fsencode(item.base)
        pieces += (_ADDED.pack(*item[:5], len(name)), name)
    return _framed(b"A", b"".join(pieces))


def _whole(octets: bytes, at: int) -> int:
    """Where the record at ``at`` ends; 0 when there is no whole one."""
    if at + FRAME.size > len(octets):
        return 0
    length, crc, _ = FRAME.unpack_from(octets, at)
    stop = at + FRAME.size + int(length)
    if length > MAX_BODY or stop > len(octets):
        return 0
    return stop if google_crc32c.value(octets[at + 8 : stop]) == crc else 0


def _next_record(octets: bytes, at: int) -> int:
    """Where the next whole record begins; -1 when there is none: what is left is a torn tail."""
    kinds = b"AFXCKPL"
    for start in range(at, len(octets) - FRAME.size + 1):
        if octets[start + 8] in kinds and _whole(octets, start):
            return start
    return -1


def _decode(kind: bytes, body: bytes) -> Record | None:
    try:
        return _DECODERS[kind](body)
    except (KeyError, struct.error, ValueError, IndexError):
        return None


def _decode_head(body: bytes) -> Head:
    magic, version, *fields = _HEAD.unpack(body)
    if magic != MAGIC or version != VERSION:
        raise ValueError("another format")
    return Head(*fields)


def _decode_added(body: bytes) -> Added:
    (modseq,) = _NUMBER.unpack_from(body)
    items, at, size = [], _NUMBER.size, _ADDED.size
    while at < len(body):
        uid, flags, email_id, internal_date, save_date, length = _ADDED.unpack_from(body, at)
        at += size + length
        items.append(Item(uid, flags, email_id, internal_date, save_date, os.fsdecode(body[at - length : at])))
    return Added(modseq, items)


def _decode_flagged(body: bytes) -> Flagged:
    (modseq,) = _NUMBER.unpack_from(body)
    return Flagged(modseq, list(_FLAGGED.iter_unpack(body[_NUMBER.size :])))


def _decode_expunged(body: bytes) -> Expunged:
    (modseq,) = _NUMBER.unpack_from(body)
    return Expunged(modseq, _uids(body[_NUMBER.size :]))


def _uids(body: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(body) // 4}I", body)


_DECODERS: Final[dict[bytes, Callable[[bytes], Record]]] = {
    b"H": _decode_head,
    b"A": _decode_added,
    b"F": _decode_flagged,
    b"X": _decode_expunged,
    b"C": lambda body: Claimed(_uids(body)),
    b"K": lambda body: Keyword(body[0], body[1:].decode()),
    b"P": lambda body: Uidl(_UID.unpack_from(body)[0], body[4:].decode("utf-8", "surrogateescape")),
    b"L": lambda body: Looked(*_LOOKED.unpack(body)),
}


def encode_all(records: Iterable[Record]) -> bytes:
    """The octets of one transaction."""
    return b"".join(map(encode, records))
