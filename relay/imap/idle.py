"""News of the open mailbox for a client that waits for them (IDLE, RFC 2177): the worker's watcher of mailboxes tells.

Not here: what is said of them (state.py, session.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from relay.mailbox.ports import View


class Watches(Protocol):
    """One for a worker (relay/mailbox/ports.py, Watcher); used on the loop."""

    def watch(self, view: View, changed: Callable[[], None], /) -> Callable[[], None]:
        """``changed`` is called when the view may have changed; returns what ends the watch."""


class News:
    """What a session waits for."""

    def __init__(self, watches: Watches) -> None:
        self._watches: Final = watches
        self._unwatch: Callable[[], None] | None = None
        self.wake: Callable[[], None] = lambda: None
        """Has the session look."""
        self.has_come = False
        """Something may have changed since the last look."""

    def begin(self, view: View | None) -> None:
        """Watches the mailbox, which is looked at once in any case."""
        self.stop()
        self.has_come = True
        if view is not None:
            self._unwatch = self._watches.watch(view, self.wake)

    def stop(self) -> None:
        """Watches nothing any more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
