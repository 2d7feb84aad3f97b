"""The keys that session tickets are sealed with: made from one secret, the same in every process, changed every hour.

Theory: a client that has been here before shows a ticket, and both sides are spared most of the handshake (RFC 5077,
RFC 8446 2.2). Whichever worker it comes to must be able to open the ticket, so all workers of all generations need the
same keys at the same time, without talking to each other. They get a secret from the supervisor by fork and then turn a
chain: from the secret of an hour come the ticket key of that hour and the secret of the next, and the secret itself is
forgotten. So a worker that lives for a month and one that was forked just now agree, and what is in a process's memory
opens no ticket older than their lifetime.

Hours are counted on CLOCK_MONOTONIC, which is one for all processes of a machine. The key of the coming hour is known
ahead, since workers turn their chains within a second of each other, not in the same instant.

Invariants: keys never reach a disk; a key is used to seal for one hour and to open for as long as a ticket may live.

Not here: how OpenSSL is given them (_tickets.pyx), the clock.
"""

from __future__ import annotations

import hashlib
import secrets
from math import ceil, floor
from typing import Final

HOUR: Final = 3600.0
KEY_SIZE: Final = 80
"""Octets: 16 of name, 32 of HMAC-SHA-256 key, 32 of AES-256 key."""


class TicketKeys:
    """The keys that are good now. Starts at ``now`` with a new secret; copied to every child by fork."""

    def __init__(self, now: float) -> None:
        self._hour = floor(now / HOUR)
        self._secret = secrets.token_bytes(32)
        """Of the hour after the last in ``_keys``."""
        self._next = self._hour
        self._keys: dict[int, bytes] = {}
        self.advance(now, 0.0)

    def advance(self, now: float, lifetime: float) -> bool:
        """Makes the keys up to the coming hour, and forgets those that no ticket of ``lifetime`` seconds can need.

        Whether there is a new key. Cheap when there is none. A clock that goes back changes nothing.
        """
        self._hour = max(self._hour, floor(now / HOUR))
        if self._hour + 1 < self._next:
            return False
        while self._next <= self._hour + 1:
            self._keys[self._next] = hashlib.shake_256(b"relay ticket key" + self._secret).digest(KEY_SIZE)
            self._secret = hashlib.sha256(b"relay ticket secret" + self._secret).digest()
            self._next += 1
        oldest = self._hour - ceil(lifetime / HOUR)
        self._keys = {hour: key for hour, key in self._keys.items() if hour >= oldest}
        return True

    def window(self) -> tuple[list[bytes], int]:
        """Every key that opens tickets, newest first, and the index of the one that seals them."""
        hours = sorted(self._keys, reverse=True)
        return [self._keys[hour] for hour in hours], hours.index(self._hour)
