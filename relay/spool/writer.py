"""The writing side of one log: what an smtp or delivery worker uses to make messages durable.  (Signatures.)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from relay.spool.errors import SpoolError
from relay.spool.large import LargeContent
from relay.spool.reader import Message


class Waiter(Protocol):
    """Whoever waits for a record to be synced: a session, or the maker of a DSN."""

    def spooled(self, error: SpoolError | None) -> None:
        """Called once on the loop thread after the sync that covers the record; must not raise."""


class SpoolSettings(Protocol):
    """What the writer wants to know; ``config.spool`` has these attributes."""

    @property
    def segment_size(self) -> int: ...
    @property
    def spare_segments(self) -> int: ...
    @property
    def min_free_bytes(self) -> int: ...
    @property
    def min_free_inodes(self) -> int: ...


class LogWriter:
    """A new log of its own, made and locked on construction (blocks for some milliseconds); single writer.

    ``on_committed(segment, start, end, count, closed)`` is called on the loop thread after the waiters of a
    synced batch: the octets [start, end) of the segment hold ``count`` new records; after ``closed`` the segment
    never grows again (count may then be 0 and start == end).
    ``on_sync(seconds, records, octets)`` is called there too, for histograms.
    ``on_event(level, event, fields)``: operational events, on the loop thread.
    """

    number: int

    def __init__(
        self,
        spool_dir: Path,
        settings: SpoolSettings,
        loop: asyncio.AbstractEventLoop,
        on_committed: Callable[[int, int, int, int, bool], None],
        *,
        on_sync: Callable[[float, int, int], None] | None = None,
        on_event: Callable[[str, str, Mapping[str, object]], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def append(
        self,
        envelope: bytes,
        content: bytes | Sequence[bytes],
        waiter: Waiter,
        large: LargeContent | None = None,
    ) -> None:
        """Queues a record; ``waiter.spooled(error)`` follows on the loop thread. ``large`` must be committed.

        A record with a large file has both: its content is ``content`` (for example the Received field, which is
        known only at the end) followed by the octets of the file. The envelope must then carry the LARGE flag.
        """
        raise NotImplementedError

    def open_large(self, queue_id: str, on_drained: Callable[[], None] | None = None) -> LargeContent:
        """A content that goes to a file of its own while it arrives; see LargeContent."""
        raise NotImplementedError

    def link_large(self, message: Message, committed: Callable[[SpoolError | None], None]) -> LargeContent:
        """For copying forward: the large file of ``message`` under a second name that belongs to this log (a hard
        link, synced; nothing is copied). ``committed`` is called as with LargeContent.commit; then append with it."""
        raise NotImplementedError

    @property
    def is_accepting(self) -> bool:
        """False after a failed sync that no fresh segment could replace, until a probe succeeds again."""
        raise NotImplementedError

    def has_room(self) -> bool:
        """Whether free octets and inodes are above the configured minimum; a cached answer, no system call."""
        raise NotImplementedError

    free_bytes: int
    free_inodes: int

    def snapshot(self) -> list[tuple[int, int, bool]]:
        """(segment, committed end, closed) of every segment that is not recycled yet, oldest first: what a delivery
        worker that has just connected must be told before the next on_committed."""
        raise NotImplementedError

    def finished(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], *, shards: int, generation: int
    ) -> None:
        """A delivery worker's level-triggered report: ``Tail.position`` and how many of its recipients' entries are
        outstanding per segment (absent: none). A closed segment is recycled once all shards 0..shards-1 of one
        generation have passed it with none outstanding."""
        raise NotImplementedError

    async def close(self) -> None:
        """Commits what waits, removes unused segments, gives the log up (it can be adopted from then on)."""
        raise NotImplementedError
