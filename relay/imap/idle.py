"""Who tells a session that its mailbox changed (RFC 2177): the worker's watcher of mailboxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay.mailbox.ports import View


class Watches(Protocol):
    """One for a worker (relay/mailbox/ports.py, Watcher); used on the loop."""

    def watch(self, view: View, changed: Callable[[], None], /) -> Callable[[], None]:
        """``changed`` is called when the view may have changed; returns what ends the watch."""
