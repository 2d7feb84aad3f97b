"""Logs whose process is gone: their segments are removed as they are finished, and in the end the folder.

Theory: a dead log gets no new records, so its segments are not worth keeping. A segment goes first, then the large
files its records name: a crash in between leaves files that nobody names, never a record whose file is gone. Such
files go with the folder.

Not here: reading the records (reader.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relay.spool.errors import SpoolError
from relay.spool.files import OS, Files
from relay.spool.folder import list_segments, log_folder, own_log, remove_log_folder, segment_name
from relay.spool.reader import Tail
from relay.spool.reports import ShardReports


class AdoptedLog:
    """A dead log, locked by us: same rules for finished() as LogWriter."""

    def __init__(self, spool_dir: Path, number: int, lock_fd: int, files: Files = OS) -> None:
        self.number = number
        self.is_empty = False
        """True when nothing is left: the folder is gone."""
        self._spool_dir = spool_dir
        self._folder = log_folder(spool_dir, number)
        self._lock_fd = lock_fd
        self._files = files
        self._reports = ShardReports()
        self._segments = list_segments(spool_dir, number, files)

    def finished(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], *, shards: int, generation: int
    ) -> None:
        """As LogWriter.finished. Blocks for some milliseconds when there is something to remove; SpoolError."""
        if self.is_empty:
            return
        self._reports.report(shard, tail, outstanding, shards, generation)
        done = self._reports.finished(self._segments)
        try:
            for segment in done:
                self._remove(segment)
            if not self._segments and self._reports.finished([0]):
                self._remove_folder()
        except OSError as fault:
            raise SpoolError.of(f"{self._folder}: finished segments cannot be removed", fault) from fault

    def close(self) -> None:
        """Gives the log up; what is left of it can be adopted again."""
        if self._lock_fd >= 0:
            self._files.close(self._lock_fd)
            self._lock_fd = -1

    def _remove(self, segment: int) -> None:
        large = self._large_files(segment) if self._files.names(self._folder / "large") else []
        self._files.unlink(self._folder / segment_name(segment))
        self._files.sync_folder(self._folder)
        self._segments.remove(segment)
        for path in large:
            self._files.unlink(path)

    def _large_files(self, segment: int) -> list[Path]:
        tail = Tail(self._spool_dir, self.number, lambda _: None, is_readonly=True, files=self._files)
        tail.position = (segment, 0)
        try:
            return [record.large.path for record in tail.segment(segment) if record.large is not None]
        finally:
            tail.close()

    def _remove_folder(self) -> None:
        remove_log_folder(self._files, self._folder)
        self.is_empty = True
        self.close()


def adopt(spool_dir: Path, log: int, files: Files = OS) -> AdoptedLog | None:
    """Takes over a log; None when its owner is alive or it is gone."""
    try:
        fd = own_log(spool_dir, log, files)
    except OSError as fault:
        raise SpoolError.of(f"log {log}: cannot be adopted", fault) from fault
    return None if fd is None else AdoptedLog(spool_dir, log, fd, files)
