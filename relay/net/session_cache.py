"""TLS sessions that a client can resume, by what they may be used for: bounded in number and in time (pure).

Theory: a session stands for a handshake in which the server was accepted, so it may only be used where the same checks
would be made: the key holds all that they depend on (tls_client.py). A TLS 1.3 ticket is good for one connection
(RFC 8446 C.4), and each connection brings new ones; so a session is given out once, and several are kept for a key, for
connections that begin at the same time.

Invariants: there are never more than ``most``, nor more than ``per_key`` of one key; an expired session is never given
out.

Not here: what a session is, the clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")


class SessionCache(Generic[K, S]):
    """Times are numbers of any one clock."""

    def __init__(self, most: int, per_key: int = 4) -> None:
        self._most: Final = most
        self._per_key: Final = per_key
        self._kept: OrderedDict[K, list[tuple[float, S]]] = OrderedDict()
        """Newest last; in each list, too."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, key: K, session: S, good_until: float) -> None:
        """Keeps ``session``; forgets the oldest of the same key, or of the key that has waited longest, where there are
        too many."""
        known = self._kept.setdefault(key, [])
        self._kept.move_to_end(key)
        known.append((good_until, session))
        self._count += 1
        if len(known) > self._per_key:
            del known[0]
            self._count -= 1
        while self._count > self._most:
            self._count -= 1
            oldest = next(iter(self._kept))
            del self._kept[oldest][0]
            if not self._kept[oldest]:
                del self._kept[oldest]

    def take(self, key: K, now: float) -> S | None:
        """Removes and returns the newest session for ``key``; None when there is none."""
        known = self._kept.get(key)
        if known is None:
            return None
        good = [each for each in known if each[0] > now]
        found = good.pop()[1] if good else None
        self._count -= len(known) - len(good)
        if good:
            self._kept[key] = good
        else:
            del self._kept[key]
        return found
