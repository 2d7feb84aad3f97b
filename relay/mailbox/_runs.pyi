"""What is known of a run of messages, gathered in one call: values of columns, and facts (message_cache.py)."""

from array import array

def gather(values: array[int], rows: array[int], run: list[int]) -> list[int] | None:
    """``values[rows[index]]`` for each index of ``run``; None when one of the rows is negative. ``rows`` is an array of
    type q, ``values`` of type q or Q (TypeError); IndexError when there is no such index."""

def places(keys: array[int], at: array[int], recent: dict[int, int], uids: list[int], kind: int) -> list[int]:
    """Where the facts of ``kind`` of ``uids`` are: from ``recent``, or from ``keys`` (ascending) and ``at``, by
    UID << 8 | kind; -1 for one that is not there. Both are arrays of type Q, of one length (TypeError)."""

def values(descriptor: int, places: list[int], uids: list[int], kind: int) -> list[bytes | None]:
    """The values of the records at ``places`` of the file; None for one that is not there (-1), not whole, or
    damaged. What stands one behind the other is read together. Blocks."""
