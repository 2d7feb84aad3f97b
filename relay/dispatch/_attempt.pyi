"""Types of the compiled module; see _attempt.pyx."""

from relay.delivery._delivery import Delivery
from relay.mail.envelope import Envelope
from relay.queue.entry import Entry
from relay.spool import Message, Record

def new_attempt(entry: Entry, record: Record, content: bytes | memoryview | None) -> Attempt:
    """A new Attempt for compiled callers, whose arguments need not be packed for it."""

class Attempt(Delivery):
    """The delivery of those recipients of a record that are in ``entry``.

    ``record`` is the entry's, ``content`` what of its content is in the segment; None: what the record holds.
    """

    entry: Entry
    record: Record
    envelope: Envelope
    connect_seconds: float
    """What it took to connect and be greeted, when the connection was opened for this attempt; else negative."""
    def __init__(self, entry: Entry, record: Record, content: bytes | memoryview | None = None) -> None: ...
    @property
    def number(self) -> int:
        """The queue id as the 64-bit integer it is."""

    @property
    def message(self) -> Message:
        """The record with its content, as loaded."""
