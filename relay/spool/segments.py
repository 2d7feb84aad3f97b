"""Segment files: filled with zeroes ahead of time, used once in order, recycled under a new number.

Theory: a sync of octets that overwrite written extents needs no file system journal (0.12 ms here); one that extends
a file, or fills extents which are only allocated, does (0.25 ms). So a segment is filled with zeroes before it is used,
as long as there is time for that: one is prepared while another is written to, unless a finished one comes back soon.
When somebody waits for a segment, it is only allocated. That happens when large contents come in at the disk's speed;
the dearer syncs of 64 MiB of them are less than writing all octets twice. All of its preparation is done before the
first record goes in, its final name included: taking the next segment is nothing but popping a queue.

A recycled file keeps its old octets. They say another segment number, so no reader takes them for records. More of them
are kept than are made ahead: they cost nothing but room, and their pages are still in memory.

Invariants: numbers grow and are never reused in a log; a prepared segment is published (named, synced) and has
been written to successfully once. Not here: threads (writer.py), what is in a segment (log.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from relay.spool.errors import SpoolError
from relay.spool.files import CREATE, WRITE, Files, write_all
from relay.spool.folder import log_folder, segment_name
from relay.spool.record import PAGE

FIRST_SIZE: Final = 4 << 20
"""The first segment of a log is small, so that a new worker is ready in some milliseconds."""
_FILL: Final = 1 << 20
"""Filled and synced at once; larger pieces make the commits beside it wait (4 MiB: p99 4.4 ms instead of 0.9 ms)."""
_PAUSE_SECONDS: Final = 0.005
"""Between two pieces, when nobody waits for the segment."""
_ZEROES: Final = bytes(_FILL)
_AHEAD: Final = 2
"""Segments that are made before anybody wants them; beyond these only finished ones are kept."""


class Segment(NamedTuple):
    """A prepared segment; whoever takes it owns the descriptor."""

    number: int
    fd: int
    size: int


class SegmentPool:
    """The segments of one log that are ready to be used. Safe to call from the writing and the preparing thread."""

    def __init__(self, files: Files, spool_dir: Path, log: int, segment_size: int, spares: int) -> None:
        self._files = files
        self._folder = log_folder(spool_dir, log)
        self._size = segment_size & -PAGE
        self._spares = max(1, spares)
        self._ahead = min(_AHEAD, self._spares)
        self._next = 1
        self._ready: deque[Segment] = deque()
        self._old: deque[int] = deque()
        self._lock = threading.Lock()
        self._pause = 0.0
        self._is_urgent = True
        self.created = 0
        self.recycled = 0
        """Segments made new, and out of finished ones, so far; for metrics."""

    @property
    def is_empty(self) -> bool:
        """Whether no segment is ready."""
        return not self._ready

    @property
    def spare(self) -> int:
        """How many prepared segments there are."""
        return len(self._ready)

    @property
    def wants_more(self) -> bool:
        """Whether there are fewer prepared segments than there should be."""
        return len(self._ready) < self._ahead

    def take(self, *, may_prepare: bool) -> Segment | None:
        """The next segment. When none is ready it is prepared now, if ``may_prepare``; SpoolError when that fails."""
        try:
            segment = self._ready.popleft()  # without the lock: whoever holds it may be filling a segment
        except IndexError:
            self._is_urgent = True
        else:
            self._is_urgent = not self._ready
            return segment
        if may_prepare:
            with self._lock:
                if not self._ready:
                    self._prepare()
                return self._ready.popleft()
        return None

    def prepare(self, *, gently: bool = False) -> None:
        """Makes one more segment ready; blocks for as long as it takes to fill it. SpoolError.

        ``gently``: with pauses that leave the disk to others, until somebody needs the segment.
        """
        with self._lock:
            self._is_urgent = not (gently and self._ready)
            self._pause = _PAUSE_SECONDS
            self._prepare()

    def give_back(self, segment: int, *, is_room_low: bool = False) -> None:
        """A segment in which everything is finished: kept under a new number, or removed. SpoolError.

        ``is_room_low``: the disk needs its octets more than the log needs a spare segment.
        """
        with self._lock:
            path = self._folder / segment_name(segment)
            if not is_room_low and len(self._ready) < self._spares and self._files.file_size(path) == self._size:
                self._old.append(segment)
                self._prepare()
            else:
                self._remove(path)

    def drop_all(self) -> None:
        """Closes and removes what is prepared: after a failed sync, or because the log ends."""
        with self._lock:
            self._drop(0)

    def drop_kept(self) -> None:
        """Removes what is kept beyond the segments that are made ahead: the disk needs its octets. SpoolError."""
        with self._lock:
            self._drop(self._ahead)

    def _drop(self, left: int) -> None:
        while len(self._ready) > left:
            segment = self._ready.pop()
            self._files.close(segment.fd)
            self._remove(self._folder / segment_name(segment.number))

    def _remove(self, path: Path) -> None:
        try:
            self._files.unlink(path)
            self._files.sync_folder(self._folder)
        except OSError as fault:
            raise SpoolError.of(f"{path}: cannot be removed", fault) from fault

    def _prepare(self) -> None:
        number = self._next
        self._next += 1
        path = self._folder / segment_name(number)
        try:
            if self._old:
                fd, size = self._recycled(path)
                self.recycled += 1
            else:
                fd, size = self._new(path, number)
                self.created += 1
        except OSError as fault:
            self._forget(path)
            raise SpoolError.of(f"{path}: a new segment cannot be made", fault) from fault
        self._ready.append(Segment(number, fd, size))

    def _forget(self, path: Path) -> None:
        with contextlib.suppress(OSError):  # an unused file may stay behind; whoever adopts the log removes it
            self._files.unlink(path)

    def _recycled(self, path: Path) -> tuple[int, int]:
        self._files.rename(self._folder / segment_name(self._old.popleft()), path)
        self._files.sync_folder(self._folder)  # first: under its old name its octets must stay as they are
        fd = self._files.open(path, WRITE)
        return fd, self._finish(fd, self._size)

    def _new(self, path: Path, number: int) -> tuple[int, int]:
        fd = self._files.open(path, CREATE)
        size = min(self._size, FIRST_SIZE) if number == 1 else self._size
        try:
            self._fill(fd, size, may_allocate=number > 1)
        except OSError:
            self._files.close(fd)
            raise
        return fd, self._finish(fd, size)

    def _fill(self, fd: int, size: int, *, may_allocate: bool) -> None:
        for offset in range(0, size, _FILL):
            if self._is_urgent and may_allocate:
                self._files.allocate(fd, size)
                self._files.sync(fd)
                return
            write_all(self._files, fd, [memoryview(_ZEROES)[: size - offset]], offset)
            self._files.sync(fd)
            if not self._is_urgent:
                time.sleep(self._pause)

    def _finish(self, fd: int, size: int) -> int:
        """The first page is zeroed (the old head with it), which also shows that the disk takes synced writes."""
        try:
            self._files.write_synced(fd, [memoryview(_ZEROES)[:PAGE]], 0)
            self._files.sync_folder(self._folder)
        except OSError:
            self._files.close(fd)
            raise
        return size
