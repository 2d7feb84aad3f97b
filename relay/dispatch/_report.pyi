"""What is counted and logged for every attempt and every outcome, in C: eight cells and a line a message."""

from relay.dispatch._attempt import Attempt
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome
from relay.queue.entry import Entry

class DeliveryReport:
    """The cells of ``relay_delivery_*`` in one row of the counters' page, and the lines that wait to be written."""

    def __init__(self, row: memoryview[int]) -> None: ...
    def tried(self, attempt: Attempt, outcomes: tuple[Outcome, ...], use: int) -> int:
        """An attempt was made here, our own or another delivery worker's; ``use``: messages on the connection so far,
        0 where there is none."""

    def settled(
        self,
        entry: Entry,
        envelope: Envelope | None,
        recipients: tuple[bytes, ...],
        outcomes: tuple[Outcome, ...],
        attempt: Attempt | None,
        use: int,
        number: int,
    ) -> bool:
        """Counts the outcome of each of ``recipients`` and adds a line for each different one; ``envelope``: None when
        the record cannot be read; ``attempt``: None when it was not tried here; ``number``: of the attempt.

        Returns whether one of the outcomes is the end of it for the sender: failed or expired.
        """

    def take(self) -> bytes:
        """The lines since the last call, one after the other; empty for none."""
