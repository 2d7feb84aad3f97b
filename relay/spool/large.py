"""Large contents: a file of their own, written while they arrive.

Theory: octets are handed to a thread and written as they come; what gathers during one write goes into the next. The
file has a name that nobody looks for (``.new``) until it is complete: synced, renamed, folder synced. Only then may
the record that names it be appended, so no record on disk names a file that is not there.

Not here: the record (log.py), and who removes the file when it is finished (writer.py, adopted.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

import google_crc32c

from relay.spool.errors import SpoolError
from relay.spool.files import CREATE, Files, write_all
from relay.spool.record import pack_large

HIGH_WATER: Final = 1 << 19
"""With more octets than this waiting to be written, write() asks the caller to stop reading."""
LOW_WATER: Final = 1 << 17
SYNCED_AT_ONCE: Final = 8 << 20
"""So many octets are written, about, before they are synced: the rest that commit() has to wait for stays small, and
so does what the page cache holds that is not on the disk yet."""


class LargeContent:
    """One content streaming into ``log-N/large/<name>``; made by LogWriter.open_large or link_large.

    All methods on the loop's thread; nothing blocks. A write error shows itself in ``error`` and in commit().
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        name: str,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        on_drained: Callable[[], None] | None = None,
    ) -> None:
        self.size = 0
        """Octets handed over so far."""
        self.error: SpoolError | None = None
        """Set as soon as a write has failed; what follows is dropped."""
        self._files = files
        self._path = folder / name
        self._new = folder / (name + ".new")
        self._loop = loop
        self._executor = executor
        self._on_drained = on_drained
        self._waiting: list[bytes] = []
        self._waiting_octets = 0
        self._is_busy = False
        self._is_full = False
        self._committed: Callable[[SpoolError | None], None] | None = None
        self._readers: list[asyncio.Future[None]] = []
        self._is_aborted = False
        self._fd = -1
        self._crc = 0
        self._written = 0
        self._synced = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    def write(self, octets: bytes) -> bool:
        """Takes ``octets``; False = please stop reading from the peer until ``on_drained`` is called."""
        self.size += len(octets)
        if self.error is not None or self._is_aborted:
            return True
        self._waiting.append(octets)
        self._waiting_octets += len(octets)
        self._start()
        self._is_full = self._is_full or self._waiting_octets > HIGH_WATER
        return not self._is_full

    def commit(self, committed: Callable[[SpoolError | None], None]) -> None:
        """Syncs and publishes the file (rename, folder sync), then calls ``committed`` on the loop's thread.

        Only after that may the record be appended with it. On an error the file is removed.
        """
        self._committed = committed
        self._start()

    async def written(self) -> Path:
        """Where all octets that were handed over so far can be read, once they can; until commit() or abort(). Raises
        SpoolError when they could not be written."""
        if self.error is None and (self._is_busy or self._waiting or self._fd < 0):
            if not self._is_busy and not self._waiting:
                self._submit(self._begin)  # nothing was handed over: there is no file yet
            done: asyncio.Future[None] = self._loop.create_future()
            self._readers.append(done)
            await done
        if self.error is not None:
            raise self.error
        return self._new

    def abort(self) -> None:
        """Drops the file; at any time before the record is appended. A commit() under way is not answered."""
        if not self._is_aborted:
            self._is_aborted = True
            self._committed = None
            self._waiting.clear()
            self._start()

    @property
    def is_busy(self) -> bool:
        """Whether something is being done in the thread."""
        return self._is_busy

    def describe(self) -> bytes:
        """What the record says about the file; once it is committed."""
        return pack_large(self.name, self._written, self._crc)

    def adopt(self, path: Path, size: int, crc: int, committed: Callable[[SpoolError | None], None]) -> None:
        """Instead of write() and commit(): the content of an existing file, under a second name."""
        self.size = self._written = size
        self._crc = crc
        self._committed = committed
        self._submit(lambda: self._link(path))

    def _start(self) -> None:
        """Hands the next job to the thread, when it is free."""
        if self._is_busy:
            return
        if self._waiting:
            octets, self._waiting = self._waiting, []
            self._submit(lambda: self._write(octets))
        elif self._is_aborted:
            self._submit(self._remove)
        elif self._committed is not None:
            self._submit(self._remove if self.error is not None else self._publish)

    def _submit(self, job: Callable[[], bool]) -> None:
        self._is_busy = True
        try:
            self._executor.submit(self._run, job)
        except RuntimeError:  # the writer is closed; the file goes with the log's folder
            self._loop.call_soon(self._ran, True, SpoolError("the spool is closed"))

    def _run(self, job: Callable[[], bool]) -> None:
        """In the thread. A job returns whether the file is settled: published or removed."""
        fault: SpoolError | None = None
        is_settled = False
        try:
            is_settled = job()
        except OSError as cause:
            fault = SpoolError.of(f"{self._path}: cannot be written", cause)
        # When the loop is closed nobody waits any more; the next owner of the log removes the file.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ran, is_settled, fault)

    def _ran(self, is_settled: bool, fault: SpoolError | None) -> None:
        self._is_busy = False
        self.error = self.error or fault
        if fault is not None:
            self._waiting.clear()
        self._waiting_octets = sum(map(len, self._waiting))
        if not self._waiting or self.error is not None:
            readers, self._readers = self._readers, []
            for reader in readers:
                if not reader.done():
                    reader.set_result(None)
        if not is_settled:
            self._start()
        elif self._committed is not None:
            committed, self._committed = self._committed, None
            committed(self.error)
        elif self._is_aborted and self._files.file_size(self._path) is not None:
            self._submit(self._remove)  # aborted while it was being published
        if self._is_full and self._waiting_octets <= LOW_WATER:
            self._is_full = False
            if self._on_drained is not None and not self._is_aborted:
                self._on_drained()

    def _begin(self) -> bool:
        self._open()
        return False

    def _write(self, octets: list[bytes]) -> bool:
        self._open()
        for part in octets:
            self._crc = google_crc32c.extend(self._crc, part)
        self._written = write_all(self._files, self._fd, octets, self._written)
        if self._written - self._synced >= SYNCED_AT_ONCE:
            self._files.sync(self._fd)
            self._synced = self._written
        return False

    def _publish(self) -> bool:
        self._open()
        self._files.sync(self._fd)
        self._close()
        self._files.rename(self._new, self._path)
        self._files.sync_folder(self._path.parent)
        return True

    def _link(self, path: Path) -> bool:
        self._files.link(path, self._path)
        self._files.sync_folder(self._path.parent)
        return True

    def _remove(self) -> bool:
        self._close()
        with contextlib.suppress(OSError):  # what cannot be removed goes with the log's folder
            self._files.unlink(self._new)
            self._files.unlink(self._path)
        return True

    def _open(self) -> None:
        if self._fd < 0:
            self._fd = self._files.open(self._new, CREATE)

    def _close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
