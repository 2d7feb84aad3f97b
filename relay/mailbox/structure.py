"""The structure of a message: the compiled scanner's view of the file in offsets of the wire, and its form in the
index.

A file holds LF lines, a client counts CRLF octets. Each offset is moved by the bare line feeds before it, counted once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import msgpack

from relay import _mime
from relay.mailbox import _reading, filename
from relay.mailbox.files import below
from relay.mailbox.vocabulary import Part

LARGEST: Final = 1 << 27
"""Octets; a larger file is one part that nobody looks into."""


class Scanned(NamedTuple):
    """What is kept of a message."""

    parts: list[Part]
    places: list[tuple[int, int]]
    """(Offset on the wire, offset in the file) of where parts and bodies begin."""


def scan(path: Path) -> Scanned:
    """Reads the file and takes it apart. FileNotFoundError; OSError, also for what is no regular file."""
    with os.fdopen(_reading.open_below(*below(path), os.O_RDONLY), "rb") as file:
        octets = file.read(LARGEST + 1)
    if len(octets) > LARGEST:
        octets = b"Content-Type: application/octet-stream\n\n"
    found = list(_mime.scan(octets))
    offsets = {at for part in found for at in (part.header.start, part.body.start, part.body.stop)}
    sent = {at: at for at in offsets} if filename.is_exact(path.name) else _sent_offsets(octets, offsets)
    parts = [_part(octets, part, sent) for part in found]
    starts = {at for part in found for at in (part.header.start, part.body.start)}
    return Scanned(parts, sorted((sent[at], at) for at in starts))


def pack(scanned: Scanned) -> bytes:
    """The form in the index."""
    packed: bytes = msgpack.packb((scanned.parts, scanned.places), unicode_errors="surrogateescape")
    return packed


def unpack(octets: bytes) -> Scanned | None:
    """None for what is not that form."""
    try:
        parts, places = msgpack.unpackb(octets, unicode_errors="surrogateescape")
        return Scanned([Part(*part) for part in parts], [(at, where) for at, where in places])
    except (ValueError, TypeError, msgpack.UnpackException):
        return None


def _part(octets: bytes, part: _mime.Part, sent: dict[int, int]) -> Part:
    return Part(
        part.kind,
        part.content_type(octets),
        part.encoding,
        sent[part.header.start],
        sent[part.body.start],
        sent[part.body.stop],
        part.lines,
        part.parent,
        part.children,
        part.after,
        {name: octets[at].replace(b"\r\n", b"\n") for name, at in part.fields.items()},
    )


def _sent_offsets(octets: bytes, offsets: set[int]) -> dict[int, int]:
    """Each offset in the file with its offset on the wire."""
    sent: dict[int, int] = {}
    at = bare = 0
    for offset in sorted(offsets):
        bare += octets.count(b"\n", at, offset) - octets.count(b"\r\n", max(0, at - 1), offset)
        at = offset
        sent[offset] = offset + bare
    return sent
