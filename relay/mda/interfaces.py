"""What final delivery needs from the parts above it, as the narrowest shape that will do.

The real ones are relay/dispatch (Attempt, Settler) and, of a content alone, relay/delivery (Delivery).
"""

from __future__ import annotations

from typing import Protocol

from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome
from relay.spool import Message


class Deliverable(Protocol):
    """A content that goes into mailboxes."""

    @property
    def reverse_path(self) -> bytes: ...
    @property
    def size(self) -> int:
        """Octets of the content."""

    @property
    def content(self) -> bytes | memoryview | None:
        """It, or its beginning."""

    @property
    def path(self) -> str | None:
        """The file with the rest of it."""


class Received(Deliverable, Protocol):
    """A message out of the queue, for some of its recipients."""

    @property
    def number(self) -> int:
        """Its queue id as the 64-bit integer it is."""

    @property
    def recipients(self) -> tuple[bytes, ...]:
        """Those that are to be delivered to now."""

    @property
    def envelope(self) -> Envelope: ...
    @property
    def message(self) -> Message:
        """Its record with the content, as it is in the spool."""


class Settling(Protocol):
    """Who counts and logs what becomes known of deliveries."""

    def stored(self, count: int, seconds: float) -> None:
        """A batch of so many deliveries took so long."""

    def suspected(self, cause: str, queue_id: str, mailbox: bytes, outcome: Outcome) -> None:
        """A delivery counts against its message."""

    def set_aside(self, cause: str, queue_id: str, mailbox: bytes) -> None:
        """It does so for the last time: its message is to be held."""
