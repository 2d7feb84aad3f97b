"""Queue ids: our id of a message, made without asking anyone and never twice.

13 characters of Crockford base 32: 42 bits of milliseconds since the epoch, 10 bits of the log's number, 12 bits
of a counter. Sorting ids sorts messages by time. When more than 4096 ids are made in a millisecond, or the clock
steps back, the time field runs ahead of the clock instead of repeating.
"""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH: Final = 13
_VALUES: Final = {letter: value for value, letter in enumerate(ALPHABET)}


class QueueIds:
    """The ids of one log; not shared between processes because a log is not."""

    def __init__(self, log: int) -> None:
        self._log = (log & 0x3FF) << 12
        self._last_ms = 0
        self._count = 0

    def next(self, now_us: int) -> str:
        """A new id at ``now_us`` (microseconds since the epoch)."""
        ms = now_us // 1000
        if ms > self._last_ms:
            self._last_ms = ms
            self._count = 0
        elif self._count < 0xFFF:
            self._count += 1
        else:
            self._last_ms += 1
            self._count = 0
        return encode((self._last_ms << 22) | self._log | self._count)


def encode(number: int) -> str:
    """``number`` (0 to 2**64-1) as 13 characters."""
    return "".join([ALPHABET[(number >> shift) & 31] for shift in range(60, -1, -5)])


def is_queue_id(text: str) -> bool:
    """Whether ``text`` has the form of a queue id."""
    return len(text) == LENGTH and all(letter in _VALUES for letter in text)


def made_at_us(queue_id: str) -> int:
    """When ``queue_id`` was made, in microseconds since the epoch; ValueError when it has not the form of one."""
    if not is_queue_id(queue_id):
        raise ValueError(f"not a queue id: {queue_id!r}")
    number = 0
    for letter in queue_id:
        number = (number << 5) | _VALUES[letter]
    return (number >> 22) * 1000
