"""The mark that asks a job in a thread to stop: its peer is gone, or its time is over.

Theory: a thread cannot be ended from outside, so long work looks now and then whether anybody still wants it: once for
each message, for each piece that is read, for each turn of a loop over what a stranger wrote. ``check`` costs one look
at the thread's own mark, so it may stand anywhere, and needs no argument that is handed down.

In a thread that works for no job (a test, a command line) nothing is ever stopped.

Not here: who sets marks, and what becomes of a thread that does not look (threads.py).
"""

from __future__ import annotations

import threading
from typing import Final

DEADLINE: Final = "deadline"
"""The job has taken longer than it may, or has waited so long for a thread."""
GONE: Final = "gone"
"""Nobody waits for its result any more."""


class JobStopped(Exception):  # noqa: N818 - it is an answer
    """The job was asked to stop; its text is the cause, ``DEADLINE`` or ``GONE``."""

    @property
    def cause(self) -> str:
        """Why."""
        return str(self.args[0]) if self.args else DEADLINE


class Mark:
    """One job's. Written by the loop's thread, but for ``since``."""

    __slots__ = ("cause", "since")

    def __init__(self) -> None:
        self.cause = ""
        """Why the job is to stop; empty: it may go on."""
        self.since = 0.0
        """Seconds of CLOCK_MONOTONIC when a thread began with it, or with its present part; 0.0: none has begun."""


class _Here(threading.local):
    mark = Mark()


_here: Final = _Here()


def enter(mark: Mark) -> None:
    """This thread works for the job of ``mark`` from now on."""
    _here.mark = mark


def renew(now: float) -> None:
    """The next part of this thread's job begins: its time is counted anew from ``now`` (CLOCK_MONOTONIC)."""
    mark = _here.mark
    mark.since, mark.cause = now, ""


def check() -> None:
    """Raises JobStopped when the job that this thread works for is to stop."""
    cause = _here.mark.cause
    if cause:
        raise JobStopped(cause)
