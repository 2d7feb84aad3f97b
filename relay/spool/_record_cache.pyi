"""Types of the compiled module; see _record_cache.pyx."""

from relay.spool.scan import Record

class Remembered:
    """Records with their contents, each to be given out once, in about ``limit`` octets of memory."""

    def __init__(self, limit: int) -> None: ...
    def put(self, records: list[Record]) -> int:
        """Keeps those of ``records`` that have their contents."""
    def take(self, log: int, segment: int, offset: int) -> Record | None:
        """The record at the reference, when it is here still; forgets it."""
