"""The outcomes journal: what became of the records, as each delivery worker saw it.

Theory: entries are appended in batches with one write and no sync. That survives the death of the process; a power
failure may lose the last ones, and then a delivery is repeated, which SMTP cannot exclude anyway. How much that can be
is bounded by its owner, who syncs what ``is_dirty`` now and then, and waits for it nowhere. What changes what a sender
is told is synced by its caller first.

A journal is compacted by starting over: new entries go to a new file at once, the state as of that moment is written
to another one (numbered before it) in a thread, and when that is published, the old files go. A crash at any point
leaves files which, read in the order of their numbers, tell the same story, some of it twice.

Each shard copies only its own share of what it has read from the journals of earlier lives, so such a journal can go
only when every shard has absorbed it. The heads of the journals say who has absorbed what: whoever compacts last
removes the old ones, and nobody has to coordinate anything.

Not here: what the entries mean (relay/queue/ledger.py), and how they are framed (frames.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from relay.spool.errors import SpoolError
from relay.spool.files import CREATE, OS, READ, Files, write_all
from relay.spool.folder import current_run, journal_name, list_journals, next_number
from relay.spool.frames import Entry, JournalHead, JournalOctets, pack_entries, pack_frame, pack_journal_head
from relay.spool.record import new_mark

__all__ = ["Entry", "Journal", "load_journals"]

_PER_FRAME: Final = 1000
_SMALL: Final = 4 << 20
"""Below this a journal is not worth compacting."""


class _File:
    """One open journal file; under a name that nobody reads until publish()."""

    def __init__(self, files: Files, folder: Path, number: int, head: JournalHead) -> None:
        self.number = number
        self.mark = new_mark()
        self.path = folder / journal_name(number)
        self._new = self.path.with_suffix(".new")
        self._files = files
        self.fd = files.open(self._new, CREATE)
        try:
            self.end = write_all(files, self.fd, [pack_journal_head(self.mark, head)], 0)
        except OSError:
            files.close(self.fd)
            raise
        self.start = self.end
        self.synced = self.end
        """Up to here it was there when the last sync that went well began."""
        self.is_broken = False
        """A sync has failed: what is in it cannot be trusted to be on the disk, now or later."""

    def publish(self) -> None:
        """Synced, renamed, folder synced. So a journal that is there always has a good head."""
        self._files.sync(self.fd)
        self._files.rename(self._new, self.path)
        self._files.sync_folder(self.path.parent)

    def append(self, entries: Sequence[Entry]) -> None:
        """*Written*; OSError, and then nothing of it stays."""
        frame = pack_frame(self.mark, pack_entries(entries))
        try:
            self.end = write_all(self._files, self.fd, [frame], self.end)
        except OSError:
            self._files.truncate(self.fd, self.end)
            raise


class Journal:
    """The journal of one delivery worker (shard) for one life of its process; writes block, into the page cache.

    To be opened after load_journals: all that existed then counts as absorbed by the first compact().
    """

    def __init__(
        self,
        spool_dir: Path,
        *,
        shard: int,
        shards: int,
        generation: int,
        on_sync: Callable[[float, bool], None] | None = None,
        files: Files = OS,
    ) -> None:
        """``on_sync(seconds, is_synced)`` is called after each sync that was asked for."""
        self.written_bytes = 0
        """Octets appended and compacted so far; for metrics."""
        self._on_sync = on_sync
        self._files = files
        self._spool_dir = spool_dir
        self._folder = spool_dir / "journal"
        self._compacted_size = 0
        self._running: asyncio.Task[None] | None = None
        self._compacting = asyncio.Lock()
        self._repeat: list[Sequence[Entry]] | None = None
        """What is appended between the call of compact() and the new file: it must stand in that one as well."""
        self._old: list[_File] = []
        """What compact() has not replaced yet: to be synced together with the new file until it has."""
        try:
            self._absorbs = list_journals(spool_dir, files)
            self._head = JournalHead(current_run(spool_dir, files), generation, shard, shards, ())
            self._file = self._new()
        except OSError as fault:
            raise SpoolError.of(f"{self._folder}: a journal cannot be made", fault) from fault

    @property
    def number(self) -> int:
        """The number of the file that is being appended to."""
        return self._file.number

    @property
    def size(self) -> int:
        """Octets appended since the last compact()."""
        return self._file.end - self._file.start

    @property
    def wants_compaction(self) -> bool:
        """Whether the file has outgrown the state it describes, or a failed sync must be repaired."""
        is_broken = self._file.is_broken or any(file.is_broken for file in self._old)
        return is_broken or self.size > max(_SMALL, 2 * self._compacted_size)

    @property
    def is_dirty(self) -> bool:
        """Whether anything was written that is not known to be synced."""
        return any(file.end > file.synced for file in (*self._old, self._file))

    def append(self, entries: Sequence[Entry]) -> None:
        """*Written*, not synced, with one write: survives the death of the process, not of the machine.

        SpoolError when the disk refuses; then nothing of it stays, and it can be tried again.
        """
        before = self._file.end
        try:
            self._file.append(entries)
        except OSError as fault:
            raise SpoolError.of(f"{self._file.path}: cannot be written", fault) from fault
        self.written_bytes += self._file.end - before
        if self._repeat is not None:
            self._repeat.append(entries)

    async def sync(self) -> None:
        """*Synced* when it returns: everything appended before the call. Callers share syncs.

        SpoolError on failure: then nothing since the last good sync counts as durable, and only compact() repairs it.
        """
        running = self._running
        if running is not None:  # it may have begun before our entries were written: wait for the one after it
            await asyncio.wait([running])
        if self._running is running or self._running is None:
            self._running = asyncio.ensure_future(self._sync())
        await asyncio.shield(self._running)

    async def _sync(self) -> None:
        for file in (*self._old, self._file):
            if file.is_broken:
                raise SpoolError(f"{file.path}: an earlier sync failed")
            began, end = time.perf_counter(), file.end
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._files.sync, file.fd)
            except OSError as fault:
                file.is_broken = True
                self._tell(began, is_synced=False)
                raise SpoolError.of(f"{file.path}: sync failed", fault) from fault
            file.synced = max(file.synced, end)
            self._tell(began, is_synced=True)

    def _tell(self, began: float, *, is_synced: bool) -> None:
        if self._on_sync is not None:
            self._on_sync(time.perf_counter() - began, is_synced)

    async def compact(self, entries: Iterable[Entry]) -> None:
        """Replaces everything this journal said by ``entries``: this shard's share of the whole state as of the call.

        They are consumed in a thread, so hand over a list, or an iterator over what does not change. What is appended
        meanwhile is kept. Published when it returns; after a SpoolError the old files stay valid and it can be tried
        again. Then removes all journals that are absorbed: our own older ones, and those of earlier lives once every
        shard has absorbed them.
        """
        async with self._compacting:
            try:
                await self._compact(iter(entries))
            except OSError as fault:
                raise SpoolError.of(f"{self._folder}: cannot be compacted", fault) from fault
            finally:
                self._repeat = None

    async def _compact(self, entries: Iterator[Entry]) -> None:
        loop = asyncio.get_running_loop()
        self._repeat = []
        snapshot, fresh = await loop.run_in_executor(None, self._next_files)
        try:
            for some in self._repeat:
                fresh.append(some)
        except OSError:
            self._absorbs.append(fresh.number)
            self._files.close(fresh.fd)
            raise
        self._repeat = None
        self._old.append(self._file)
        self._file = fresh
        absorbed = (*self._absorbs, *(file.number for file in self._old))
        await loop.run_in_executor(None, self._write_snapshot, snapshot, absorbed, entries, fresh)
        self.written_bytes += self._compacted_size
        existing = list_journals(self._spool_dir, self._files)
        self._absorbs = [number for number in (*absorbed, snapshot) if number in existing]
        old, self._old = self._old, []
        if self._running is not None:  # a sync under way still uses the old descriptors
            await asyncio.wait([self._running])
        for file in old:
            self._files.close(file.fd)

    def _next_files(self) -> tuple[int, _File]:
        """The number of the compacted file, and the new file to append to, which comes after it."""
        return next_number(self._spool_dir, "journal", self._files), self._new()

    def _new(self) -> _File:
        number = next_number(self._spool_dir, "journal", self._files)
        file = _File(self._files, self._folder, number, self._head)
        try:
            file.publish()
        except OSError:
            self._files.close(file.fd)
            raise
        return file

    def _write_snapshot(self, number: int, absorbed: tuple[int, ...], entries: Iterator[Entry], fresh: _File) -> None:
        file = _File(self._files, self._folder, number, self._head._replace(absorbed=absorbed))
        try:
            while some := list(islice(entries, _PER_FRAME)):
                file.append(some)
            self._files.sync(fresh.fd)  # what it repeats of the old file may have been promised to be synced
            file.publish()
        finally:
            self._files.close(file.fd)
        self._compacted_size = file.end
        remove_absorbed(self._spool_dir, self._files)

    async def close(self) -> None:
        """Synced and closed; SpoolError when the sync fails."""
        try:
            await self.sync()
        finally:
            for file in (*self._old, self._file):
                self._files.close(file.fd)


def _read(files: Files, path: Path) -> bytes | None:
    try:
        fd = files.open(path, READ)
    except FileNotFoundError:
        return None
    try:
        return files.read(fd, files.size(fd), 0)
    finally:
        files.close(fd)


def load_journals(spool_dir: Path, files: Files = OS) -> Iterator[Entry]:
    """The entries of all journals in the order of their making; torn and damaged parts are skipped. OSError."""
    for number in list_journals(spool_dir, files):
        if (octets := _read(files, spool_dir / "journal" / journal_name(number))) is not None:
            yield from JournalOctets(octets).entries()


def read_journals(spool_dir: Path, files: Files = OS) -> Iterator[tuple[int, JournalOctets]]:
    """Each journal by number, for looking at it closely."""
    for number in list_journals(spool_dir, files):
        if (octets := _read(files, spool_dir / "journal" / journal_name(number))) is not None:
            yield number, JournalOctets(octets)


def absorbed_journals(heads: Mapping[int, JournalHead]) -> set[int]:
    """The numbers of journals that, by what the ``heads`` of all others say, no longer have to be read. Pure.

    A journal is superfluous when a later one of the same shard in the same epoch has absorbed it (it held only that
    shard's entries), or when all shards of one epoch have.
    """
    gone: set[int] = set()
    by_epoch: dict[tuple[tuple[int, int, int], int], set[int]] = {}
    for number, head in heads.items():
        for old in head.absorbed:
            by_epoch.setdefault((head.epoch, old), set()).add(head.shard)
            older = heads.get(old)
            if older is not None and old < number and (older.epoch, older.shard) == (head.epoch, head.shard):
                gone.add(old)
    gone.update(old for (epoch, old), shards in by_epoch.items() if len(shards) == epoch[2])
    return gone


def remove_absorbed(spool_dir: Path, files: Files = OS) -> list[int]:
    """Removes the journals that are absorbed; their numbers. OSError."""
    folder = spool_dir / "journal"
    heads: dict[int, JournalHead] = {}
    numbers = list_journals(spool_dir, files)
    for number in numbers:
        if (octets := _read_start(files, folder / journal_name(number))) is None:
            continue
        if (head := JournalOctets(octets).head) is not None:
            heads[number] = head
    gone = [number for number in numbers if number in absorbed_journals(heads)]
    for number in gone:
        files.unlink(folder / journal_name(number))
    return gone


def _read_start(files: Files, path: Path) -> bytes | None:
    try:
        fd = files.open(path, READ)
    except FileNotFoundError:
        return None
    try:
        return files.read(fd, 1 << 16, 0)
    finally:
        files.close(fd)
