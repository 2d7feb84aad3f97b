"""Where a batch of local deliveries is: what its thread and the loop agree on.

Theory: deliveries are handed to a thread many at a time, because they share syncs. First each is prepared (its script
is run, its room looked at); what that takes depends on what strangers and owners wrote. Then all are written
together. As long as nothing is written the loop may take back all but the one that is being prepared (``split``), for
a fresh thread, so that one slow delivery does not make the others wait; and it may give that one up, too
(``give_up``). Both sides decide under a lock, so a delivery that was taken back is never written by the thread that
had it.

Not here: deliveries (local.py), threads and deadlines (relay/net/threads.py), what the loop does with what it took
back (mailbox_delivery.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum, auto

from relay.net import stopping


class _State(Enum):
    PREPARING = auto()
    SPLIT = auto()
    WRITING = auto()
    GIVEN_UP = auto()


class Batch:
    """One. ``begins`` and ``writes`` are the thread's, ``split`` and ``give_up`` the loop's."""

    __slots__ = ("_lock", "_on_delivery", "_on_writing", "_state", "at", "is_split", "since")

    def __init__(
        self,
        on_delivery: Callable[[int], object] = lambda _number: None,
        on_writing: Callable[[], object] = lambda: None,
    ) -> None:
        """``on_delivery`` is called by the thread with the number of each delivery before it is prepared,
        ``on_writing`` when all are."""
        self._lock = threading.Lock()
        self._state = _State.PREPARING
        self._on_delivery = on_delivery
        self._on_writing = on_writing
        self.at = -1
        """The delivery that is being prepared; -1 before the first."""
        self.since = 0.0
        """When that began, in seconds of CLOCK_MONOTONIC."""
        self.is_split = False
        """All but ``at`` were taken back."""

    def begins(self, number: int) -> bool:
        """Whether delivery ``number`` may be prepared; False: it was taken back, as all that follow."""
        with self._lock:
            if self._state is not _State.PREPARING:
                return False
            self.at = number
            self.since = time.monotonic()
            self._on_delivery(number)
        stopping.renew(self.since)
        return True

    def writes(self) -> bool:
        """Whether what is prepared (after a split, ``at`` alone) may be written; it is the thread's from then on."""
        with self._lock:
            if self._state is _State.GIVEN_UP:
                return False
            self._state = _State.WRITING
            self._on_writing()
        return True

    def split(self) -> bool:
        """Takes back all but the delivery that is being prepared; False when it is too late, or too early."""
        with self._lock:
            if self._state is not _State.PREPARING or self.at < 0:
                return False
            self._state = _State.SPLIT
            self.is_split = True
        return True

    def give_up(self) -> bool:
        """Takes back the delivery ``at`` after ``split``; False when it is being written, or was."""
        with self._lock:
            if self._state is not _State.SPLIT:
                return False
            self._state = _State.GIVEN_UP
        return True
