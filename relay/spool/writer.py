"""The writing side of one log: what an smtp or delivery worker uses to make messages durable.

Theory: group commit without a timer. A thread outside of the interpreter (_syncer.pyx) writes and syncs a batch while
the next one gathers, which is handed over the moment the sync ends, before the waiters of the first are called. The
loop's thread only appends to a deque and answers the waiters of a whole batch in one callback: no future, coroutine or
lock per message. A second thread does what may take long: it fills segments with zeroes, recycles finished ones,
watches the room on the disk and, after failures, tries whether it writes again.

It is on the way of every message, so it is compiled (writer.pxd, log.pxd); it says the same without.

Invariant: every waiter is called exactly once, and with None only when its record is synced.
Not here: what is written (log.py), which segments are finished (reports.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from weakref import WeakSet

from relay.spool._record import record_size
from relay.spool.errors import SpoolError
from relay.spool.files import OS, Files
from relay.spool.folder import log_folder
from relay.spool.interfaces import SpoolSettings, Waiter
from relay.spool.large import LargeContent
from relay.spool.log import Commit, Item, Log, Writing
from relay.spool.reader import Message
from relay.spool.reports import ShardReports
from relay.spool.room import Room
from relay.spool.segments import SegmentPool

_BATCH: Final = 4 << 20
"""Octets after which a batch is closed: bounds how long one sync takes."""
_TOGETHER: Final = 0.005
"""Seconds within which on_committed is called once only while more is on the way."""
_TICK: Final = 1.0
_GRACE: Final = 0.5
"""How long a finished segment has to come back before a new one is made in its place."""
_LARGE_THREADS: Final = 2
_LARGE_WAIT: Final = 0.005


class _State:
    """What the loop's thread knows of a segment."""

    __slots__ = ("end", "is_closed", "large", "records", "told_end", "told_records")

    def __init__(self) -> None:
        self.end = 0
        self.is_closed = False
        self.records = 0
        self.large: list[str] = []
        self.told_end = 0
        self.told_records = 0
        """What on_committed knows."""


class LogWriter:
    """A new log of its own, made and locked on construction (blocks for some milliseconds); single writer.

    ``on_committed(segment, start, end, count, closed)`` is called on the loop's thread after the waiters of a synced
    batch, or of several that follow each other within milliseconds: the octets [start, end) of the segment hold
    ``count`` new records; after ``closed`` the segment never grows again (then ``count`` is 0). Segments come in order.
    ``on_sync(seconds, records, octets)`` is called there too, for histograms; ``on_event(level, event, fields)`` for
    operational events.
    """

    def __init__(
        self,
        spool_dir: Path,
        settings: SpoolSettings,
        loop: asyncio.AbstractEventLoop,
        on_committed: Callable[[int, int, int, int, bool], None],
        *,
        on_sync: Callable[[float, int, int], None] | None = None,
        on_event: Callable[[str, str, Mapping[str, object]], None] | None = None,
        files: Files = OS,
    ) -> None:
        self._room = Room(files, spool_dir, settings.min_free_bytes, settings.min_free_inodes)
        self._log = Log(spool_dir, settings.segment_size, settings.spare_segments, files)
        self.number = self._log.number
        self._large_folder = log_folder(spool_dir, self.number) / "large"
        self._files = files
        self._segment_size = settings.segment_size
        self._loop = loop
        self._on_committed = on_committed
        self._on_sync = on_sync
        self._on_event = on_event
        self._reports = ShardReports()
        self._segments: dict[int, _State] = {}
        self._links = 0
        self._executor: ThreadPoolExecutor | None = None
        self._large: WeakSet[LargeContent] = WeakSet()
        self._waiting: deque[Item] = deque()
        self._batch: list[Item] = []
        """What the present and the next writings are made of; longer than one when a segment ends."""
        self._writing: Writing | None = None
        self._told: deque[tuple[list[Item], Commit, float]] = deque()
        self._is_begun = False
        """Whether a batch is being written, or will be without another append()."""
        self._needs_segment = False
        self._is_patient = False
        """Whether a segment that is used up may come back before a new one is wanted."""
        self._drained = asyncio.Event()
        self._is_open = True
        self._is_accepting = not self._log.is_failing
        self._is_preparing_failed = False
        self._told_at = 0.0
        self._last_segment = 0
        self._syncer = files.syncer()
        loop.add_reader(self._syncer.fileno, self._synced)
        self._tasks: SimpleQueue[Callable[[], None] | bool] = SimpleQueue()
        self._tasks.put(True)
        self._tending = threading.Thread(target=self._tend_forever, name="spool-tend", daemon=True)
        if not self._is_accepting:
            loop.call_soon(self._event, "error", "spool.not_accepting")
        self._tending.start()

    # -- messages

    def append(
        self,
        envelope: bytes,
        content: bytes | Sequence[bytes],
        waiter: Waiter,
        large: LargeContent | None = None,
    ) -> None:
        """Queues a record; ``waiter.spooled(error)`` follows on the loop's thread. ``large`` must be committed.

        A record with a large file has both: its content is ``content`` (for example the Received field, which is
        known only at the end) followed by the octets of the file. The envelope should then carry the LARGE flag.
        """
        parts: Sequence[bytes] = (content,) if isinstance(content, bytes) else content
        described = b"" if large is None else large.describe()
        if not self._is_open:
            self._loop.call_soon(self._answer, [waiter], SpoolError("the spool is closed"))
            return
        self._waiting.append((envelope, parts, described, record_size(envelope, described, parts), waiter))
        if not self._is_begun:
            self._is_begun = True
            self._loop.call_soon(self._begin)  # once all that is read in this turn of the loop has come in

    def open_large(self, queue_id: str, on_drained: Callable[[], None] | None = None) -> LargeContent:
        """A content that goes to a file of its own while it arrives; see LargeContent."""
        self._tasks.put(True)  # a look at the room that is left
        return self._new_large(queue_id, on_drained)

    def link_large(self, message: Message, committed: Callable[[SpoolError | None], None]) -> LargeContent:
        """For copying forward: the large file of ``message`` under a second name, in this log (a hard link, published).

        ``committed`` is called as by LargeContent.commit; append with the result after that.
        """
        large = message.record.large
        if large is None:
            raise ValueError("the message has no large file")
        self._links += 1
        name = f"{message.record.envelope.queue_id}-{self._links}"
        copy = self._new_large(name)
        copy.adopt(large.path, large.size, large.crc, committed)
        return copy

    # -- state

    @property
    def is_accepting(self) -> bool:
        """False after a failed sync that no fresh segment could replace, until a probe succeeds again."""
        return self._is_accepting

    def has_room(self) -> bool:
        """Whether new mail may be taken in: the disk is not low, and the log is accepting. No system call."""
        return self._is_accepting and self._room.is_enough

    @property
    def free_bytes(self) -> int:
        """Octets free on the file system, as of at most some seconds ago."""
        return self._room.free_bytes

    @property
    def free_inodes(self) -> int:
        """Inodes free on the file system; -1 where it does not count them."""
        return self._room.free_inodes

    @property
    def waiting(self) -> int:
        """Records that are not being written yet."""
        return len(self._waiting) + len(self._batch)

    @property
    def pool(self) -> SegmentPool:
        """The segment files that are not in use: only to look at, for metrics."""
        return self._log.pool

    def snapshot(self) -> list[tuple[int, int, bool]]:
        """(segment, committed end, closed) of every segment that is not recycled yet, oldest first.

        What a delivery worker that has just connected must get before the next on_committed.
        """
        return [(segment, state.end, state.is_closed) for segment, state in self._segments.items()]

    def finished(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], *, shards: int, generation: int
    ) -> None:
        """A delivery worker's report: its ``Tail.position``, and how many entries it has outstanding per segment
        (absent: none). A closed segment is recycled once all of ``shards`` of one generation have passed it."""
        self._reports.report(shard, tail, outstanding, shards, generation)
        self._recycle(self._reports.finished([s for s, state in self._segments.items() if state.is_closed]))

    async def close(self) -> None:
        """Commits what waits, removes unused segments, gives the log up (it can be adopted from then on)."""
        if not self._is_open:
            return
        self._is_open = False
        if self._is_begun:
            await self._drained.wait()
        self._loop.remove_reader(self._syncer.fileno)
        self._syncer.close()
        self._tasks.put(False)
        await self._loop.run_in_executor(None, self._tending.join)
        while any(large.is_busy for large in self._large):  # noqa: ASYNC110 - once in a life; an event each is too much
            await asyncio.sleep(_LARGE_WAIT)
        if self._executor is not None:
            await self._loop.run_in_executor(None, self._executor.shutdown)
        await self._loop.run_in_executor(None, self._log.close)

    # -- on the loop's thread

    def _new_large(self, name: str, on_drained: Callable[[], None] | None = None) -> LargeContent:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_LARGE_THREADS, "spool-large")
        large = LargeContent(self._files, self._large_folder, name, self._loop, self._executor, on_drained)
        self._large.add(large)
        return large

    def _recycle(self, segments: list[int]) -> None:
        for segment in segments:
            self._tasks.put(partial(self._give_back, segment, self._segments.pop(segment).large))

    def _committed(self, items: list[Item], commit: Commit, seconds: float) -> None:
        error = commit.error
        self._answer([item[4] for item in items], error)
        for segment, end in commit.closed:
            state = self._segments.setdefault(segment, _State())
            self._notify(segment, state)
            state.end = end
            state.is_closed = True
            self._on_committed(segment, end, end, 0, True)
            if not state.records:
                self._recycle([segment])
        if error is not None:
            self._failed(items, commit, error)
            return
        state = self._segments.setdefault(commit.segment, _State())
        if not state.records:
            state.told_end = commit.start
        state.end = commit.end
        state.records += len(items)
        state.large += [name_of(item[2]) for item in items if item[2]]
        if self._on_sync is not None:
            self._on_sync(seconds, len(items), commit.end - commit.start)
        if self._writing is None or time.monotonic() - self._told_at >= _TOGETHER:
            self._notify(commit.segment, state)

    def _notify(self, segment: int, state: _State) -> None:
        """Says what is committed since the last time. Put off only while another batch is written, which comes here."""
        if state.records > state.told_records:
            self._told_at = time.monotonic()
            self._on_committed(segment, state.told_end, state.end, state.records - state.told_records, False)
            state.told_end, state.told_records = state.end, state.records

    def _failed(self, items: Sequence[Item], commit: Commit, error: SpoolError) -> None:
        self._event("error", "spool.sync_failed", segment=commit.segment, records=len(items), cause=str(error))
        for item in items:
            if item[2]:
                self._tasks.put(partial(self._remove_large, [name_of(item[2])]))

    def _answer(self, waiters: list[Waiter], error: SpoolError | None) -> None:
        """Tells each of a batch, then calls what they have returned."""
        afterwards = []
        for waiter in waiters:
            try:
                call = waiter.spooled(error)
                if call is not None:
                    afterwards.append(call)
            except Exception as fault:  # noqa: BLE001 - one's mistake must not leave the others without an answer
                self._event("error", "spool.waiter_failed", cause=repr(fault))
        for call in afterwards:
            try:
                call()
            except Exception as fault:  # noqa: BLE001
                self._event("error", "spool.waiter_failed", cause=repr(fault))

    def _event(self, level: str, event: str, **fields: object) -> None:
        if self._on_event is not None:
            self._on_event(level, event, {"log": self.number, **fields})

    # -- the writing

    def _begin(self) -> None:
        """Hands the next batch to the syncing thread, if there is one and a segment for it."""
        while self._batch or self._gather():
            step = self._log.begin(self._batch)
            if step is None:
                self._needs_segment = True
                self._tasks.put(True)
                return
            if isinstance(step, Writing):
                self._writing = step
                self._syncer.submit(step.segment.fd, step.buffers, step.offset)
                return
            self._ended(step, 0.0)
            self._tell_all()
        self._is_begun = False
        if not self._is_open:
            self._drained.set()

    def _synced(self) -> None:
        try:
            done, seconds = self._syncer.result()
        except BlockingIOError:
            return
        writing, self._writing = self._writing, None
        assert writing is not None
        self._ended(self._log.end(writing, done), seconds)
        self._begin()  # first: the disk is not to wait for the replies
        self._tell_all()

    def _ended(self, commit: Commit, seconds: float) -> None:
        items, self._batch = self._batch[: commit.taken], self._batch[commit.taken :]
        self._told.append((items, commit, seconds))
        if commit.segment != self._last_segment:
            self._last_segment = commit.segment
            self._segment_taken()
        if self._log.is_failing and self._is_accepting:
            self._is_accepting = False
            self._event("error", "spool.not_accepting")

    def _segment_taken(self) -> None:
        """There is one less in the pool. As a rule the one that has just ended is finished soon, and to use it again
        costs nothing; to fill a new one costs as much as taking in the messages of half of it."""
        if self._log.pool.is_empty:
            self._make_up()
        else:
            self._is_patient = True
            self._loop.call_later(_GRACE, self._make_up)

    def _make_up(self) -> None:
        self._is_patient = False
        self._tasks.put(True)

    def _tell_all(self) -> None:
        while self._told:
            items, commit, seconds = self._told.popleft()
            self._committed(items, commit, seconds)

    def _gather(self) -> bool:
        waiting, batch = self._waiting, self._batch
        size = 0
        while waiting and size < _BATCH:
            item = waiting.popleft()
            batch.append(item)
            size += item[3]
        return bool(batch)

    def _segment_prepared(self, fault: SpoolError | None) -> None:
        """The tending thread has made a segment, or could not."""
        if fault is not None and self._needs_segment:
            self._log.failed_to_prepare(fault)
        if self._needs_segment:
            self._needs_segment = False
            self._begin()

    def _post(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends, nobody was answered 250
            self._loop.call_soon_threadsafe(call, *arguments)

    # -- in the tending thread

    def _tend_forever(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=_TICK)
            except Empty:
                task = True
            if task is False:
                return
            if callable(task):
                task()
            else:
                self._tend()

    def _tend(self) -> None:
        self._room.look()
        if self._log.is_failing:
            if not self._log.probe():
                return
            self._is_accepting = True
            self._post(partial(self._event, "info", "spool.accepting"))
        pool = self._log.pool
        if not self._room.is_enough:
            with contextlib.suppress(SpoolError):  # the next look tries again
                pool.drop_kept()
        while (pool.is_empty and self._needs_segment) or (
            pool.wants_more and not self._is_patient and self._room.has(self._segment_size)
        ):
            try:
                pool.prepare(gently=not self._needs_segment)
                self._is_preparing_failed = False
            except SpoolError as fault:
                if self._needs_segment:
                    self._post(self._segment_prepared, fault)
                if not self._is_preparing_failed:
                    self._is_preparing_failed = True
                    self._post(partial(self._event, "warning", "spool.no_spare_segment", cause=str(fault)))
                return
            if self._needs_segment:
                self._post(self._segment_prepared, None)
        if self._needs_segment and not pool.is_empty:
            self._post(self._segment_prepared, None)

    def _give_back(self, segment: int, large: list[str]) -> None:
        self._room.look()
        try:
            self._log.pool.give_back(segment, is_room_low=not self._room.is_enough)
        except SpoolError as fault:
            self._post(partial(self._event, "warning", "spool.not_recycled", segment=segment, cause=str(fault)))
        self._remove_large(large)

    def _remove_large(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):  # else it goes with the log's folder
                self._files.unlink(self._large_folder / name)


def name_of(described: bytes) -> str:
    """The file name in a packed description of a large file."""
    return described[16:].decode("ascii")
