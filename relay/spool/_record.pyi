"""Types of the compiled module; see _record.pyx."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

HEAD_SIZE: Final[int]

_Made = TypeVar("_Made")

def pack_head(
    mark: bytes,
    version: int,
    log: int,
    segment: int,
    offset: int,
    sequence: int,
    batch_index: int,
    envelope_size: int,
    large_size: int,
    content_size: int,
    body_crc: int,
) -> bytes:
    """The octets of a record's head, checksum included."""

def unpack_head(
    octets: bytes, at: int, mark: bytes, version: int, log: int, segment: int, offset: int
) -> tuple[Any, ...] | None:
    """The fields of the head at ``octets[at:]``, in their order; None when it is not a good head of this place."""

def record_size(envelope: bytes, large: bytes, content: Sequence[bytes]) -> int:
    """Octets that the record takes in a segment."""

def pack_run(
    items: Sequence[tuple[bytes, Sequence[bytes], bytes, int, Any]],
    mark: bytes,
    version: int,
    log: int,
    segment: int,
    offset: int,
    sequence: int,
) -> list[bytes]:
    """The octets of ``items`` as records one after the other, in pieces for one writev."""

def read_run(
    kind: type[_Made],
    octets: bytes,
    base: int,
    end: int,
    mark: bytes,
    version: int,
    log: int,
    segment: int,
    keep: int,
    most: int,
) -> tuple[list[_Made], int, int, int, int]:
    """The ordinary good records from the beginning of ``octets``; where they end; the next and synced sequence; how
    many are given without their content."""
