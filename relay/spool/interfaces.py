"""What a log's writer asks of those who use it: somebody to answer, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay.spool.errors import SpoolError


class Waiter(Protocol):
    """Whoever waits for a record to be synced: a session, or the maker of a DSN."""

    def spooled(self, error: SpoolError | None) -> Callable[[], object] | None:
        """Called once on the loop's thread: None when the record is synced, else why it is not. Must not raise.

        What it returns is called when all waiters of the same batch have been called: one reply for several records.
        """


class SpoolSettings(Protocol):
    """What the writer wants to know; ``config.spool`` has these attributes. Sizes are in octets."""

    @property
    def segment_size(self) -> int: ...
    @property
    def spare_segments(self) -> int: ...
    @property
    def min_free_bytes(self) -> int: ...
    @property
    def min_free_inodes(self) -> int: ...
