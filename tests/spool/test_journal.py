"""The outcomes journal: what is written is read again, what is absorbed goes, what is torn does no harm."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.spool import Journal, SpoolError, load_journals
from relay.spool.files import Buffers, Files
from relay.spool.folder import journal_name, list_journals, lock_data_dir
from relay.spool.frames import Entry, JournalHead, JournalOctets, pack_entries, pack_frame, pack_journal_head
from relay.spool.journal import absorbed_journals
from tests.crash.layer.disk import Disk
from tests.crash.layer.life import DATA, SPOOL
from tests.spool.spools import make_spool
from tests.support.waiting import reached


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return make_spool(tmp_path)


def journal(
    spool_dir: Path, *, shard: int = 0, shards: int = 1, generation: int = 1, files: Files | None = None
) -> Journal:
    return Journal(spool_dir, shard=shard, shards=shards, generation=generation, files=files or Files())


def entry(number: int) -> Entry:
    return ("deferred", 1, number, 64, (0, 2), 3, 1_700_000_000_000_000, "4.4.1", "text ü \x00")


async def test_entries_come_back_as_they_were(spool_dir: Path) -> None:
    first = journal(spool_dir)
    first.append([entry(1), entry(2)])
    first.append([("finished-many", 1, 2, b"\x01\x02\x03\x04"), ("finished", 1, 3, 64, None)])
    await first.sync()
    await first.close()
    assert list(load_journals(spool_dir)) == [
        entry(1),
        entry(2),
        ("finished-many", 1, 2, b"\x01\x02\x03\x04"),
        ("finished", 1, 3, 64, None),
    ]


async def test_what_it_does_is_counted(spool_dir: Path) -> None:
    told: list[tuple[float, bool]] = []
    first = Journal(spool_dir, shard=0, shards=1, generation=1, on_sync=lambda *how: told.append(how))
    first.append([entry(1)])
    written = first.written_bytes
    assert written > 0
    await first.sync()
    assert [is_synced for seconds, is_synced in told if seconds >= 0] == [True]
    await first.compact([entry(1)])
    assert first.written_bytes > written, "the checkpoint, too"
    await first.close()


async def test_what_is_appended_survives_the_process_without_a_sync(spool_dir: Path) -> None:
    first = journal(spool_dir)
    first.append([entry(1)])
    assert list(load_journals(spool_dir)) == [entry(1)]
    await first.close()


async def test_compaction_keeps_the_state_and_what_came_meanwhile(spool_dir: Path) -> None:
    first = journal(spool_dir)
    for number in range(3000):
        first.append([entry(number)])
    assert first.size > 0
    compacting = asyncio.create_task(first.compact([entry(number) for number in range(2990, 3000)]))
    await asyncio.sleep(0)
    first.append([entry(4000)])
    await first.sync()
    first.append([entry(4002)])
    await compacting
    first.append([entry(4001)])
    await first.close()
    expected = [entry(number) for number in [*range(2990, 3000), 4000, 4002, 4001]]
    assert list(load_journals(spool_dir)) == expected
    assert len(list_journals(spool_dir)) == 2


async def test_a_second_compaction_leaves_two_files(spool_dir: Path) -> None:
    first = journal(spool_dir)
    for number in range(5):
        first.append([entry(number)])
        await first.compact([entry(number)])
    await first.close()
    assert len(list_journals(spool_dir)) == 2
    assert list(load_journals(spool_dir)) == [entry(4)]


async def test_journals_of_an_earlier_life_go_when_every_shard_has_absorbed_them(spool_dir: Path) -> None:
    old = journal(spool_dir)
    old.append([entry(1), entry(2)])
    await old.close()
    lock_data_dir(spool_dir.parent).close()  # a new run
    left, right = (journal(spool_dir, shard=shard, shards=2) for shard in (0, 1))
    await left.compact([entry(1)])
    assert old.number in list_journals(spool_dir), "shard 1 has not copied its share yet"
    await left.compact([entry(1)])
    assert old.number in list_journals(spool_dir)
    await right.compact([entry(2)])
    assert old.number not in list_journals(spool_dir)
    assert sorted(load_journals(spool_dir)) == [entry(1), entry(2)]
    await left.close()
    await right.close()


async def test_shards_of_different_generations_do_not_add_up(spool_dir: Path) -> None:
    """A reload may move a recipient from one shard to another: its outcome must not be lost between them."""
    old = journal(spool_dir)
    old.append([entry(1)])
    left = journal(spool_dir, shard=0, shards=2, generation=1)
    await left.compact([])
    right = journal(spool_dir, shard=1, shards=2, generation=2)
    await right.compact([])
    assert entry(1) in list(load_journals(spool_dir))
    for one in (old, left, right):
        await one.close()


def test_absorption_is_decided_from_the_heads() -> None:
    def head(shard: int, *absorbed: int, shards: int = 2, run: int = 1) -> JournalHead:
        return JournalHead(run, 1, shard, shards, absorbed)

    assert absorbed_journals({1: head(0), 2: head(0, 1)}) == {1}
    assert absorbed_journals({1: head(0), 2: head(1, 1)}) == set()
    assert absorbed_journals({1: head(0, run=1), 2: head(0, 1, run=2)}) == set()
    assert absorbed_journals({1: head(0, run=1), 2: head(0, 1, run=2), 3: head(1, 1, run=2)}) == {1}
    assert absorbed_journals({1: head(0), 2: head(0, 1, shards=1, run=2)}) == {1}
    assert absorbed_journals({2: head(0, 1, run=2), 3: head(1, 1, run=2)}) == {1}, "its own head is lost"


HEAD = JournalHead(1, 1, 0, 1, ())
MARK = b"markmark"
FRAMES = [pack_frame(MARK, pack_entries([entry(number)] * (number + 1))) for number in range(5)]


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, sum(map(len, FRAMES)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_frame(at: int, bit: int) -> None:
    head = pack_journal_head(MARK, HEAD)
    octets = bytearray(head + b"".join(FRAMES))
    octets[len(head) + at] ^= 1 << bit
    read = JournalOctets(bytes(octets))
    entries = list(read.entries())
    lost = next(n for n in range(5) if at < sum(map(len, FRAMES[: n + 1])))
    assert entries == [entry(n) for n in range(5) if n != lost for _ in range(n + 1)]
    assert bool(read.skipped) == (lost < 4)
    assert bool(read.torn) == (lost == 4)


def test_a_torn_frame_is_not_read() -> None:
    octets = pack_journal_head(MARK, HEAD) + b"".join(FRAMES)
    for cut in range(1, len(FRAMES[4])):
        assert len(list(JournalOctets(octets[:-cut]).entries())) == 10


class Faulty(Files):
    """A disk whose writes or syncs fail or wait."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_broken = False
        self.syncs: list[str] = []
        """Names of the files without their endings."""
        self.gate = threading.Event()
        self.gate.set()

    def write(self, fd: int, buffers: Buffers, offset: int) -> int:
        if self.is_full:
            super().write(fd, [b"".join(buffers)[:5]], offset)
            raise OSError(errno.ENOSPC, "full")
        return super().write(fd, buffers, offset)

    def sync(self, fd: int) -> None:
        self.syncs.append(Path(os.readlink(f"/proc/self/fd/{fd}")).stem)
        assert self.gate.wait(20)
        if self.is_broken:
            raise OSError(errno.EIO, "broken")
        super().sync(fd)


async def test_a_full_disk_leaves_no_half_entry(spool_dir: Path) -> None:
    files = Faulty()
    first = journal(spool_dir, files=files)
    first.append([entry(1)])
    files.is_full = True
    with pytest.raises(SpoolError) as caught:
        first.append([entry(2)])
    assert caught.value.is_full
    files.is_full = False
    first.append([entry(3)])
    await first.close()
    (number,) = list_journals(spool_dir)
    read = JournalOctets((spool_dir / "journal" / journal_name(number)).read_bytes())
    assert list(read.entries()) == [entry(1), entry(3)]
    assert (read.skipped, read.torn) == (0, 0)


async def test_a_failed_sync_is_repaired_by_compaction_only(spool_dir: Path) -> None:
    files = Faulty()
    first = journal(spool_dir, files=files)
    first.append([entry(1)])
    files.is_broken = True
    with pytest.raises(SpoolError):
        await first.sync()
    files.is_broken = False
    with pytest.raises(SpoolError):
        await first.sync()
    wanted = [first.wants_compaction]
    await first.compact([entry(1)])
    wanted.append(first.wants_compaction)
    assert wanted == [True, False]
    await first.sync()
    await first.close()


async def test_syncs_are_shared_and_begin_after_the_call(spool_dir: Path) -> None:
    files = Faulty()
    first = journal(spool_dir, files=files)
    files.syncs.clear()
    files.gate.clear()
    early = asyncio.ensure_future(first.sync())
    await reached(lambda: files.syncs)
    first.append([entry(1)])
    late = [asyncio.ensure_future(first.sync()) for _ in range(10)]
    await asyncio.sleep(0)
    assert not early.done()
    files.gate.set()
    await asyncio.gather(early, *late)
    assert len(files.syncs) == 2
    await first.close()


async def test_what_the_new_file_repeats_is_synced_before_the_old_one_goes(spool_dir: Path) -> None:
    files = Faulty()
    first = journal(spool_dir, files=files)
    compacting = asyncio.create_task(first.compact([]))
    await asyncio.sleep(0)
    first.append([entry(1)])
    await first.sync()
    await compacting
    assert files.syncs.count(f"{first.number:010d}") >= 2, "once with its head, once with what it repeats"
    assert list(load_journals(spool_dir)) == [entry(1)]
    await first.close()


async def test_a_sync_during_compaction_covers_the_old_file_too(spool_dir: Path) -> None:
    """Until the compacted state is published, the old file is all that holds the earlier entries."""
    files = Faulty()
    first = journal(spool_dir, files=files)
    first.append([entry(1)])
    old = first.number
    blocked = threading.Event()

    def entries() -> Iterator[Entry]:
        assert blocked.wait(20)
        yield entry(1)

    compacting = asyncio.create_task(first.compact(entries()))
    await reached(lambda: first.number != old)
    files.syncs.clear()
    await first.sync()
    assert f"{old:010d}" in files.syncs
    blocked.set()
    await compacting
    await first.close()


def _any_entry(draw: random.Random) -> Entry:
    number = draw.choice((0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1))
    return draw.choice(
        (
            ("finished", 1, draw.randrange(2**16), number, None),
            ("finished", number, number, number, None),
            ("finished", 1, 2, number, (0, 2)),
            ("finished", 1, 2, -1, None),
            ("held", 1, 2, number, None),
            ("deferred", 1, 2, number, None, 1, "4.0.0", "later"),
            ("finished", number),
        )
    )


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300, 70_000])
def test_entries_are_packed_as_msgpack_packs_them(count):
    """Those that are written by our own hand, and those between them."""
    draw = random.Random(count)
    entries = [_any_entry(draw) for _ in range(count)]
    assert pack_entries(entries) == msgpack.packb(entries)
    plain = [("finished", 1, 2, 64 * number, None) for number in range(count)]
    assert pack_entries(plain) == msgpack.packb(plain)


def after_power_failure(disk: Disk) -> set[Entry]:
    """What journals say on a disk that kept nothing but what was synced; the old files may be there again."""
    return set(load_journals(SPOOL, disk.after_power_failure(random.Random(1), 1.0)))


async def test_losing_power_loses_nothing_that_was_synced_and_a_journal_says_when_it_must_be() -> None:
    disk = Disk()
    lock = lock_data_dir(DATA, files=disk)
    first = Journal(SPOOL, shard=0, shards=1, generation=1, files=disk)
    dirty = [first.is_dirty]
    first.append([entry(1)])
    dirty.append(first.is_dirty)
    assert after_power_failure(disk) == set(), "or the disk is no test"
    await first.sync()
    dirty.append(first.is_dirty)
    first.append([entry(2)])
    dirty.append(first.is_dirty)
    assert after_power_failure(disk) == {entry(1)}
    await first.compact([entry(1), entry(2)])
    await first.sync()
    dirty.append(first.is_dirty)
    assert after_power_failure(disk) == {entry(1), entry(2)}
    assert dirty == [False, True, False, True, False]
    await first.close()
    lock.close()


async def test_what_is_written_while_a_sync_runs_is_still_to_be_synced(spool_dir: Path) -> None:
    files = Faulty()
    first = journal(spool_dir, files=files)
    files.gate.clear()
    files.syncs.clear()
    first.append([entry(1)])
    syncing = asyncio.ensure_future(first.sync())
    await reached(lambda: files.syncs)
    first.append([entry(2)])
    files.gate.set()
    await syncing
    assert first.is_dirty
    await first.close()
