"""What is counted for every attempt and every outcome, in C: eight cells a message."""

class DeliveryCells:
    """The cells of ``relay_delivery_*`` in one row of the counters' page."""

    def __init__(self, row: memoryview[int]) -> None: ...
    def tried(self, transport: str, is_delivered: bool, size: int, is_reused: bool, transfer: int) -> int:
        """One attempt was made here. ``size``: octets of content; ``transfer``: microseconds, below 0 when it was not
        measured."""

    def outcome(self, kind: str, code: int, stage: str, delay: int) -> int:
        """The outcome for one recipient; ``delay`` counts for delivered ones, in microseconds."""
