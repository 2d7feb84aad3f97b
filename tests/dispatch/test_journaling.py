"""What is to be in the journal before something else happens, is; on a disk that refuses nothing is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.dispatch.journaling import Journaling
from relay.dispatch.meters import JournalMeter
from relay.spool import SpoolError
from relay.telemetry import metrics

FAILED = ("failed", 1, 1, 64, (0,), 550, "5.1.1", "nobody", "rcpt", "h")
FINISHED = ("finished", 1, 1, 128, None)


class Disk:
    """In place of the Journal and of the LogSink."""

    def __init__(self) -> None:
        self.is_full = False
        self.done: list[Any] = []
        self.events: list[str] = []
        self.is_dirty = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault = ""

    def append(self, entries: list[Any]) -> None:
        if self.is_full:
            raise SpoolError("full")
        self.done.extend(entries)

    async def sync(self) -> None:
        await self.gate.wait()
        if self.fault:
            raise SpoolError(self.fault)
        self.done.append("sync")
        self.is_dirty = False

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append(name)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def row() -> memoryview[int]:
    return memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")


@pytest.fixture
def journaling(disk: Disk, row: memoryview[int]) -> Journaling:
    anything: Any = disk
    return Journaling(anything, anything, JournalMeter(row))


async def test_what_was_added_is_written_before_it_is_synced(journaling: Journaling, disk: Disk) -> None:
    journaling.add([FAILED])
    await journaling.sync()
    assert disk.done == [FAILED, "sync"]


async def test_a_sync_without_the_write_is_none(journaling: Journaling, disk: Disk) -> None:
    """Else a DSN would be spooled about a failure that no journal holds."""
    disk.is_full = True
    journaling.add([FAILED])
    with pytest.raises(SpoolError):
        await journaling.sync()
    assert disk.done == []


def test_what_the_disk_refuses_is_kept_and_said_once(journaling: Journaling, disk: Disk, row: memoryview[int]) -> None:
    disk.is_full = True
    for entry in (FAILED, FINISHED):
        journaling.add([entry])
        assert not journaling.flush()
    disk.is_full = False
    assert journaling.flush()
    assert disk.done == [FAILED, FINISHED]
    assert disk.events == ["journal not written", "journal is written again"]
    assert row[metrics.index("relay_spool_journal_entries_total", "failed")] == 1
    assert row[metrics.index("relay_spool_journal_entries_total", "finished")] == 1


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_written_is_synced_in_the_background_and_only_then(journaling: Journaling, disk: Disk) -> None:
    journaling.sync_soon()
    await turns()
    assert disk.done == [], "nothing to sync"
    disk.is_dirty = True
    disk.gate.clear()
    journaling.sync_soon()
    journaling.sync_soon()
    await turns()
    assert disk.done == [], "nobody waits for it"
    disk.gate.set()
    await turns()
    assert disk.done == ["sync"]
    journaling.sync_soon()
    await turns()
    assert disk.done == ["sync"]


async def test_a_background_sync_that_fails_is_told_once_and_tried_again(journaling: Journaling, disk: Disk) -> None:
    disk.is_dirty, disk.fault = True, "EIO"
    for _ in range(3):
        journaling.sync_soon()
        await turns()
    assert disk.events == ["journal not synced"]
    disk.fault = ""
    journaling.sync_soon()
    await turns()
    assert disk.done == ["sync"]
