"""Where log lines go: a bounded buffer that one thread empties in batches.

Theory: the event loop only copies a line into a buffer (_line_buffer.pyx). A thread gathers for a moment, takes what is
there and writes it, so a slow disk, a stopped reader of a pipe or a full file system delays lines but never a session.
What waits is bounded: when the buffer is full, new lines are dropped and counted, and the log says so when it flows
again.

Lines of several processes never mix: every write happens under a POSIX record lock on the destination itself. Such a
lock belongs to the process, not to the open file (as flock does), so it holds between processes that inherited one
descriptor by fork, it needs no lock file, and it works on files, pipes, sockets and terminals alike. It goes when
its process dies. Its trap: closing another descriptor of the same file releases it; here that happens only in the
thread itself, between two writes.

What fails: no space, quota, I/O error - the batch is kept and tried again with back-off, and what was half written is
cut off, so that the file stays a sequence of whole lines; a reader that is gone (EPIPE) - the batch is lost and
counted. Nothing raised in here reaches the process.

It is on the way of every message, so it is compiled (sink.pxd); it says the same without.

Not here: what a line looks like (lines.py). A sink belongs to one process: make it after the fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from relay.telemetry import lines, metrics
from relay.telemetry._line_buffer import WaitingLines, count_lines

GATHER_SECONDS: Final = 0.1
"""How long the thread lets lines gather before it writes; each time it takes the interpreter's lock from the loop."""
_FASTEST: Final = 40_000_000
"""Octets of lines that a process makes in a second at most: a small buffer is emptied before it can be full."""
CHUNK: Final = 256 * 1024
"""Octets (about) written under one lock."""
BACK_OFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
"""Pauses after failed writes, the last one again and again."""
DEFAULT_LIMIT: Final = 8 * 1024 * 1024
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ENXIO})
_STREAMS: Final = {"stdout": 1, "stderr": 2}
_DROPPED: Final = 0
_TAKEN: Final = 1


class LogSink:
    """One process's way to the log; append() and event() may be called from any thread."""

    def __init__(
        self,
        destination: str | Path,
        limit: int = DEFAULT_LIMIT,
        *,
        row: memoryview[int] | None = None,
        identity: Mapping[str, str | int] | None = None,
    ) -> None:
        """``destination`` is ``stdout``, ``stderr`` or a file that is appended to (made with mode 0640).

        ``limit`` bounds the octets that wait to be written. ``row`` takes the counters; ``identity`` (role, slot,
        generation) goes into events. Raises OSError when the file cannot be opened. The thread starts with the
        first line.
        """
        self._path = None if str(destination) in _STREAMS else Path(destination)
        self._fd = _STREAMS[str(destination)] if self._path is None else _open(self._path)
        self._row = row
        self._identity: dict[str, str | int] = {**(identity or {}), "pid": os.getpid()}
        self._waiting = WaitingLines(limit)
        self._gather = min(GATHER_SECONDS, limit / _FASTEST)
        self._lock = threading.Lock()
        """For the number of lost lines, and for the start of the thread."""
        self._lost = 0
        self._lost_told = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._reopen = False
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> int:
        """Lines dropped so far."""
        return self._lost

    @property
    def buffered(self) -> int:
        """Octets that wait to be written."""
        return self._waiting.octets

    def append(self, line: bytes) -> None:
        """Takes one whole line (a missing LF is added), or several; never waits and never raises.

        They are written later, and never synced. When the buffer is full or the sink closed, they are dropped and
        counted.
        """
        taken = self._waiting.put(line)
        if taken == _TAKEN and self._thread is not None:
            return
        if taken == _DROPPED:
            self._count_lost(count_lines(line) + (not line.endswith(b"\n")))
            return
        if self._thread is None:
            self._start()
        self._wake.set()

    def event(self, level: str, event: str, /, **fields: object) -> None:
        """Writes an operational event: ``sink.event(lines.WARNING, "reload refused", file=path, errors=3)``."""
        self.append(lines.event(level, event, self._identity, fields))

    def reopen(self) -> None:
        """Opens the file anew before the next write (after logrotate moved it); nothing for stdout and stderr.

        When that fails, lines go on into the old file and an event says so.
        """
        self._reopen = True
        self._wake.set()

    async def close(self, within: float = 5.0) -> bool:
        """finish() without holding up the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.finish, within)

    def finish(self, within: float = 5.0) -> bool:
        """Writes all that waits and ends the thread; whether everything was written.

        Lines appended from now on are dropped. Waits ``within`` seconds at most: a destination that takes nothing for
        so long does not keep the process from ending.
        """
        self._waiting.close()
        self._closing.set()
        self._wake.set()
        if self._waiting.octets:
            self._start()  # the first line may have come from another thread, which has not started it yet
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(within)
            if thread.is_alive():
                self._count_lost(self._waiting.drop())
                return False
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        unwritten = self._waiting.drop()  # no thread was to be had
        self._count_lost(unwritten)
        return unwritten == 0

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            # No thread to be had now (RuntimeError): the lines wait, and the next one tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(self._gather)
            self._wake.clear()
            # Looked at before the last taking: what came in before finish() was called is in the buffer by then.
            is_last = self._closing.is_set()
            if self._reopen:
                self._reopen = False
                self._open_anew()
            while chunk := self._waiting.take(CHUNK):
                try:
                    self._write(chunk)
                    self._tell_lost()
                except Exception:  # noqa: BLE001 - out of memory, at worst: the log goes on with what comes next
                    self._forget(chunk)
            if is_last:
                return

    def _write(self, rest: bytes) -> None:
        """Writes lines, trying again for as long as that makes sense."""
        failures = 0
        while rest:
            written, fault = write_whole_lines(self._fd, rest)
            self._count_written(rest[:written])
            rest = rest[written:]
            if fault is None:
                failures = 0
                continue
            self._count_failure()
            if fault.errno in _GONE or (self._closing.is_set() and failures >= len(BACK_OFF_SECONDS)):
                self._drop(rest)
                break
            # While closing, tries follow each other quickly: the caller of finish() waits.
            pause = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)]
            failures += 1
            if self._closing.wait(pause):
                time.sleep(0.1)
            if self._reopen:
                self._reopen = False
                self._open_anew()

    def _open_anew(self) -> None:
        if self._path is None:
            return
        try:
            fd = _open(self._path)
        except OSError as fault:
            self.event(lines.ERROR, "log not reopened", path=self._path, error=fault)
            return
        old, self._fd = self._fd, fd
        with contextlib.suppress(OSError):
            os.close(old)

    def _tell_lost(self) -> None:
        """Says how many lines are missing, once lines can be written again."""
        count = self._lost - self._lost_told
        if count:
            line = lines.event(lines.ERROR, "log lines lost", self._identity, {"count": count})
            if write_whole_lines(self._fd, line)[1] is None:
                self._lost_told += count

    def _forget(self, chunk: bytes) -> None:
        self._waiting.forget()
        self._count_lost(count_lines(chunk))

    def _drop(self, octets: bytes) -> None:
        self._waiting.settle(len(octets))
        self._count_lost(count_lines(octets))

    def _count_written(self, octets: bytes) -> None:
        self._waiting.settle(len(octets))
        if self._row is not None:
            self._row[_LINES] += count_lines(octets)
            self._row[_OCTETS] += len(octets)
            self._row[_BUFFERED] = self._waiting.octets

    def _count_failure(self) -> None:
        if self._row is not None:
            self._row[_FAILURES] += 1
            self._row[_BUFFERED] = self._waiting.octets

    def _count_lost(self, count: int) -> None:
        with self._lock:  # both the loop's thread and the sink's own count here
            self._lost += count
            if self._row is not None:
                self._row[_LOST] += count


def write_whole_lines(fd: int, octets: bytes) -> tuple[int, OSError | None]:
    """Writes whole lines under the destination's lock: how many octets were written, and what stopped it.

    Never fewer than whole lines: what was written of a line that did not fit is taken back where that is possible (a
    regular file that nobody else has appended to meanwhile). Waits for a pipe that is full.
    """
    locked = _locked(fd)
    done = 0
    try:
        while done < len(octets):
            try:
                done += os.write(fd, memoryview(octets)[done:])
            except BlockingIOError:
                select.select([], [fd], [], 1.0)
        return done, None
    except OSError as fault:
        whole = octets.rfind(b"\n", 0, done) + 1
        if done > whole and not _take_back(fd, done - whole):
            with contextlib.suppress(OSError):
                os.write(fd, b"\n")
        return whole, fault
    finally:
        if locked:
            with contextlib.suppress(OSError):
                fcntl.lockf(fd, fcntl.LOCK_UN)


def _locked(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)
    except OSError:
        return False  # A file system without locks: lines are still written, in one write each batch.
    return True


def _take_back(fd: int, count: int) -> bool:
    """Cuts ``count`` octets, written last, off a regular file."""
    try:
        found = os.fstat(fd)
        end = os.lseek(fd, 0, os.SEEK_CUR)
        if not stat.S_ISREG(found.st_mode) or found.st_size != end:
            return False
        os.ftruncate(fd, end - count)
        os.lseek(fd, end - count, os.SEEK_SET)
    except OSError:
        return False
    return True


def _open(path: Path) -> int:
    # O_NONBLOCK only for the opening: a FIFO without a reader is an error at once instead of a process that hangs.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    fd = os.open(path, flags, 0o640)
    os.set_blocking(fd, True)
    return fd


_LINES: Final = metrics.index("relay_log_lines_total")
_OCTETS: Final = metrics.index("relay_log_written_bytes_total")
_LOST: Final = metrics.index("relay_log_lines_lost_total")
_FAILURES: Final = metrics.index("relay_log_write_failures_total")
_BUFFERED: Final = metrics.index("relay_log_buffered_bytes")
