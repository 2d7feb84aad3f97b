"""The reading side: tails that discover records, and the reader that loads one of them.  (Signatures.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from relay.mail.envelope import Envelope


class LargeFile(NamedTuple):
    """Where the rest of a record's content is."""

    path: Path
    size: int
    crc: int


class Record(NamedTuple):
    """One record as the tail found it, without its content."""

    log: int
    segment: int
    offset: int
    sequence: int
    envelope: Envelope
    content_offset: int
    content_size: int
    """Octets of content in the segment; those of ``large`` come after them."""
    large: LargeFile | None


class Message(NamedTuple):
    """One record loaded for delivery, checked against its crc."""

    record: Record
    content: memoryview
    """The part of the content that is in the segment; the file named by ``record.large`` follows."""


class Damage(NamedTuple):
    """Something on disk that is not as it was written."""

    log: int
    segment: int
    offset: int
    size: int
    reason: str
    queue_id: str
    """Empty when not even that can be read."""
    is_torn: bool
    """True for the leftovers of a batch that was never acknowledged (nothing was lost)."""
    saved: str
    """File name below corrupt/, or empty."""


class MissingRecord(Exception):
    """The record asked for is not there or damaged."""


class Tail:
    """Reads one log forward. A delivery worker has one for each log; blocking reads of mostly cached pages."""

    log: int
    position: tuple[int, int]
    """(segment, offset) up to which all has been read; a closed segment that was read whole counts as
    (segment + 1, 0). This is what LogWriter.finished and AdoptedLog.finished want as ``tail``."""

    def __init__(self, spool_dir: Path, log: int, on_damage: Callable[[Damage], None]) -> None:
        raise NotImplementedError

    def advance(self, segment: int, end: int, closed: bool) -> list[Record]:
        """Live log: the records between what has been read and ``end`` (from a notice or the snapshot)."""
        raise NotImplementedError

    def rest(self) -> Iterator[list[Record]]:
        """Dead log (the owner is gone): everything that is left, in lists of bounded size."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes files."""


class LogReader:
    """Loads records by reference from any log; keeps a few files open."""

    def __init__(self, spool_dir: Path) -> None:
        raise NotImplementedError

    def load(self, log: int, segment: int, offset: int) -> Message:
        """The record at the reference; MissingRecord when it is not there, damaged, or its large file is missing."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes files."""
