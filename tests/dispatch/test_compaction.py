"""relay/dispatch/compaction.py: one at a time, none is forgotten, and none before the logs are read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.dispatch.compaction import Compaction
from relay.spool import SpoolError
from relay.telemetry import metrics


class Journal:
    """In place of the journal, and of all else that a compaction asks."""

    def __init__(self) -> None:
        self.journal = self
        self.wants_compaction = False
        self.begun = 0
        self.gate = asyncio.Event()
        self.fault = ""
        self.events: list[str] = []
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")

    async def compact(self, _entries: object) -> None:
        self.begun += 1
        await self.gate.wait()
        if self.fault:
            raise SpoolError(self.fault)

    def flush(self) -> None: ...

    def event(self, _level: str, name: str, **_fields: object) -> None:
        self.events.append(name)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def compaction(journal: Journal, tmp_path: Path) -> Compaction:
    ledger = SimpleNamespace(snapshot=lambda entries, is_there: [])
    scheduler = SimpleNamespace(ledger=ledger, places=SimpleNamespace(entries=list))
    shard = SimpleNamespace(
        journaling=journal,
        config=SimpleNamespace(spool_dir=tmp_path),
        scheduler=scheduler,
        row=journal.row,
        sink=journal,
    )
    return Compaction(cast("Any", shard))


async def until(journal: Journal, begun: int) -> None:
    async with asyncio.timeout(10):
        while journal.begun < begun:
            await asyncio.sleep(0)


async def test_none_begins_before_the_ledger_knows_all(journal: Journal, compaction: Compaction) -> None:
    journal.wants_compaction = True
    compaction.look()
    compaction.begin()
    await asyncio.sleep(0)
    assert journal.begun == 0
    compaction.is_allowed = True
    compaction.look()
    await until(journal, 1)
    compaction.cancel()


async def test_one_that_is_asked_for_meanwhile_follows_and_one_that_is_only_worth_it_does_not(
    journal: Journal, compaction: Compaction
) -> None:
    """The clock was set while the journal was being rewritten: it kept the instants of before."""
    compaction.is_allowed = True
    compaction.begin()
    await until(journal, 1)
    journal.wants_compaction = True
    compaction.look()
    compaction.begin()
    compaction.begin()
    journal.gate.set()
    await until(journal, 2)
    for _ in range(5):
        await asyncio.sleep(0)
    assert journal.begun == 2
    assert journal.row[metrics.index("relay_spool_journal_compactions_total")] == 2


async def test_one_that_fails_is_tried_again(journal: Journal, compaction: Compaction) -> None:
    compaction.is_allowed = True
    journal.fault = "disk full"
    journal.gate.set()
    compaction.begin()
    await until(journal, 1)
    await asyncio.sleep(0)
    assert journal.events == ["journal not compacted"]
    journal.fault, journal.wants_compaction = "", True
    compaction.look()
    await until(journal, 2)
    await asyncio.sleep(0)
    assert journal.events == ["journal not compacted", "journal compacted"]
