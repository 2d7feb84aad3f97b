"""Records and segments as octets: packing, parsing, and finding the next one after damage. Pure.

Theory: a record says where it belongs (log, segment, offset, sequence), so that octets of a recycled segment's
earlier life, or a record that ended up in the wrong place, are never taken for one. Its head has a checksum of its
own: when only the body is damaged, the head still says where the next record begins. When the head is damaged, the next
record is found by its mark: eight random octets that each log draws for itself. No peer knows them, so no message
can hold something that is taken for a record.

Invariants: records follow each other without gaps, each at a multiple of 8; after the last one of a batch there are
at least 8 zero octets (or the end of the segment); a mark holds no zero octet.

Formats (little-endian) are written down in docs/SPOOL.md. Not here: files, and the meaning of an envelope.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from relay.spool import _record

VERSION: Final = 1
ALIGNMENT: Final = 8
PAGE: Final = 4096

HEAD_SIZE: Final = _record.HEAD_SIZE
_CRC: Final = struct.Struct("<I")
_SEGMENT: Final = struct.Struct("<8sHHIII8sQQQI")
SEGMENT_MAGIC: Final = b"RelaySeg"
FIRST: Final = _SEGMENT.size + _CRC.size
"""Offset of a segment's first record."""
_LARGE: Final = struct.Struct("<QII")
MARK_SIZE: Final = 8

_crc = google_crc32c.value
_extend = google_crc32c.extend


class Identity(NamedTuple):
    """What the heads in one segment must say."""

    mark: bytes
    log: int
    segment: int


class Head(NamedTuple):
    """A record's head whose checksum is right."""

    mark: bytes
    version: int
    large_size: int
    """Octets of the description of the large file, 0 when there is none."""
    log: int
    segment: int
    offset: int
    sequence: int
    batch_index: int
    """How many records precede it in its batch: all before the batch were synced when this one was written."""
    envelope_size: int
    content_size: int
    body_crc: int
    reserved: int

    @property
    def body_size(self) -> int:
        """Octets that follow the head, without the padding: what ``body_crc`` is of."""
        return self.envelope_size + self.large_size + self.content_size

    @property
    def size(self) -> int:
        """Octets the record takes, head and padding included."""
        return padded(HEAD_SIZE + self.body_size)


class SegmentHead(NamedTuple):
    """The first octets of a segment, written with its first batch."""

    log: int
    segment: int
    mark: bytes
    first_sequence: int
    previous_segment: int
    """The segment that was written before this one; 0 for none."""
    previous_end: int
    """Where the previous one ends, whatever its octets may say: what follows belongs to a batch whose sync failed."""
    created_at: int
    """Microseconds since the epoch."""


class LargeFile(NamedTuple):
    """The file that holds the rest of a record's content."""

    path: Path
    size: int
    crc: int


def new_mark() -> bytes:
    """A mark for a new log."""
    while True:
        mark = os.urandom(MARK_SIZE)
        if 0 not in mark:
            return mark


def padded(size: int) -> int:
    """``size`` rounded up to where the next record may begin."""
    return (size + ALIGNMENT - 1) & -ALIGNMENT


def pack_large(name: str, size: int, crc: int) -> bytes:
    """The description of a large file that goes between envelope and content."""
    return _LARGE.pack(size, crc, 0) + name.encode("ascii")


def large_size(octets: bytes) -> int:
    """The size of the file that pack_large has described."""
    size: int = _LARGE.unpack_from(octets)[0]
    return size


def unpack_large(octets: bytes, folder: Path) -> LargeFile:
    """The opposite of pack_large; ValueError when it is not one."""
    if len(octets) <= _LARGE.size:
        raise ValueError("description of the large file is too short")
    size, crc, _ = _LARGE.unpack_from(octets)
    name = octets[_LARGE.size :].decode("ascii")
    if "/" in name or name.startswith("."):
        raise ValueError("the large file has an impossible name")
    return LargeFile(folder / name, size, crc)


def body_crc(envelope: bytes, large: bytes, content: Sequence[bytes]) -> int:
    """crc32c (Castagnoli) of what follows the head."""
    crc: int = _crc(envelope)
    if large:
        crc = _extend(crc, large)
    for part in content:
        crc = _extend(crc, part)
    return crc


def pack_head(
    identity: Identity, offset: int, sequence: int, batch_index: int, sizes: tuple[int, int, int], crc: int
) -> bytes:
    """The head of a record; ``sizes`` are those of envelope, large file description and content."""
    envelope_size, large_size, content_size = sizes
    return _record.pack_head(
        identity.mark, VERSION, identity.log, identity.segment, offset, sequence, batch_index,
        envelope_size, large_size, content_size, crc,
    )  # fmt: skip


def unpack_head(octets: bytes, at: int, identity: Identity, offset: int) -> Head | None:
    """The head at ``octets[at:]``, which is ``offset`` in the segment; None when it is not one of this segment."""
    fields = _record.unpack_head(octets, at, identity.mark, VERSION, identity.log, identity.segment, offset)
    return None if fields is None else Head._make(fields)


def is_whole(body: bytes, head: Head) -> bool:
    """Whether ``body``, what was read behind the head, is complete and undamaged."""
    return len(body) == head.body_size and _crc(body) == head.body_crc


def pack_segment_head(head: SegmentHead) -> bytes:
    """The FIRST octets of a segment."""
    octets = _SEGMENT.pack(
        SEGMENT_MAGIC, VERSION, 0, head.log, head.segment, head.previous_segment, head.mark, head.first_sequence,
        head.previous_end, head.created_at, 0,
    )  # fmt: skip
    return octets + _CRC.pack(_crc(octets))


def unpack_segment_head(octets: bytes, log: int, segment: int) -> SegmentHead | None:
    """The head of segment ``segment``; None when it is damaged, or not written in this life of the file."""
    if len(octets) < FIRST or _CRC.unpack_from(octets, _SEGMENT.size)[0] != _crc(octets[: _SEGMENT.size]):
        return None
    magic, version, _, has_log, has_segment, previous, mark, first, end, created, _ = _SEGMENT.unpack_from(octets)
    if (magic, version, has_log, has_segment) != (SEGMENT_MAGIC, VERSION, log, segment):
        return None
    return SegmentHead(log, segment, mark, first, previous, end, created)


def find_head(octets: bytes, at: int, identity: Identity, base: int) -> int:
    """Where in ``octets`` (which begin at ``base`` in the segment) the next good head at or after ``at`` is; or -1."""
    while (at := octets.find(identity.mark, at)) >= 0:
        if (base + at) % ALIGNMENT == 0 and unpack_head(octets, at, identity, base + at) is not None:
            return at
        at += 1
    return -1
