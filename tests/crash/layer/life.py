"""One life of a spool on a simulated disk, without threads: the same operations in the same order every time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

from relay.mail.envelope import LARGE, Envelope
from relay.spool._record import record_size
from relay.spool.adopted import adopt
from relay.spool.errors import SpoolError
from relay.spool.folder import list_logs, lock_data_dir, log_folder
from relay.spool.journal import Entry, Journal, load_journals
from relay.spool.large import LargeContent
from relay.spool.log import Item, Log
from relay.spool.reader import Damage, LogReader, Tail
from relay.spool.reports import ShardReports
from tests.crash.layer.disk import Disk

DATA = Path("/")
SPOOL = DATA / "spool"
SEGMENT = 32 << 10


class Now:
    """Plays loop and executor: what is handed to it is done at once."""

    def call_soon_threadsafe(self, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        call(*arguments)
        return Future()


class Life:
    """What was promised in it: ``acknowledged`` messages, ``refused`` ones, ``finished`` ones, ``synced`` outcomes."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.name = name
        self.made = 0
        self.acknowledged: dict[str, bytes] = {}
        self.attempted: dict[str, bytes] = {}
        self.refused: set[str] = set()
        self.finished: set[str] = set()
        self.synced: list[Entry] = []
        self.written: list[Entry] = []

    def start(self) -> None:
        self.lock = lock_data_dir(DATA, files=self.disk)
        self.log = Log(SPOOL, SEGMENT, 1, self.disk)
        self.in_segment: dict[int, list[str]] = {}
        self.closed: list[int] = []

    def stop(self) -> None:
        self.log.close()
        self.lock.close()

    def batch(self, *sizes: int, large: int = 0) -> None:
        """Commits messages with contents of these sizes, the last one with a large file."""
        items: list[Item] = []
        names: list[str] = []
        for position, size in enumerate(sizes):
            self.made += 1
            name = f"{self.name}{self.made:03d}"
            content = (name.encode() * (size // len(name) + 1))[:size]
            described, more = b"", b""
            if large and position == len(sizes) - 1:
                more = content + bytes(range(256)) * (large // 256)
                if not (described := self._large(name, more)):
                    self.refused.add(name)
                    continue
            flags = LARGE if described else 0
            envelope = Envelope(name, 1, b"a@b.test", (b"c@d.test",), flags, size + len(more)).pack()
            items.append((envelope, [content], described, record_size(envelope, described, [content]), None))
            self.attempted[name] = content + more
            names.append(name)
        self._commit(items, names)

    def _commit(self, items: list[Item], names: list[str]) -> None:
        while items:
            commit = self.log.commit(items)
            taken, names = names[: commit.taken], names[commit.taken :]
            items = items[commit.taken :]
            self.closed += [segment for segment, _ in commit.closed]
            if commit.error is not None:
                self.refused.update(taken)
                continue
            self.acknowledged.update((name, self.attempted[name]) for name in taken)
            self.in_segment.setdefault(commit.segment, []).extend(taken)

    def _large(self, name: str, content: bytes) -> bytes:
        now: Any = Now()
        large = LargeContent(self.disk, log_folder(SPOOL, self.log.number) / "large", name, now, now)
        errors: list[SpoolError | None] = []
        with mock.patch("relay.spool.large.SYNCED_AT_ONCE", 1000):
            for start in range(0, len(content), 700):
                large.write(content[start : start + 700])
            large.commit(errors.append)
        return b"" if errors[0] is not None else large.describe()

    def finish(self, segment: int) -> None:
        """Every message in a closed segment is finished."""
        reports = ShardReports()
        reports.report(0, (segment + 1, 0), {}, 1, 1)
        assert segment in reports.finished(self.closed)
        names = self.in_segment.pop(segment, [])
        self.finished.update(names)
        self.closed.remove(segment)
        self.log.pool.give_back(segment)
        for name in names:
            self.disk.unlink(log_folder(SPOOL, self.log.number) / "large" / name)

    def outcomes(self, *, generation: int) -> None:
        """Reads the journals, appends, syncs, compacts, appends."""
        asyncio.run(self._outcomes(generation))

    async def _outcomes(self, generation: int) -> None:
        entries = list(load_journals(SPOOL, self.disk))
        journal = Journal(SPOOL, shard=0, shards=1, generation=generation, files=self.disk)
        await self._entry(journal, is_synced=True)
        await self._entry(journal, is_synced=False)
        await self._entry(journal, is_synced=True)
        try:
            await journal.compact([*entries, *self.written])
            self.synced += [entry for entry in self.written if entry not in self.synced]
        except SpoolError:
            pass
        await self._entry(journal, is_synced=True)
        await self._entry(journal, is_synced=False)

    async def _entry(self, journal: Journal, *, is_synced: bool) -> None:
        self.made += 1
        entry = ("failed", self.name, self.made, "5.1.1")
        try:
            journal.append([entry])
            self.written.append(entry)
            if is_synced:
                await journal.sync()
                self.synced += [entry for entry in self.written if entry not in self.synced]
        except SpoolError:
            pass

    def story(self) -> None:
        """What a worker does, in short."""
        self.start()
        self.batch(300)
        self.batch(10, 5000, 4000)
        self.batch(700, 100, large=3000)
        self.batch(9000, 9000, 9000, 9000, 9000, 9000)
        self.finish(self.closed[0])
        self.outcomes(generation=1)
        self.batch(12000, 12000, 50)
        self.batch(1, large=600)
        self.finish(self.closed[0])
        self.batch(6000)
        self.stop()


class Found:
    """What a new life finds on a disk."""

    def __init__(self, disk: Disk) -> None:
        self.damages: list[Damage] = []
        self.contents: dict[str, bytes] = {}
        self.twice: set[str] = set()
        self.entries = list(load_journals(SPOOL, disk))
        reader = LogReader(SPOOL, disk)
        for log in list_logs(SPOOL, disk):
            tail = Tail(SPOOL, log, self.damages.append, files=disk)
            for records in tail.rest():
                for record in records:
                    message = reader.load(record.log, record.segment, record.offset)
                    content = bytes(message.content)
                    if record.large is not None:
                        fd = disk.open(record.large.path, 0)
                        content += disk.read(fd, 1 << 30, 0)
                        disk.close(fd)
                    if record.envelope.queue_id in self.contents:
                        self.twice.add(record.envelope.queue_id)
                    self.contents[record.envelope.queue_id] = content
        reader.close()


def finish_everything(disk: Disk) -> None:
    """Adopts all dead logs and finishes what is in them."""
    for log in list_logs(SPOOL, disk):
        adopted = adopt(SPOOL, log, disk)
        assert adopted is not None
        adopted.finished(0, (1 << 32, 0), {}, shards=1, generation=2)
        assert adopted.is_empty
