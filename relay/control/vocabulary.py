"""What requests and answers are made of.

Each is a NamedTuple of text, numbers, and tuples of these, so that it crosses a socket and is checked on the other side
(wire.py), and a program reads it as JSON.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["incoming", "active", "deferred", "hold", "corrupt"]


class Selection(NamedTuple):
    """Which entries are meant; what is left empty matches all."""

    queue_id: str = ""
    domain: str = ""
    """Of a recipient, in lower case."""
    older_than: float = 0.0
    """Seconds since the message was received."""

    def matches(self, entry: QueueEntry, now: float) -> bool:
        """Whether ``entry`` is meant at ``now`` (seconds since the epoch)."""
        if self.queue_id and entry.queue_id != self.queue_id:
            return False
        if self.domain and not any(_domain_of(recipient) == self.domain for recipient in entry.recipients):
            return False
        return entry.received_at / 1e6 <= now - self.older_than


class QueueEntry(NamedTuple):
    """One entry of the queue: a message for the recipients that share a next hop."""

    queue_id: str
    state: State
    waits_for: str
    """What has to happen first, as in relay/queue/waiting.py; ``start`` in a stopped appliance; empty for a corrupt
    entry."""
    reverse_path: str
    recipients: tuple[str, ...]
    """Empty where the envelope cannot be read."""
    size: int
    """Octets of the content."""
    received_at: int
    """Microseconds since the epoch."""
    due_at: int
    """The next try, also when that is the next probe of a suspended next hop; 0 when it is now or not known."""
    attempts: int
    code: int
    """The reply code of the last outcome, 0 without a reply. With the next three: why it was not delivered so far;
    empty when nothing went wrong."""
    status: str
    text: str
    stage: str
    next_hop: str
    record: tuple[int, int, int]
    """Log, segment and offset of the record in the spool, where the content is."""


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()
