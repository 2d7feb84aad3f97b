"""Responses of FETCH for a run of messages, written from columns (columns.py)."""

from typing import final

@final
class Numbers:
    """A column of numbers, none of them negative, with what stands before and behind each."""

    def __init__(self, lead: bytes, values: list[int], tail: bytes = b"") -> None: ...
    def __len__(self) -> int: ...

@final
class Texts:
    """A column of octets, with what stands before each; None for one that is not known. ``are_literals``: its length
    in braces and CRLF stand in front of each value, and 0x80 for each NUL in it (RFC 3501 4.3.1)."""

    def __init__(self, lead: bytes, values: list[bytes] | list[bytes | None], are_literals: bool = False) -> None: ...
    def __len__(self) -> int: ...

def joined(run: list[int], columns: list[Numbers | Texts]) -> list[bytes | int]:
    """The FETCH responses of the messages ``run`` (by index): octets with those of messages that follow one another,
    and the index of each message of which a column has no value. ValueError when a column is not as long as ``run``."""

def dates(seconds: list[int]) -> list[bytes | None]:
    """A quoted date-time in UTC (RFC 9051 9) for each; None for one that is not in the years 1970 to 9999."""
