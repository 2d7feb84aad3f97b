"""Which local deliveries this worker has in hand, written down where its successor finds it; and which ones are
suspected.

Theory: a message may take the worker with it: its delivery crashes the interpreter, or holds it for so long that the
worker is killed as hung. The successor would begin with the same message. So each thread notes which delivery it
prepares, in a file that is mapped into memory: two words, no system call, no sync. The kernel keeps them when the
process dies, however it dies (not when the machine does, and then the message had no part in it). What was in hand
then is a *suspect*: it is tried alone, so that it can take nothing else with it and nobody else is suspected for it;
a second death sets it aside. Deliveries that hang or fail without a death are counted here, too.

A kill that has nothing to do with a message makes it a suspect as well; that costs a moment alone, and is forgotten
when it is delivered.

The file: 64-bit words of this machine. A mark; then for each of SLOTS threads at work the queue id's number and the
mailbox's crc32, 0 when it has nothing in hand; then for each of SUSPECTS number, crc32, strikes, and 1 after a death.

Not here: what is done with a suspect (lane.py).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from array import array
from binascii import crc32
from pathlib import Path
from typing import Final

SLOTS: Final = 128
SUSPECTS: Final = 256
"""Suspects that are remembered; above it the first one is forgotten."""
STRIKES: Final = 2
"""So often a delivery hangs, fails or takes the worker with it until its message is set aside."""
_MARK: Final = 0x52656C6179683031
_SLOT, _SUSPECT = 2, 4
_FIRST_SUSPECT: Final = 1 + SLOTS * _SLOT
_WORDS: Final = _FIRST_SUSPECT + SUSPECTS * _SUSPECT

Key = tuple[int, int]
"""Queue id's number and crc32 of the mailbox: one delivery."""


def key_of(number: int, mailbox: bytes) -> Key:
    """The delivery of a message, by its queue id's number, to a mailbox."""
    return number, crc32(mailbox)


class Hand:
    """One worker's. ``take`` and ``put_down`` may be called by any thread for the slot that it was given."""

    def __init__(self, path: Path) -> None:
        """Takes over what a predecessor left at ``path``. A file that cannot be had is done without."""
        self.suspects: Final[dict[Key, int]] = {}
        """Strikes of each suspected delivery."""
        self.deadly: Final[set[Key]] = set()
        """Those of them that a worker died with."""
        self.died: Final[list[Key]] = []
        """What a predecessor had in hand when it died."""
        self._words = _mapped(path)
        self._free = list(range(SLOTS))
        self._read()

    def slot(self) -> int:
        """One for a thread's batch; -1 when there is none left."""
        return self._free.pop() if self._free else -1

    def free(self, slot: int) -> None:
        """Gives it back."""
        if slot >= 0:
            self.put_down(slot)
            self._free.append(slot)

    def take(self, slot: int, key: Key) -> None:
        """The thread of ``slot`` begins with this delivery."""
        if slot >= 0:
            at = 1 + slot * _SLOT
            self._words[at] = 0  # never the number of one with the mailbox of another
            self._words[at + 1] = key[1]
            self._words[at] = key[0]

    def put_down(self, slot: int) -> None:
        """It has nothing in hand that could take the worker with it."""
        if slot >= 0:
            self._words[1 + slot * _SLOT] = 0

    def strike(self, key: Key) -> int:
        """Counts against a delivery; how often it has been."""
        strikes = self.suspects[key] = self.suspects.get(key, 0) + 1
        self._write()
        return strikes

    def forgive(self, key: Key) -> None:
        """It has come to its end."""
        if self.suspects.pop(key, None) is not None:
            self.deadly.discard(key)
            self._write()

    def set_aside(self, key: Key) -> None:
        """Its message is held: when it is released it has one more try."""
        self.suspects[key] = STRIKES - 1
        self._write()

    def _read(self) -> None:
        words = self._words
        if words[0] == _MARK:
            for at in range(_FIRST_SUSPECT, _WORDS, _SUSPECT):
                if words[at] and words[at + 2]:
                    key = words[at], words[at + 1]
                    self.suspects[key] = words[at + 2]
                    if words[at + 3]:
                        self.deadly.add(key)
            for at in range(1, _FIRST_SUSPECT, _SLOT):
                if words[at]:
                    key = words[at], words[at + 1]
                    self.suspects[key] = self.suspects.get(key, 0) + 1
                    self.deadly.add(key)
                    self.died.append(key)
        self._write()
        words[:_FIRST_SUSPECT] = memoryview(array("Q", [_MARK] + [0] * (_FIRST_SUSPECT - 1)))

    def _write(self) -> None:
        while len(self.suspects) > SUSPECTS:
            first = next(iter(self.suspects))
            del self.suspects[first]
            self.deadly.discard(first)
        table = array("Q")
        for key, strikes in self.suspects.items():
            table.extend((*key, strikes, key in self.deadly))
        table.extend([0] * (SUSPECTS * _SUSPECT - len(table)))
        self._words[_FIRST_SUSPECT:] = memoryview(table)


def _mapped(path: Path) -> memoryview[int]:
    """The file's words; some of our own where it cannot be had."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, 8 * _WORDS)  # a write into a hole on a full disk would end the process
            return memoryview(mmap.mmap(descriptor, 8 * _WORDS)).cast("Q")
        finally:
            os.close(descriptor)
    return memoryview(bytearray(8 * _WORDS)).cast("Q")
