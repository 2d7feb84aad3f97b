"""The timing wheels of entries (compiled): by when they are due, and by their deadlines. Times are microseconds since
the epoch."""

from typing import final

from relay.queue._entry import Chain, Entry

@final
class DueWheel(Chain):
    """Deferred entries by ``due_at``: never early, at most 131 ms late. add and unlink are O(1)."""

    def __init__(self, now: int) -> None: ...
    def add(self, entry: Entry) -> int: ...
    def rebase(self, now: int) -> None:
        """The clock was set and says ``now``; the entries' ``due_at`` were moved already."""
    def expire(self, now: int, limit: int) -> list[Entry]:
        """Takes out what is due, up to ``limit``; the rest comes with the next call."""
    def next_at(self) -> int | None:
        """When to call expire next: not after the first due time; None when empty."""

@final
class DeadlineWheel(Chain):
    """Entries by the time at which something must be decided about them whatever they wait for. Whole seconds."""

    def __init__(self, now: int) -> None: ...
    def set(self, entry: Entry, at: int) -> int:
        """Puts ``entry`` in, or moves it, to ``at`` rounded up to whole seconds."""
    def set_after(self, entry: Entry, time: int) -> int:
        """The same for ``time`` after its message was received."""
    def remove(self, entry: Entry) -> bool: ...
    def rebase(self, delta: int, now: int) -> None:
        """The clock was moved by ``delta`` (whole seconds, in microseconds) and says ``now``: so are all instants of
        the entries, ``due_at`` too. A DueWheel that has any of them must be rebased next."""
    def expire(self, now: int, limit: int) -> list[Entry]:
        """Takes out what has come, up to ``limit``."""
    def next_at(self) -> int | None:
        """When to call expire next: not after the first deadline; None when empty."""
    def find(
        self,
        number: int = 0,
        group: object | None = None,
        received_before: int = 0,
        log: int = -1,
        segment: int = -1,
        limit: int = 0x7FFFFFFF,
    ) -> list[Entry]:
        """The entries that match all that is given. One pass over all: about 50 ms for a million."""
