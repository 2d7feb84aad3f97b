"""The supervisor's own lines in the log: events only, written without a thread and without ever waiting.

Theory: the workers' sink (relay/telemetry/sink.py) writes from a thread; the parent of forks must not have one. Events
are few, so they are written at once where the destination takes them, and otherwise kept, up to a bound, for the next
turn of the loop. The lines take the same lock as the workers' batches do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
from collections import deque
from typing import Any, Final

from relay.config.model import Config
from relay.telemetry import lines, metrics

MAX_WAITING: Final = 1000
"""Lines; the oldest are dropped and counted."""


class EventLog:
    """Events of the supervisor. Nothing here raises."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._destination = "stderr"
        self._fd = 2
        self._lost = metrics.index("relay_log_lines_lost_total")
        self._written = metrics.index("relay_log_lines_total")

    def open(self, config: Config) -> None:
        """From now on to the configuration's destination, which is opened anew (it may have been rotated away).

        Where that fails, lines go on to where they went.
        """
        destination = config.log.destination
        if destination in {"stdout", "stderr"}:
            fd = 1 if destination == "stdout" else 2
        else:
            try:
                fd = os.open(destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
            except OSError as fault:
                self.event("error", "log not opened", path=destination, error=str(fault))
                return
        self.close()
        self._destination, self._fd = str(destination), fd

    @property
    def destination(self) -> str:
        """Where the lines go: ``stdout``, ``stderr`` or a path."""
        return self._destination

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Writes one event, now or a little later."""
        if len(self._waiting) == MAX_WAITING:
            self._row[self._lost] += 1
        self._waiting.append(lines.event(level, event, {"role": "supervisor", "pid": os.getpid()}, fields))
        self.flush()

    def flush(self, within: float = 0.0) -> None:
        """Writes what waits as far as the destination takes it, within so many seconds for each line."""
        while self._waiting:
            if not self._is_writable(within):
                return
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:
                pass  # a destination without locks
            try:
                os.write(self._fd, self._waiting[0])
                self._row[self._written] += 1
            except BlockingIOError:
                return
            except OSError:
                self._row[self._lost] += 1  # full disk, reader gone: an event is not worth more than the mail
            finally:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._fd, fcntl.LOCK_UN)
            self._waiting.popleft()

    def close(self) -> None:
        """Closes a file of our own; what waits stays."""
        if self._fd > 2:
            os.close(self._fd)
        self._fd = 2

    def _is_writable(self, within: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(within * 1000))


def say(text: str) -> None:
    """One line on stderr for whoever started the program by hand."""
    with contextlib.suppress(OSError, ValueError):
        print(f"relay: {text}", file=sys.stderr, flush=True)
