"""The waiter of a record for a part that awaits it: a future that is set when the record is synced, or is not."""

from __future__ import annotations

import asyncio

from relay.spool.errors import SpoolError


class Spooled:
    """What LogWriter.append() calls; ``future`` then has None, or why the record is not synced."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[SpoolError | None]) -> None:
        self.future = future

    def spooled(self, error: SpoolError | None) -> None:
        """The record is synced when there is no ``error``."""
        if not self.future.done():
            self.future.set_result(error)
