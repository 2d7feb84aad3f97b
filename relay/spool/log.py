"""One log, written: batches of records become synced octets. Blocking and without threads; writer.py adds those.

Theory: a batch is one pwritev with RWF_DSYNC. It is followed by zeroes up to the end of the page: the reader finds a
clean end there, and no page is read from the disk before it is overwritten. When the sync fails nobody can
say what is on the disk, and asking again would lie (the kernel marks the pages clean): the segment is cut where the
batch began, which the head of the next segment repeats, and nothing is ever written to it again.

Invariants: sequence numbers grow by one and are never reused, not even those of a failed batch; all records
before a batch are synced when the batch is written.

It is on the way of every message, so it is compiled (log.pxd); it says the same without. Not here: who waits for the
result.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.spool._record import pack_run
from relay.spool.errors import SpoolError
from relay.spool.files import IOV_MAX, OS, Files
from relay.spool.folder import make_log
from relay.spool.record import (
    FIRST,
    PAGE,
    VERSION,
    Identity,
    SegmentHead,
    large_size,
    pack_segment_head,
)
from relay.spool.segments import Segment, SegmentPool

_END_MARK: Final = 8
_PAGE_OF_ZEROES: Final = bytes(2 * PAGE)


Item = tuple[bytes, Sequence[bytes], bytes, int, Any]
"""A record to be written: envelope, content, packed description of its large file (or empty), record_size, waiter.
A plain tuple, since one is made per message on the loop's thread; the waiter is not looked at here."""


class Commit(NamedTuple):
    """What became of the first ``taken`` items."""

    taken: int
    segment: int
    start: int
    end: int
    closed: tuple[tuple[int, int], ...]
    """(segment, end) of segments that ended with or before this commit."""
    error: SpoolError | None


class Writing(NamedTuple):
    """What is to be written next, with one synced write."""

    taken: int
    """How many items it holds."""
    segment: Segment
    buffers: Sequence[bytes | memoryview]
    offset: int
    size: int
    start: int
    """Where the records begin and end."""
    end: int


class Log:
    """A new log, made and locked (SpoolError when that fails), with its first segment prepared or else failing."""

    def __init__(self, spool_dir: Path, segment_size: int, spares: int, files: Files = OS) -> None:
        self._files = files
        try:
            self.number, self._mark, self._lock_fd = make_log(spool_dir, files)
        except OSError as fault:
            raise SpoolError.of(f"{spool_dir}: a new log cannot be made", fault) from fault
        self.pool = SegmentPool(files, spool_dir, self.number, segment_size, spares)
        self.largest_record = (segment_size & -PAGE) - FIRST
        self._segment: Segment | None = None
        self._identity = Identity(self._mark, self.number, 0)
        self._end = 0
        self._sequence = 1
        self._previous = (0, 0)
        self._failures = 0
        self._is_full = False
        self._large_octets = 0
        self._closed: list[tuple[int, int]] = []
        try:
            self.pool.prepare()
        except SpoolError as fault:  # a full disk, most likely: a worker that says 452 is better than none
            self._failures = 2
            self._is_full = fault.is_full

    @property
    def is_failing(self) -> bool:
        """True after a failure in a fresh segment, or when there was none to be had; ends with probe()."""
        return self._failures > 1

    def begin(self, items: Sequence[Item], *, may_prepare: bool = False) -> Writing | Commit | None:
        """Prepares the writing of as many of ``items`` (at least one) as fit into one segment; ``end`` must follow.

        A Commit when that failed already; None when no segment is ready and none ``may`` be ``prepare``d here.
        """
        count, size = self._fitting(items)
        if count == 0:
            fault = self._roll(items[0][3], may_prepare=may_prepare)
            if fault is not None:
                return Commit(len(items), 0, 0, 0, self._take_closed(), fault)
            if self._segment is None:
                return None
            count, size = self._fitting(items)
        segment = self._segment
        assert segment is not None
        start = self._end
        parts = self._head_of(segment) if start == FIRST else []
        offset = 0 if parts else start
        taken = items if count == len(items) else items[:count]
        identity = self._identity
        parts += pack_run(taken, identity.mark, VERSION, identity.log, identity.segment, start, self._sequence)
        for item in taken:
            if item[2]:
                self._large_octets += large_size(item[2])
        self._sequence += count
        end = start + size
        if rest := _zeroes_after(end, segment.size):
            parts.append(memoryview(_PAGE_OF_ZEROES)[:rest])
        buffers = parts if len(parts) <= IOV_MAX else [b"".join(parts)]
        return Writing(count, segment, buffers, offset, end + rest - offset, start, end)

    def end(self, writing: Writing, done: int) -> Commit:
        """``done``: octets of ``writing`` that are written and synced, or minus the error number. Never raises."""
        count, segment, start, end = writing.taken, writing.segment, writing.start, writing.end
        fault = OSError(-done, os.strerror(-done)) if done < 0 else self._write_rest(writing, done)
        if fault is not None:
            self._cut(segment, start)
            error = SpoolError.of(f"log {self.number} segment {segment.number}: sync failed", fault)
            return Commit(count, segment.number, start, start, self._take_closed(), error)
        self._end = end
        self._failures = 0
        return Commit(count, segment.number, start, end, self._take_closed(), None)

    def commit(self, items: Sequence[Item]) -> Commit:
        """Both at once, blocking."""
        writing = self.begin(items, may_prepare=True)
        if not isinstance(writing, Writing):
            assert writing is not None
            return writing
        try:
            done = self._files.write_synced(writing.segment.fd, writing.buffers, writing.offset)
        except OSError as fault:
            done = -(fault.errno or errno.EIO)
        return self.end(writing, done)

    def probe(self) -> bool:
        """After failures: tries to make a fresh segment; True when the log may be written to again."""
        try:
            self.pool.drop_all()
            self.pool.prepare()
        except SpoolError:
            return False
        self._failures = 0
        return True

    def close(self) -> None:
        """Removes prepared segments and gives the log up."""
        with contextlib.suppress(SpoolError):  # they hold nothing; whoever adopts the log removes them
            self.pool.drop_all()
        if self._segment is not None:
            self._files.close(self._segment.fd)
            self._segment = None
        self._files.close(self._lock_fd)

    def _fitting(self, items: Sequence[Item]) -> tuple[int, int]:
        if self._segment is None or self._large_octets >= self._segment.size:
            # Large files go when their segment goes: many of them end it early, so that they do not wait for it.
            return 0, 0
        room = self._segment.size - self._end
        total = 0
        for count, item in enumerate(items):
            size = item[3]
            if total + size > room:
                return count, total
            total += size
        return len(items), total

    def _roll(self, size: int, *, may_prepare: bool) -> SpoolError | None:
        """Ends the current segment and takes one with room for ``size`` octets, if there is one."""
        if size > self.largest_record:
            return SpoolError(f"a record of {size} octets does not fit into a segment")
        if self._segment is not None:
            self._closed.append((self._segment.number, self._end))
            self._leave(self._segment, self._end)
        try:
            while (fresh := self.pool.take(may_prepare=may_prepare and not self.is_failing)) is not None:
                if FIRST + size <= fresh.size:
                    break
                self._closed.append((fresh.number, FIRST))
                self._files.close(fresh.fd)
        except SpoolError as fault:
            self.failed_to_prepare(fault)
            return fault
        if fresh is None:
            if may_prepare or self.is_failing:
                return SpoolError("the spool is not accepting: no segment can be written to", is_full=self._is_full)
            return None
        self._segment = fresh
        self._identity = Identity(self._mark, self.number, fresh.number)
        self._end = FIRST
        self._large_octets = 0
        return None

    def failed_to_prepare(self, fault: SpoolError) -> None:
        """No segment can be made, and none is ready: nothing is taken until probe() succeeds."""
        self._failures = 2
        self._is_full = fault.is_full

    def _take_closed(self) -> tuple[tuple[int, int], ...]:
        closed = tuple(self._closed)
        self._closed.clear()
        return closed

    def _leave(self, segment: Segment, end: int) -> None:
        self._files.close(segment.fd)
        self._previous = (segment.number, end)
        self._segment = None

    def _head_of(self, segment: Segment) -> list[bytes | memoryview]:
        now = time.time_ns() // 1000
        head = SegmentHead(self.number, segment.number, self._mark, self._sequence, *self._previous, now)
        return [pack_segment_head(head)]

    def _write_rest(self, writing: Writing, done: int) -> OSError | None:
        """What a short write has left; why it cannot be written, or None."""
        if done == writing.size:
            return None
        octets = memoryview(b"".join(writing.buffers))
        try:
            while done < writing.size:
                more = self._files.write_synced(writing.segment.fd, [octets[done:]], writing.offset + done)
                if more <= 0:
                    return OSError(errno.EIO, "the disk took nothing")
                done += more
        except OSError as fault:
            return fault
        return None

    def _cut(self, segment: Segment, end: int) -> None:
        """Closes a segment at the last octet that is known to be synced."""
        self._failures += 1
        # Should this fail too: the head of the next segment says the same, and the reader believes it.
        with contextlib.suppress(OSError):
            self._files.truncate(segment.fd, end)
            self._files.sync(segment.fd)
        self._leave(segment, end)
        if self.is_failing:
            with contextlib.suppress(SpoolError):  # as above
                self.pool.drop_all()
        self._closed.append((segment.number, end))


def _zeroes_after(end: int, segment_size: int) -> int:
    """How many zeroes to write after the last record: to the end of the page, and at least an end mark."""
    rest = -end % PAGE
    if rest < _END_MARK:
        rest += PAGE
    return min(rest, segment_size - end)
