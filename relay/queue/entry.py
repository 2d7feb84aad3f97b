"""One entry of the queue: the recipients of one record that wait for one group. Signatures; the body follows."""

from __future__ import annotations


class Entry:
    """About 130 bytes. Entry(log, segment, offset, size, queue_id, received_at, group, indexes, flags)."""

    log: int
    segment: int
    offset: int
    size: int
    """Octets of the record."""
    group: object
    indexes: tuple[int, ...] | None
    """Recipients (indexes into the record's envelope), or None for all."""
    flags: int
    attempts: int
    due_at: int
    received_at: int
    """Microseconds, cut to whole seconds."""
    reason: object
    """Why it is deferred."""

    @property
    def ref(self) -> tuple[int, int, int]:
        """(log, segment, offset)."""
        raise NotImplementedError

    @property
    def queue_id(self) -> str:
        """The queue id as text."""
        raise NotImplementedError
