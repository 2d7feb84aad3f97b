"""The feeds of one delivery worker that are open: of client sessions (feed.py) and of lanes of mailboxes (lanes.py).

Compiled, because a feed asks it for each message whether it may take one (feeds.pxd); it behaves identically
uncompiled.

Not here: opening them (outbound.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay.telemetry import metrics


class OpenFeed(Protocol):
    """How an open feed is ended, by and by (Outbound.drain)."""

    def quit(self) -> None:
        """Ends it once what it has taken is delivered."""

    def withdraw(self) -> None:
        """Ends it unless the next hop might have accepted what it has not answered for."""

    def abort(self) -> None:
        """Ends it now."""


class Feeds:
    """Who is open, and whether anybody may still take a message."""

    __slots__ = ("_open", "_opened", "_row", "changed", "is_draining", "open")

    def __init__(self, row: memoryview[int], changed: Callable[[], None]) -> None:
        self._row = row
        self._opened = metrics.index("relay_delivery_connections_total", "opened")
        self._open = metrics.index("relay_delivery_connections_open")
        self.changed = changed
        """``Shard.wakeup.changed``."""
        self.is_draining = False
        """From then on nothing is taken."""
        self.open: set[OpenFeed] = set()

    def session_opened(self, feed: OpenFeed) -> None:
        """The next hop has greeted us."""
        self.open.add(feed)
        self._row[self._opened] += 1
        self._row[self._open] += 1

    def session_closed(self, feed: OpenFeed) -> None:
        """The connection is over, and what it had taken is given back."""
        self.open.discard(feed)
        self._row[self._open] = max(0, self._row[self._open] - 1)
        self.changed()

    def lane_opened(self, feed: OpenFeed) -> None:
        """A lane of mailboxes takes messages from now on."""
        self.open.add(feed)

    def lane_closed(self, feed: OpenFeed) -> None:
        """It takes nothing more."""
        self.open.discard(feed)
        self.changed()
