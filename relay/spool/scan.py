"""One segment, read: its records in order, and what is damaged between them.

Theory: within what is known to be synced, records follow each other without gaps, so whatever is not a good record is
damage. At the end of a dead log that knowledge is missing, and the octets must tell: zeroes mean a clean end, anything
else a batch that was torn by the crash, unless a later record shows that it had been synced. In both cases reading
goes on at the next good head.

Each record says how many stand before it in its batch; all before its batch were synced when it was written. That
tells damage (an acknowledged message is lost) from the leftovers of a torn batch (nobody was answered 250).

Not here: which segments there are, and where damaged octets are kept (tail.py, corrupt.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mail.envelope import Envelope, unpack
from relay.spool._record import read_run
from relay.spool.files import READ, Files
from relay.spool.record import (
    FIRST,
    HEAD_SIZE,
    VERSION,
    Head,
    Identity,
    LargeFile,
    SegmentHead,
    find_head,
    is_whole,
    unpack_head,
    unpack_large,
    unpack_segment_head,
)

WINDOW: Final = 1 << 20
_STRIDE: Final = 1 << 18
"""What is read at once when large contents are passed over."""
_PASSED: Final = 64 << 10
"""Contents of more octets are not read by a tail that knows that they are synced."""
_ALL: Final = 1 << 32
"""More octets than a content in a segment can have."""
_TORN_KEPT: Final = 1 << 16
"""Octets kept of a torn batch whose length cannot be read."""
_KEPT: Final = 16 << 10
"""Contents up to so many octets are handed over with the records."""


class Record(NamedTuple):
    """One record as it was found, without its content."""

    log: int
    segment: int
    offset: int
    sequence: int
    envelope: Envelope
    content_offset: int
    content_size: int
    """Octets of content in the segment; those of ``large`` come after them."""
    large: LargeFile | None
    content: bytes | None = None
    """The content in the segment, when it is small and the record was read on the way past."""


class Gap(NamedTuple):
    """Octets [start, end) that should be records and are not."""

    start: int
    end: int
    reason: str
    sequence: int
    """Of the first record that is missing here."""
    queue_id: str
    """Empty when it cannot be read."""


class RecordError(Exception):
    """A record with a good head whose body is damaged."""

    def __init__(self, reason: str, queue_id: str) -> None:
        super().__init__(reason)
        self.queue_id = queue_id
        """Empty when it cannot be read."""


def parse_record(body: bytes, head: Head, large_folder: Path, *, is_checked: bool = True) -> Record:
    """The record with this good head and the body that follows it; RecordError.

    Not ``is_checked``: ``body`` may end with the envelope and the description of the large file, and its crc is left to
    whoever reads the content.
    """
    is_good = not is_checked or is_whole(body, head)
    try:
        envelope = unpack(body[: head.envelope_size])
        large = None
        if head.large_size and is_good:
            large = unpack_large(body[head.envelope_size :][: head.large_size], large_folder)
    except ValueError as fault:
        raise RecordError(str(fault) if is_good else "its body does not match its crc", "") from None
    if not is_good:
        raise RecordError("its body does not match its crc", str(envelope.queue_id))
    content_offset = head.offset + HEAD_SIZE + head.envelope_size + head.large_size
    return Record(
        head.log, head.segment, head.offset, head.sequence, envelope, content_offset, head.content_size, large
    )


class Segment:
    """One open segment file. OSError from any method."""

    def __init__(self, files: Files, folder: Path, path: Path, identity: Identity) -> None:
        self._files = files
        self._large_folder = folder / "large"
        self._path = path
        self._identity = identity
        self._fd = files.open(path, READ)
        self.records = 0
        self.bare = 0
        """How many of them were given without their content."""
        self.next_sequence = 0
        """0 while it is not known."""
        self.synced_sequence = 0
        """All records before this one are known to have been synced."""
        self.gaps: list[Gap] = []

    def close(self) -> None:
        """Closes the file."""
        self._files.close(self._fd)

    def size(self) -> int:
        """Octets in the file."""
        return self._files.size(self._fd)

    def is_current(self) -> bool:
        """Whether the file still has its name: False once it was recycled."""
        return self._files.is_at(self._fd, self._path)

    def octets(self, start: int, end: int) -> bytes:
        """What is in [start, end)."""
        return self._files.read(self._fd, end - start, start)

    def head(self) -> SegmentHead | None:
        """The segment's head; None when it is damaged or the segment was not used yet."""
        head = unpack_segment_head(self.octets(0, FIRST), self._identity.log, self._identity.segment)
        if head is not None and self.next_sequence == 0:
            self.next_sequence = head.first_sequence
        return head

    def read(self, start: int, end: int, *, is_synced: bool, passes_over: bool = False) -> Iterator[list[Record]]:
        """The records that begin in [start, end), in lists of about a MiB of file each; ``gaps`` grows on the way.

        ``is_synced``: every octet before ``end`` is known to have been synced; otherwise the records end somewhere
        before ``end`` and this finds out where. ``passes_over``: large contents are not read, and so not checked.
        """
        stride = _STRIDE if passes_over else WINDOW
        size = self.size()
        if end > size:
            if is_synced:
                self._gap(size, end, "the file is too short")
            end = size
        at = start
        while at < end:
            octets = self.octets(at, min(at + stride, end))
            records, at, is_stuck = self._window(octets, at, end, _PASSED if passes_over else _ALL)
            if records:
                yield records
            if is_stuck and (at := self._skip(at, end, is_synced)) < 0:
                return

    def _window(self, octets: bytes, base: int, end: int, most: int) -> tuple[list[Record], int, bool]:
        """The records in ``octets``; where to go on; whether there is no good record at that place.

        Contents of more than ``most`` octets are passed over.
        """
        mark, log, segment = self._identity
        records, at, after, synced, bare = read_run(Record, octets, base, end, mark, VERSION, log, segment, _KEPT, most)
        self.bare += bare
        if records:
            self.next_sequence = after
            self.synced_sequence = max(self.synced_sequence, synced)
            self.records += len(records)
        while at < len(octets):
            head = unpack_head(octets, at, self._identity, base + at)
            if head is None:
                return records, base + at, at + HEAD_SIZE <= len(octets) or base + len(octets) >= end
            size = head.size
            if base + at + size > end:
                return records, base + at, True
            is_checked = head.content_size <= most
            needed = size if is_checked else HEAD_SIZE + head.envelope_size + head.large_size
            if at + needed > len(octets):
                if at:
                    return records, base + at, False
                octets = self.octets(base, base + needed)
                if len(octets) < needed:
                    return records, base, True
            if (record := self._record(octets, at, head, is_checked=is_checked)) is not None:
                records.append(record)
            at += size
        return records, base + at, False

    def _record(self, octets: bytes, at: int, head: Head, *, is_checked: bool) -> Record | None:
        self.next_sequence = head.sequence + 1
        self.synced_sequence = max(self.synced_sequence, head.sequence - head.batch_index)
        try:
            body = octets[at + HEAD_SIZE : at + HEAD_SIZE + head.body_size]
            record = parse_record(body, head, self._large_folder, is_checked=is_checked)
        except RecordError as fault:
            end = head.offset + head.size
            self.gaps.append(Gap(head.offset, end, str(fault), head.sequence, fault.queue_id))
            return None
        self.records += 1
        self.bare += 1
        return record

    def _skip(self, at: int, end: int, is_synced: bool) -> int:
        """From a place where no good record is to the next one; -1 when there is none."""
        found = self._find(at + 1, end)
        octets = self.octets(at, min(at + HEAD_SIZE, end))
        is_zero = not any(octets[:8])
        if found is None:
            if is_synced:
                self._gap(at, end, "octets that are not a record")
            elif not is_zero:
                self._gap(at, self._torn_end(octets, at, end), "a batch that was torn")
            return -1
        self._gap(at, found, "zeroes where a record should be" if is_zero else "a record's head is damaged")
        return found

    def _gap(self, start: int, end: int, reason: str) -> None:
        self.gaps.append(Gap(start, end, reason, self.next_sequence, ""))

    def _torn_end(self, octets: bytes, at: int, end: int) -> int:
        head = unpack_head(octets, 0, self._identity, at)
        return min(end, at + (head.size if head else _TORN_KEPT))

    def _find(self, at: int, end: int) -> int | None:
        """Where the next good head is."""
        while at < end:
            octets = self.octets(at, min(at + WINDOW + HEAD_SIZE, end))
            if (place := find_head(octets, 0, self._identity, at)) >= 0:
                return at + place
            at += WINDOW
        return None
