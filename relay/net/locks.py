"""Waiting for a lock on a file, with an end: whoever holds it, another program or a process that hangs, holds up no
thread for ever.

Theory: ``flock`` either waits without an end or not at all, so it is asked again and again, after pauses that grow;
most locks are free, and then this costs what ``flock`` costs. A job that is to stop (stopping.py) waits no longer.

Not here: what the locks are for.
"""

from __future__ import annotations

import errno
import fcntl
import time
from typing import Final

from relay.net import stopping

LOCK_SECONDS: Final = 10.0
"""How long a lock is waited for; ours are held for some system calls, rarely for seconds."""
FIRST_PAUSE: Final = 0.0005
LONGEST_PAUSE: Final = 0.02


class Patience:
    """One wait."""

    __slots__ = ("_pause", "_until")

    def __init__(self, seconds: float = LOCK_SECONDS) -> None:
        self._until = time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def wait(self) -> None:
        """Sleeps a little, once the lock was not free. OSError ETIMEDOUT when that has gone on too long; JobStopped."""
        stopping.check()
        left = self._until - time.monotonic()
        if left <= 0:
            raise OSError(errno.ETIMEDOUT, "somebody else holds the lock")
        time.sleep(min(self._pause, left))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def lock(descriptor: int, seconds: float = LOCK_SECONDS) -> None:
    """Takes the exclusive ``flock`` of an open file. OSError ETIMEDOUT after so many seconds of waiting; JobStopped."""
    patience: Patience | None = None
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patience = patience or Patience(seconds)
            patience.wait()
        else:
            return
