"""Whose job is next: fair turns among keys (accounts, networks), and no more at once for one key than its share.

Theory: each key has a queue. Keys that wait and are below their share stand in a ring; ``take`` gives the first one's
oldest job and puts the key behind the others. So one key with a thousand jobs delays another by one job, and however
slow its jobs are it never has more than ``share`` of the threads.

Cost: put, take and done are O(1); drop is O(jobs of that key that wait).

Not here: threads, deadlines (threads.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """Jobs that wait, and how many of each key are being worked on."""

    def __init__(self, share: int) -> None:
        """``share``: jobs of one key at the same time, at least 1."""
        if share < 1:
            raise ValueError("a share is at least one job")
        self.share: Final = share
        self._queues: dict[Hashable, deque[T]] = {}
        self._busy: dict[Hashable, int] = {}
        self._ring: dict[Hashable, None] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._waiting

    def busy(self, key: Hashable) -> int:
        """Jobs of ``key`` that were taken and are not done."""
        return self._busy.get(key, 0)

    def put(self, key: Hashable, job: T) -> None:
        """A job comes in."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(job)
        self._waiting += 1
        if self._busy.get(key, 0) < self.share:
            self._ring[key] = None

    def take(self) -> T | None:
        """The job that is next; ``done`` with its key follows. None: nothing waits that may begin."""
        key = next(iter(self._ring), None)
        if key is None:
            return None
        del self._ring[key]
        queue = self._queues[key]
        job = queue.popleft()
        self._waiting -= 1
        busy = self._busy[key] = self._busy.get(key, 0) + 1
        if not queue:
            del self._queues[key]
        elif busy < self.share:
            self._ring[key] = None
        return job

    def done(self, key: Hashable) -> None:
        """A job of ``key`` that was taken is over."""
        busy = self._busy[key] - 1
        if busy:
            self._busy[key] = busy
        else:
            del self._busy[key]
        if key in self._queues:
            self._ring.setdefault(key)

    def drop(self, key: Hashable, job: T) -> bool:
        """Takes out a job that waits; False when it does not."""
        queue = self._queues.get(key)
        if queue is None or job not in queue:
            return False
        queue.remove(job)
        self._waiting -= 1
        if not queue:
            del self._queues[key]
            self._ring.pop(key, None)
        return True
