"""Signals as numbers to be read from a pipe, so that the supervisor's one loop sees them among everything else.

Theory: CPython's C handler writes the signal's number to the wake-up descriptor at once; the Python handlers have
nothing to do. Trap: after a fork the child shares the pipe. A signal that reaches the child before it has let go of it
would be read by the parent as its own. So signals are blocked across the fork.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HANDLED: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Signals:
    """The supervisor's signals, from ``install`` on."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def install(self) -> None:
        """From now on the handled signals come out of ``read`` and do nothing else."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _nothing)

    def fileno(self) -> int:
        """Readable when ``read`` has something."""
        return self._reader

    def read(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Signals that arrive inside wait until the end of it: fork here."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def let_go(self) -> None:
        """In the child, inside ``blocked``: as if nothing had been installed. SIGCHLD and SIGTERM do their default."""
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        self.close()

    def close(self) -> None:
        """Closes the pipe."""
        os.close(self._reader)
        os.close(self._writer)


def _nothing(_number: int, _frame: object) -> None:
    """The number is in the pipe already."""
