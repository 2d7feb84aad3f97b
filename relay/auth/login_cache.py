"""Logins that were right a short while ago, so that a client that comes every minute costs no argon2 each time.

Theory, as an attacker sees it. What is kept is a mark: HMAC under a key that only this process knows, over the client's
network, the account's line in the file and the password. So

- a mark is worth nothing without this process's memory, in which passwords pass by anyway, and is gone with it;
- a changed or removed password, or account, makes its marks useless at once, since the line is part of them;
- a guess from another network never meets a mark, so the quick way out is no oracle for strangers; from the same
  network a wrong guess goes the whole way, is charged and slowed like any other, and takes as long as for an unknown
  account; a right one is answered quickly, which gives away no more than the answer itself.

Invariants: at most ``limit`` marks, none older than ``lifetime``; ``now`` in seconds, monotonic.

Not here: who asks (authenticator.py).
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from relay.auth.throttle import Network


class Remembered:
    """The marks of one process."""

    def __init__(self, key: bytes, lifetime: float, limit: int) -> None:
        self._key = key
        self._lifetime = lifetime
        self._limit = limit
        self._marks: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, network: Network, account_hash: str, password: str) -> bytes:
        """The mark of a login."""
        parts = (str(network).encode(), account_hash.encode(), password.encode())
        return hmac.digest(self._key, b"".join(len(part).to_bytes(4) + part for part in parts), "sha256")

    def holds(self, mark: bytes, now: float) -> bool:
        """Whether that login was right within ``lifetime``."""
        since = self._marks.get(mark)
        if since is None:
            return False
        if now - since >= self._lifetime:
            del self._marks[mark]
            return False
        return True

    def add(self, mark: bytes, now: float) -> None:
        """It was right just now."""
        if not self._lifetime:
            return
        self._marks[mark] = now
        self._marks.move_to_end(mark)
        while self._marks and (len(self._marks) > self._limit or self._is_old(now)):
            self._marks.popitem(last=False)

    def _is_old(self, now: float) -> bool:
        return now - next(iter(self._marks.values())) >= self._lifetime
