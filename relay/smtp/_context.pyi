"""What all sessions of one worker share: limits as plain C fields, counters, the clock's offset, the open sessions.

One ServerContext per worker process; one Service per listener.
"""

from collections.abc import Callable
from typing import Any

from relay.config.model import Config
from relay.smtp.ports import Policy, Sink, Spool, Wheel

class ServerContext:
    """Shared by every session of a worker. Not thread-safe: it belongs to the loop's thread."""

    policy: Policy
    spool: Spool
    log: Sink
    wheel: Wheel
    row: memoryview
    wall_offset: int
    """Microseconds to add to a monotonic time to get microseconds since the epoch; refreshed by tick()."""

    def __init__(
        self,
        config: Config,
        *,
        policy: Policy,
        spool: Spool,
        log: Sink,
        wheel: Wheel,
        row: memoryview,
    ) -> None:
        """Reads ``config.smtp`` and ``config.hostname`` once. ``row`` is this process's counters (format 'Q')."""

    @property
    def open_sessions(self) -> int:
        """Connections that are open now, also those being refused."""

    @property
    def buffered(self) -> int:
        """Octets of content held in memory by all sessions, from the first octet read until it is spooled."""

    @property
    def is_draining(self) -> bool: ...
    def tick(self, now: int, wall: int) -> None:
        """Call it about once a second. ``now`` is CLOCK_MONOTONIC and ``wall`` the time since the epoch, both in µs.
        Ends the sessions whose deadline has passed."""

    def drain(self, on_empty: Callable[[], Any]) -> None:
        """Answers 421 4.3.2 to every session between transactions and to all that connect from now on; sessions in a
        transaction finish it first. Calls ``on_empty`` once when no session is left (at once when there is none)."""

    def abort(self) -> None:
        """Closes every session now; transactions that were not answered are not ours (the peer tries again)."""

class Service:
    """One listener as the sessions see it: its name, its kind and its prepared replies."""

    name: str
    is_submission: bool
    context: ServerContext

    def __init__(self, context: ServerContext, name: str, kind: str) -> None:
        """``kind`` is "mx" or "submission"."""
