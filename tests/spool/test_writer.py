"""The writer with its threads, on the real disk or with a disk that fails on demand."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.policy.content import Content
from relay.spool import (
    Damage,
    LargeContent,
    LogReader,
    LogWriter,
    Record,
    SpoolError,
    Tail,
    adopt,
    is_owned,
    list_logs,
)
from relay.spool.files import OS, Buffers, Files
from relay.spool.folder import list_segments, log_folder, segment_name
from relay.spool.log import _zeroes_after
from relay.spool.segments import SegmentPool
from tests.spool.spools import Settings, Waiter, envelope, make_log, make_spool

Notice = tuple[int, int, int, int, bool]


class Faulty(Files):
    """The real disk, but writes and syncs can be made to fail, to be short, or to wait."""

    def __init__(self) -> None:
        self.errno = 0
        self.limit = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.room = (1 << 40, 1 << 20)
        self.calls = 0

    def _check(self) -> None:
        if self.errno:
            raise OSError(self.errno, os.strerror(self.errno))

    def write(self, fd: int, buffers: Buffers, offset: int) -> int:
        self._check()
        return super().write(fd, buffers, offset)

    def write_synced(self, fd: int, buffers: Buffers, offset: int) -> int:
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(20)
        self._check()
        if self.limit:
            buffers = [b"".join(buffers)[: self.limit]]
        return super().write_synced(fd, buffers, offset)

    def sync(self, fd: int) -> None:
        self._check()
        super().sync(fd)

    def free(self, path: Path) -> tuple[int, int]:
        return self.room


class Worker:
    """A writer and a tail that is told what the writer says."""

    def __init__(self, spool_dir: Path, files: Files | None = None, **settings: int) -> None:
        self.files = files or Faulty()
        self.notices: list[Notice] = []
        self.syncs: list[tuple[float, int, int]] = []
        self.events: list[str] = []
        self.damages: list[Damage] = []
        self.dir = spool_dir
        self.changed = asyncio.Event()
        self.writer = LogWriter(
            spool_dir,
            Settings(**settings),
            asyncio.get_running_loop(),
            self._committed,
            on_sync=lambda *measured: self.syncs.append(measured),
            on_event=self._event,
            files=self.files,
        )
        self.tail = Tail(spool_dir, self.writer.number, self.damages.append)

    def _committed(self, *notice: Any) -> None:
        self.notices.append(notice)
        self.changed.set()

    def _event(self, _level: str, event: str, _fields: object) -> None:
        self.events.append(event)
        self.changed.set()

    def append(self, name: str, content: bytes | list[bytes] = b"x") -> Waiter:
        waiter = Waiter()
        self.writer.append(envelope(name), content, waiter)
        return waiter

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                try:
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()
                except TimeoutError:
                    pass
                self.changed.clear()

    async def told(self, *waiters: Waiter) -> list[SpoolError | None]:
        await self.until(lambda: all(waiter.told for waiter in waiters))
        assert all(len(waiter.told) == 1 for waiter in waiters)
        return [waiter.told[0] for waiter in waiters]

    def tailed(self) -> list[Record]:
        records: list[Record] = []
        for segment, _start, end, _count, closed in self.notices:
            records += self.tail.advance(segment, end, closed)
        assert self.damages == []
        return records

    async def close(self) -> None:
        await self.writer.close()
        self.tail.close()


def contents(spool_dir: Path, log: int) -> dict[str, bytes]:
    """What a new life finds in the log."""
    damages: list[Damage] = []
    tail, reader = Tail(spool_dir, log, damages.append), LogReader(spool_dir)
    found = {}
    for records in tail.rest():
        for record in records:
            message = reader.load(record.log, record.segment, record.offset)
            large = record.large.path.read_bytes() if record.large is not None else b""
            found[record.envelope.queue_id] = bytes(message.content) + large
    reader.close()
    assert damages == []
    return found


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return make_spool(tmp_path)


async def test_a_message_is_told_of_after_it_is_synced_and_is_tailed(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    waiter = worker.append("m1", [b"Received: x\r\n", b"body"])
    assert waiter.told == []
    assert await worker.told(waiter) == [None]
    await worker.until(lambda: bool(worker.notices))
    (record,) = worker.tailed()
    message = LogReader(spool_dir).load(record.log, record.segment, record.offset)
    assert bytes(message.content) == b"Received: x\r\nbody"
    assert worker.tail.position == (record.segment, worker.notices[-1][2])
    assert worker.syncs[0][1] == 1
    await worker.close()
    assert contents(spool_dir, record.log) == {"m1": b"Received: x\r\nbody"}


async def test_what_comes_during_a_sync_is_one_batch(spool_dir: Path) -> None:
    """Group commit without a timer: two syncs for any number of messages while the first one runs."""
    worker = Worker(spool_dir)
    files = worker.files
    assert isinstance(files, Faulty)
    await worker.told(worker.append("m0"))
    await worker.until(lambda: not worker.writer._log.pool.wants_more)
    files.entered.clear()
    files.gate.clear()
    first = worker.append("m1")
    await asyncio.to_thread(files.entered.wait, 20)
    rest = [worker.append(f"n{number}") for number in range(20)]
    files.gate.set()
    await worker.told(first, *rest)
    await worker.until(lambda: len(worker.syncs) == 3)
    assert [records for _, records, _ in worker.syncs] == [1, 1, 20]
    await worker.close()


@pytest.mark.parametrize(("together", "told"), [(1000.0, [1, 2]), (0.0, [1, 1, 1])])
async def test_batches_close_together_are_told_of_once(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch, together: float, told: list[int]
) -> None:
    """The delivery worker is woken once for them; the last is always told of."""
    monkeypatch.setattr("relay.spool.writer._TOGETHER", together)
    worker = Worker(spool_dir)
    await worker.told(worker.append("m0"))
    first = worker.append("m1")
    await asyncio.sleep(0)  # it is being written now
    await worker.told(first, worker.append("m2"))
    await worker.until(lambda: sum(notice[3] for notice in worker.notices) == 3)
    assert [notice[3] for notice in worker.notices] == told
    assert [record.envelope.queue_id for record in worker.tailed()] == ["m0", "m1", "m2"]
    await worker.close()


async def test_a_batch_is_told_of_although_the_next_one_fails(spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.spool.writer._TOGETHER", 1000.0)
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.told(worker.append("m0"))

    def write_or_fail(fd: int, buffers: Buffers, offset: int) -> int:
        if b"the-unlucky-one" in b"".join(buffers):
            raise OSError(errno.EIO, "sync failed")
        return Files.write_synced(files, fd, buffers, offset)

    files.write_synced = write_or_fail  # type: ignore[method-assign]
    first = worker.append("m1")
    await asyncio.sleep(0)  # it is being written now
    none, error = await worker.told(first, worker.append("the-unlucky-one"))
    assert none is None
    assert error is not None
    assert [record.envelope.queue_id for record in worker.tailed()] == ["m0", "m1"]
    await worker.close()


async def test_order_is_kept_over_many_segments(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    waiters = [worker.append(f"m{number:04d}", bytes([number % 251]) * (number * 37 % 5000)) for number in range(300)]
    assert set(await worker.told(*waiters)) == {None}
    await worker.until(lambda: sum(count for _, _, _, count, _ in worker.notices) == 300)
    assert [record.envelope.queue_id for record in worker.tailed()] == [f"m{number:04d}" for number in range(300)]
    assert len({notice[0] for notice in worker.notices}) > 5
    assert [segment for segment, _, closed in worker.writer.snapshot() if closed] == [
        segment for segment, _, _, _, closed in worker.notices if closed
    ]
    await worker.close()
    assert len(contents(spool_dir, worker.writer.number)) == 300


async def test_more_buffers_than_one_write_takes(spool_dir: Path) -> None:
    """IOV_MAX is 1024."""
    worker = Worker(spool_dir)
    content = [bytes([number % 256]) * 3 for number in range(3000)]
    assert await worker.told(worker.append("m1", content), worker.append("m2")) == [None, None]
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m1": b"".join(content), "m2": b"x"}


async def test_short_writes_are_completed(spool_dir: Path) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files)
    files.limit = 1000
    assert await worker.told(worker.append("m1", b"a" * 9000)) == [None]
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m1": b"a" * 9000}


async def test_a_record_that_fits_in_no_segment_is_refused(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    (error,) = await worker.told(worker.append("m1", b"a" * (64 << 10)))
    assert "does not fit" in str(error)
    assert worker.writer.is_accepting
    assert await worker.told(worker.append("m2", b"a" * (60 << 10))) == [None]
    await worker.close()


async def test_a_failed_sync_refuses_its_batch_only(spool_dir: Path) -> None:
    """DESIGN 4: the batch is answered with an error, the segment closed, and work goes on in a fresh one."""
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.told(worker.append("m1"))
    await worker.until(lambda: not worker.writer._log.pool.wants_more)
    files.errno = errno.EIO
    failing = worker.append("m2")
    (error,) = await worker.told(failing)
    files.errno = 0
    assert error is not None
    assert not error.is_full
    assert await worker.told(worker.append("m3")) == [None]
    assert worker.events == ["spool.sync_failed"]
    await worker.until(lambda: len(worker.notices) == 3)
    assert [record.envelope.queue_id for record in worker.tailed()] == ["m1", "m3"]
    (first, _, end, _, _), (cut, _, cut_end, _, closed), (second, _, _, _, _) = worker.notices
    assert (cut, cut_end, closed) == (first, end, True)
    assert second > first
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m1": b"x", "m3": b"x"}


async def test_only_failures_in_a_row_stop_acceptance(spool_dir: Path) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files)
    for number in range(3):
        assert await worker.told(worker.append(f"good{number}")) == [None]
        await worker.until(lambda: not worker.writer._log.pool.wants_more)
        files.errno = errno.EIO
        assert await worker.told(worker.append(f"bad{number}")) != [None]
        files.errno = 0
        assert worker.writer.is_accepting
    await worker.close()
    assert contents(spool_dir, worker.writer.number).keys() == {"good0", "good1", "good2"}


async def test_the_next_segment_is_prepared_when_one_is_taken(spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.spool.writer._TICK", 1000.0)
    worker = Worker(spool_dir, spare_segments=2)
    await worker.until(lambda: not worker.writer._log.pool.wants_more)
    for number in range(4):
        await worker.told(worker.append(f"m{number}", b"x" * 60000))
        await worker.until(lambda: not worker.writer._log.pool.wants_more)
    await worker.close()


async def test_no_segment_is_made_where_a_finished_one_comes_back_at_once(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.spool.writer._TICK", 1000.0)
    worker = Worker(spool_dir, spare_segments=2)
    writer, pool = worker.writer, worker.writer.pool
    await worker.told(worker.append("first", b"x" * 60000))
    await worker.until(lambda: pool.spare == 2)
    made = pool.created
    monkeypatch.setattr("relay.spool.writer._GRACE", 1000.0)
    for number in range(6):
        await worker.told(worker.append(f"m{number}", b"x" * 60000))
        await worker.until(lambda: any(closed for _, _, closed in writer.snapshot()))
        writer.finished(0, (writer.snapshot()[-1][0], 0), {}, shards=1, generation=1)
        await worker.until(lambda: pool.spare == 2)
    assert pool.created == made
    assert pool.recycled == 6
    await worker.close()


@pytest.mark.parametrize("end", [64, 4080, 4088, 4096, 4096 + 8, 65536 - 8, 65536 - 4096, 65536])
def test_a_batch_ends_with_a_clean_end(end: int) -> None:
    """At least 8 zero octets, or else what is left of a recycled segment's earlier life would look torn."""
    zeroes = _zeroes_after(end, 65536)
    assert zeroes >= 8 or end + zeroes == 65536
    assert (end + zeroes) % 4096 == 0
    assert end + zeroes <= 65536


async def test_a_failed_batch_is_not_found_even_if_nothing_follows_it(spool_dir: Path) -> None:
    """The octets may well be on the disk: pwritev has written them before the sync fails."""
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.told(worker.append("m1"))

    def write_and_fail(fd: int, buffers: Buffers, offset: int) -> int:
        Files.write(files, fd, buffers, offset)
        raise OSError(errno.EIO, "sync failed")

    files.write_synced = write_and_fail  # type: ignore[method-assign]
    (error,) = await worker.told(worker.append("m2"))
    assert error is not None
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m1": b"x"}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_a_broken_disk_stops_acceptance_until_it_works_again(spool_dir: Path, code: int) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.told(worker.append("m1"))
    files.errno = code
    errors = await worker.told(worker.append("m2"))
    while worker.writer.is_accepting:
        errors += await worker.told(worker.append("m3"))
    assert all(error is not None for error in errors)
    assert errors[0] is not None
    assert errors[0].is_full == (code == errno.ENOSPC)
    assert not worker.writer.has_room()
    files.errno = 0
    await worker.until(lambda: "spool.accepting" in worker.events)
    assert worker.writer.has_room()
    assert await worker.told(worker.append("m4")) == [None]
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m1": b"x", "m4": b"x"}


async def test_a_worker_starts_on_a_full_disk_and_takes_mail_when_there_is_room(spool_dir: Path) -> None:
    """Rather one that says 452 than a crash loop."""
    files = Faulty()
    real = files.sync
    folder_is_full = True

    def sync(fd: int) -> None:
        if folder_is_full and files.size(fd) > 4096:
            raise OSError(errno.ENOSPC, "full")
        real(fd)

    files.sync = sync  # type: ignore[method-assign]
    worker = Worker(spool_dir, files)
    assert not worker.writer.has_room()
    (error,) = await worker.told(worker.append("m1"))
    assert error is not None
    folder_is_full = False
    await worker.until(lambda: "spool.accepting" in worker.events)
    assert worker.events[0] == "spool.not_accepting"
    assert await worker.told(worker.append("m2")) == [None]
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"m2": b"x"}


async def test_a_waiter_that_raises_does_not_silence_the_others(spool_dir: Path) -> None:
    worker = Worker(spool_dir)

    class Bad:
        def spooled(self, error: SpoolError | None) -> None:
            raise RuntimeError("mistake")

    worker.writer.append(envelope("m1"), b"x", Bad())
    assert await worker.told(worker.append("m2")) == [None]
    assert worker.events == ["spool.waiter_failed"]
    await worker.close()


async def test_low_room_is_seen(spool_dir: Path) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files, min_free_bytes=1000, min_free_inodes=10)
    assert worker.writer.has_room()
    for room, is_enough in [((999, 99), False), ((1010, 99), False), ((5000, 99), True), ((5000, 9), False)]:
        files.room = room
        worker.writer._room.look()
        assert worker.writer.has_room() == is_enough
        assert (worker.writer.free_bytes, worker.writer.free_inodes) == room
    await worker.close()


async def test_spare_segments_never_keep_a_low_disk_low(spool_dir: Path) -> None:
    """I9. They once filled the disk down to the minimum, below the mark at which a low disk counts as recovered."""
    files = Faulty()
    worker = Worker(spool_dir, files, min_free_bytes=1000, min_free_inodes=10)
    room, pool = worker.writer._room, worker.writer.pool
    for free, has_room_for_100 in [(1100, False), (1149, False), (1150, True)]:
        files.room = (free, 1 << 20)
        room.look()
        assert room.has(100) == has_room_for_100
    segment = pool.take(may_prepare=True)
    assert segment is not None
    files.close(segment.fd)
    pool.give_back(segment.number, is_room_low=True)
    assert segment_name(segment.number) not in os.listdir(log_folder(spool_dir, worker.writer.number))
    assert pool.recycled == 0
    await worker.close()


class Noting(Files):
    """The real disk, and what was asked of it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def write(self, fd: int, buffers: Buffers, offset: int) -> int:
        self.done.append("filled")
        return super().write(fd, buffers, offset)

    def allocate(self, fd: int, size: int) -> None:
        self.done.append("allocated")
        super().allocate(fd, size)


def test_a_segment_that_somebody_waits_for_is_allocated_and_not_filled(spool_dir: Path) -> None:
    files = Noting()
    log, _ = make_log(spool_dir, [{"m1": b"x"}], files, segment_size=2 << 20)
    files.done.clear()
    wanted = log.pool.take(may_prepare=True)
    assert wanted is not None
    assert files.done == ["allocated"]
    assert files.read(wanted.fd, 3 << 20, 0) == bytes(2 << 20)
    log.pool.prepare()
    files.done.clear()
    log.pool.prepare(gently=True)
    assert files.done == ["filled", "filled"]
    files.close(wanted.fd)
    log.close()


def test_more_finished_segments_are_kept_than_made_until_the_disk_is_low(spool_dir: Path) -> None:
    pool = SegmentPool(OS, spool_dir, make_log(spool_dir, [])[0].number, 64 << 10, 4)
    pool._next = 2  # the log has a first one
    taken = []
    for _ in range(5):
        segment = pool.take(may_prepare=True)
        assert segment is not None
        OS.close(segment.fd)
        taken.append(segment.number)
    assert pool.wants_more
    for number in taken:
        pool.give_back(number)
    assert (pool.spare, pool.recycled, pool.wants_more) == (4, 4, False)
    pool.drop_kept()
    assert pool.spare == 2
    pool.drop_all()
    assert pool.spare == 0


async def test_segments_are_recycled_when_all_shards_are_done(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    writer = worker.writer

    async def fill(count: int) -> list[int]:
        waiters = [worker.append(f"m{number}", b"x" * 9000) for number in range(count)]
        assert set(await worker.told(*waiters)) == {None}
        await worker.until(lambda: sum(n[3] for n in worker.notices) % count == 0)
        return [segment for segment, _, closed in writer.snapshot() if closed]

    closed = await fill(20)
    assert len(closed) >= 2
    for shard, outstanding in [(0, {}), (1, {closed[0]: 1})]:
        writer.finished(shard, (closed[1] + 1, 0), outstanding, shards=2, generation=1)
    assert closed[1] not in [segment for segment, _, _ in writer.snapshot()]
    assert closed[0] in [segment for segment, _, _ in writer.snapshot()]
    writer.finished(1, (closed[1] + 1, 0), {}, shards=2, generation=1)
    assert closed[0] not in [segment for segment, _, _ in writer.snapshot()]
    more = await fill(20)
    assert min(more) > max(closed[:2])
    for shard in (0, 1):
        writer.finished(shard, (max(more) + 1, 0), {}, shards=2, generation=1)
    await worker.close()
    left = list_segments(spool_dir, writer.number)
    assert len(left) == 1, "the open one; finished and unused ones are gone"
    assert len(contents(spool_dir, writer.number)) <= 6


async def test_a_recycled_segment_shows_nothing_of_its_earlier_life(spool_dir: Path) -> None:
    worker = Worker(spool_dir, spare_segments=3)
    for turn in range(12):
        waiters = [worker.append(f"t{turn}-{number}", bytes([turn]) * 9000) for number in range(8)]
        assert set(await worker.told(*waiters)) == {None}
        await worker.until(lambda: not worker.writer._waiting)
        for segment, _, closed in worker.writer.snapshot():
            if closed:
                worker.writer.finished(0, (segment + 1, 0), {}, shards=1, generation=1)
    last = await worker.told(worker.append("last"))
    assert last == [None]
    numbers = {segment for segment, _, _ in worker.writer.snapshot()}
    await worker.close()
    assert min(numbers) > 5
    assert worker.writer.pool.created >= 1
    assert worker.writer.pool.recycled >= 1
    found = contents(spool_dir, worker.writer.number)
    assert "last" in found
    assert all(name == "last" or name.startswith("t11") for name in found)


async def test_a_tail_of_a_recycled_segment_says_nothing(spool_dir: Path) -> None:
    """A delivery worker that was replaced reads from the snapshot, and the segment goes away under its eyes."""
    worker = Worker(spool_dir)
    await worker.told(worker.append("m0"))
    await worker.until(lambda: bool(worker.notices))
    middle = worker.notices[0][2]
    await worker.told(*[worker.append(f"m{number}", b"x" * 9000) for number in range(1, 12)])
    await worker.until(lambda: any(n[4] for n in worker.notices))
    segment, end, closed = worker.writer.snapshot()[0]
    assert closed
    fresh = Tail(spool_dir, worker.writer.number, worker.damages.append)
    path = log_folder(spool_dir, worker.writer.number) / f"{segment:010d}.seg"
    assert len(fresh.advance(segment, middle, False)) == 1
    renamed = path.rename(path.with_name("0000009999.seg"))
    with renamed.open("r+b") as file:
        file.seek(middle)
        file.write(bytes(end - middle))
    assert fresh.advance(segment, end, True) == []
    assert Tail(spool_dir, worker.writer.number, worker.damages.append).advance(segment, end, True) == []
    assert worker.damages == []
    await worker.close()


async def test_close_commits_what_waits_and_gives_the_log_up(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    waiters = [worker.append(f"m{number}") for number in range(50)]
    assert is_owned(spool_dir, worker.writer.number)
    assert adopt(spool_dir, worker.writer.number) is None
    await worker.close()
    assert all(waiter.told == [None] for waiter in waiters)
    late = worker.append("late")
    await worker.told(late)
    assert late.told != [None]
    assert not is_owned(spool_dir, worker.writer.number)
    adopted = adopt(spool_dir, worker.writer.number)
    assert adopted is not None
    tail = Tail(spool_dir, worker.writer.number, worker.damages.append)
    assert sum(len(records) for records in tail.rest()) == 50
    adopted.finished(0, tail.position, {1: 1}, shards=1, generation=5)
    assert not adopted.is_empty
    adopted.finished(0, tail.position, {}, shards=1, generation=5)
    assert list_logs(spool_dir) == []


# -- large contents


async def commit(worker: Worker, large: LargeContent) -> SpoolError | None:
    answers: list[SpoolError | None] = []
    large.commit(answers.append)
    await worker.until(lambda: bool(answers))
    return answers[0]


async def append_large(worker: Worker, name: str, head: bytes, large: LargeContent) -> None:
    waiter = Waiter()
    worker.writer.append(envelope(name), head, waiter, large)
    assert await worker.told(waiter) == [None]


async def test_a_large_content_has_a_file_of_its_own(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    large = worker.writer.open_large("BIG")
    pieces = [bytes([number]) * 50_000 for number in range(20)]
    for piece in pieces:
        large.write(piece)
    assert large.size == 1_000_000
    assert await commit(worker, large) is None
    await append_large(worker, "BIG", b"Received\r\n", large)
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"BIG": b"Received\r\n" + b"".join(pieces)}


async def test_a_large_content_asks_the_peer_to_wait(spool_dir: Path) -> None:
    """I5: memory does not grow with what a peer sends faster than the disk takes it."""
    files = Faulty()
    worker = Worker(spool_dir, files)
    gate = threading.Event()
    real = Files.write

    def write(fd: int, buffers: Buffers, offset: int) -> int:
        assert gate.wait(20)
        return real(files, fd, buffers, offset)

    files.write = write  # type: ignore[method-assign]
    drained: list[bool] = []
    large = worker.writer.open_large("BIG", lambda: drained.append(True))
    answers = [large.write(bytes(1 << 18)) for _ in range(8)]
    assert answers[0]
    assert not answers[-1]
    assert not drained
    gate.set()
    await worker.until(lambda: bool(drained))
    large.abort()
    await worker.close()
    assert drained == [True]


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_large_content_can_be_read_before_it_is_committed(spool_dir: Path, size: int) -> None:
    """Checks read it while its sender waits."""
    worker = Worker(spool_dir)
    large = worker.writer.open_large("BIG")
    octets = bytes(number % 251 for number in range(size))
    for at in range(0, size, 70_000):
        large.write(octets[at : at + 70_000])
    content = Content(b"A: 1\r\n\r\n", 6, 8, stored=large)
    await content.ready()
    found = await asyncio.to_thread(lambda: b"".join(content.octets()))
    assert found == b"A: 1\r\n\r\n" + octets
    assert content.size == len(found)
    assert await commit(worker, large) is None
    await append_large(worker, "BIG", b"A: 1\r\n\r\n", large)
    await worker.close()
    assert contents(spool_dir, worker.writer.number) == {"BIG": found}


async def test_a_large_content_that_could_not_be_written_cannot_be_read(spool_dir: Path) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.until(lambda: not worker.writer._log.pool.wants_more)
    files.errno = errno.EIO
    large = worker.writer.open_large("BIG")
    large.write(b"x" * 100_000)
    for _ in range(2):
        with pytest.raises(SpoolError):
            await large.written()
    large.abort()
    files.errno = 0
    await worker.close()


@pytest.mark.parametrize("is_committed", [False, True])
async def test_an_aborted_large_content_leaves_nothing(spool_dir: Path, is_committed: bool) -> None:
    worker = Worker(spool_dir)
    large = worker.writer.open_large("BIG")
    large.write(b"x" * 100_000)
    if is_committed:
        assert await commit(worker, large) is None
    large.abort()
    large.abort()
    await worker.close()
    assert list((log_folder(spool_dir, worker.writer.number) / "large").iterdir()) == []


async def test_a_large_content_that_cannot_be_written_is_refused(spool_dir: Path) -> None:
    files = Faulty()
    worker = Worker(spool_dir, files)
    await worker.until(lambda: not worker.writer._log.pool.wants_more)
    files.errno = errno.ENOSPC
    large = worker.writer.open_large("BIG")
    large.write(b"x" * 100_000)
    await worker.until(lambda: large.error is not None)
    large.write(b"more")
    error = await commit(worker, large)
    assert error is not None
    assert error.is_full
    files.errno = 0
    await worker.close()
    assert list((log_folder(spool_dir, worker.writer.number) / "large").iterdir()) == []


async def test_copying_forward_links_the_large_file(spool_dir: Path) -> None:
    """The origin can be finished and removed; the copy keeps the content without a second one on the disk."""
    first, second = Worker(spool_dir), Worker(spool_dir)
    large = first.writer.open_large("BIG")
    large.write(b"y" * 70_000)
    await commit(first, large)
    await append_large(first, "BIG", b"head", large)
    await first.until(lambda: bool(first.notices))
    (record,) = first.tailed()
    message = LogReader(spool_dir).load(record.log, record.segment, record.offset)
    answers: list[SpoolError | None] = []
    link = second.writer.link_large(message, answers.append)
    await second.until(lambda: bool(answers))
    assert answers == [None]
    await append_large(second, "BIG", bytes(message.content), link)
    await first.close()
    adopted = adopt(spool_dir, first.writer.number)
    assert adopted is not None
    adopted.finished(0, (1 << 30, 0), {}, shards=1, generation=1)
    assert adopted.is_empty
    await second.close()
    assert contents(spool_dir, second.writer.number) == {"BIG": b"head" + b"y" * 70_000}


async def test_the_large_file_goes_with_its_segment(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    large = worker.writer.open_large("BIG")
    large.write(b"y" * 70_000)
    await commit(worker, large)
    await append_large(worker, "BIG", b"head", large)
    await worker.told(*[worker.append(f"m{number}", b"x" * 9000) for number in range(20)])
    await worker.until(lambda: any(n[4] for n in worker.notices))
    folder = log_folder(spool_dir, worker.writer.number) / "large"
    assert [path.name for path in folder.iterdir()] == ["BIG"]
    for segment, _, closed in worker.writer.snapshot():
        if closed:
            worker.writer.finished(0, (segment + 1, 0), {}, shards=1, generation=1)
    await worker.close()
    assert list(folder.iterdir()) == []


async def test_a_missing_large_file_is_reported_and_the_rest_goes_on(spool_dir: Path) -> None:
    worker = Worker(spool_dir)
    large = worker.writer.open_large("BIG")
    large.write(b"y" * 70_000)
    await commit(worker, large)
    await append_large(worker, "BIG", b"head", large)
    await worker.told(worker.append("m2"))
    await worker.close()
    (log_folder(spool_dir, worker.writer.number) / "large" / "BIG").unlink()
    damages: list[Damage] = []
    tail = Tail(spool_dir, worker.writer.number, damages.append)
    assert [record.envelope.queue_id for records in tail.rest() for record in records] == ["m2"]
    (damage,) = damages
    assert (damage.queue_id, damage.is_torn) == ("BIG", False)
    assert "missing" in damage.reason
    with pytest.raises(Exception, match="large file is missing"):
        LogReader(spool_dir).load(damage.log, damage.segment, damage.offset)
