"""Entries, and the lists they wait in (compiled).

An entry is in at most one of: an EntryList (ready, held), the DueWheel (deferred). Besides that it is in the
DeadlineWheel from the time it is queued until it is finished, unless it is held (_wheels.pyi). Each of the two places
owns one reference. Times are microseconds since the epoch.
"""

from collections.abc import Iterator
from typing import Any, Final, final

from typing_extensions import disjoint_base

NEW: Final[int]
READY: Final[int]
ACTIVE: Final[int]
DEFERRED: Final[int]
HELD: Final[int]
COPYING: Final[int]
GONE: Final[int]

def queue_number(queue_id: str) -> int:
    """``queue_id`` as the 64-bit integer it is; ValueError when it is none."""

def leave(entry: Entry) -> bool:
    """``entry.unlink()`` for compiled callers, who need no look-up for it."""

def new_entry(
    log: int,
    segment: int,
    offset: int,
    size: int,
    queue_id: str,
    received_at: int,
    group: Any,
    indexes: tuple[int, ...] | None,
    count: int,
    flags: int,
) -> Entry:
    """A new Entry for compiled callers, whose arguments need not be packed for it."""

@final
class Entry:
    """The recipients of one record that wait for one group. 128 octets."""

    log: int
    segment: int
    offset: int
    size: int
    """Octets of the record, below 2**32."""
    group: Any
    """Group, or Domain while the group depends on an MX lookup."""
    indexes: tuple[int, ...] | None
    """Which recipients of the record's envelope, or None for all of them."""
    count: int
    """How many recipients it stands for: ``len(indexes)``, or all of the record's."""
    reason: Any
    """Why it was last deferred: a Reason; a tuple of them, one per recipient, when they differ; None before that."""
    due_at: int
    attempts: int
    """Attempts made, at most 65535."""
    flags: int
    """Constants of relay.queue.entry."""
    state: int
    """One of the constants above; kept by the scheduler."""

    def __init__(
        self,
        log: int,
        segment: int,
        offset: int,
        size: int,
        queue_id: str,
        received_at: int,
        group: Any,
        indexes: tuple[int, ...] | None,
        count: int,
        flags: int = 0,
        attempts: int = 0,
        due_at: int = 0,
        reason: Any = None,
    ) -> None: ...
    @property
    def number(self) -> int:
        """The queue id as the 64-bit integer it is."""
    @property
    def ref(self) -> tuple[int, int, int]:
        """(log, segment, offset) of the record."""
    @property
    def queue_id(self) -> str:
        """The queue id as text."""
    @property
    def received_at(self) -> int:
        """When end of data was read, cut to whole seconds; 0 to the year 2106."""
    @property
    def is_queued(self) -> bool:
        """Whether it waits in a list or in the wheel of due times."""
    def rebase(self, delta: int) -> None:
        """The clock was moved by ``delta`` (whole seconds, in microseconds): so are its instants. For an entry in no
        wheel."""
    def unlink(self) -> bool:
        """Takes it out of the list or wheel it waits in; False when it was in none. O(1)."""

@disjoint_base
class Chain:
    """What entries can be in; ``len()`` counts them."""

    def __len__(self) -> int: ...

@final
class EntryList(Chain):
    """A queue of entries without memory of its own. ValueError when an entry waits somewhere else already."""

    def append(self, entry: Entry) -> int: ...
    def appendleft(self, entry: Entry) -> int: ...
    def popleft(self) -> Entry | None:
        """The first entry, or None when there is none."""
    def __iter__(self) -> Iterator[Entry]:
        """Over a copy: the list may change meanwhile."""
    def is_among_first(self, entry: Entry, count: int) -> bool:
        """Whether ``entry`` is one of the first ``count``: O(count)."""
    def take(self, group: object | None, limit: int) -> list[Entry]:
        """Takes out the first entries (up to ``limit``) whose ``group`` is this one, or any for None."""
