"""Octets to commands and back (RFC 5804 4): a line of words, quoted strings, numbers, and literals ``{n+}``.

Theory: a command is read again from its beginning when more of it came in, but only once as much is there as the last
look found missing; so the work is linear, however the octets are cut. What is held is bounded by the longest line
and the longest literal; a longer literal is passed over as it comes in, and the command fails.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LONGEST_LINE: Final = 16_384
"""Octets of a command without its literals; enough for a SASL response (RFC 4954 4)."""
QUOTED_LIMIT: Final = 1024
"""What is longer, or has a line end, goes out as a literal (RFC 5804 4)."""
LONGEST_PASSED_OVER: Final = 64 << 20
MOST_WORDS: Final = 32
"""Words of a command; those that there are have at most four. All are read again when more octets come in."""

_WORD: Final = re.compile(
    rb"""(?P<literal>\{(?P<count>[0-9]{1,10})\+?\}\r?\n)|"(?P<quoted>(?:[^"\\\r\n\0]|\\["\\])*)"|(?P<passed>\{!\})|(?P<atom>[^\s"{}\0]+)"""
)
_PASSED: Final = b"{!}"
_ESCAPE: Final = re.compile(rb"\\(.)")


class Command(NamedTuple):
    """One command, or one line of an exchange."""

    words: tuple[bytes | None, ...]
    """In order; of strings what they mean. None: a literal that was too long."""
    strings: tuple[bool, ...]
    """Which of them were strings, not atoms."""


class BrokenError(Exception):
    """The octets are no command; ``is_fatal`` when it is not known where the next one begins."""

    def __init__(self, text: str, *, is_fatal: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_fatal = is_fatal


class Reader:
    """Gathers octets and gives commands."""

    def __init__(self, literal_limit: int) -> None:
        self._literal_limit = literal_limit
        self._octets = b""
        self._pieces: list[bytes] = []
        """What came in since the last look, in the order in which it did."""
        self._held = 0
        self._wanted = 1
        self._passing = 0
        """Octets of a literal that are still to be passed over."""

    def feed(self, octets: bytes) -> None:
        """More octets."""
        passed = min(self._passing, len(octets))
        self._passing -= passed
        if passed < len(octets):
            self._pieces.append(octets[passed:])
            self._held += len(octets) - passed

    def clear(self) -> None:
        """Throws away what was not read yet."""
        self._octets, self._wanted, self._passing = b"", 1, 0
        self._pieces, self._held = [], 0

    @property
    def held(self) -> int:
        """Octets that wait."""
        return len(self._octets) + self._held

    def next(self) -> Command | None:
        """The next command; None when more octets are needed. BrokenError for what is none."""
        if self._passing or self.held < self._wanted:
            return None
        self._gather()
        words: list[bytes | None] = []
        strings: list[bool] = []
        octets, at, literals = self._octets, 0, 0
        while True:
            while octets[at : at + 1] == b" ":
                at += 1
            if octets[at : at + 1] == b"\n" or octets[at : at + 2] == b"\r\n":
                self._octets = octets[at + (1 if octets[at : at + 1] == b"\n" else 2) :]
                self._wanted = 1
                return Command(tuple(words), tuple(strings))
            end = octets.find(b"\n", at)
            if end < 0:
                if len(octets) - literals > LONGEST_LINE:
                    raise BrokenError("the command is too long", is_fatal=True)
                self._wanted = len(octets) + 1
                return None
            match = _WORD.match(octets, at)
            if len(words) >= MOST_WORDS:
                raise BrokenError("the command has too many words", is_fatal=True)
            if match is None:
                self._octets = octets[end + 1 :]
                self._wanted = 1
                raise BrokenError("this is no command")
            at = match.end()
            if match["passed"] is not None:
                words.append(None)
                strings.append(True)
                continue
            if match["literal"] is None:
                words.append(match["atom"] if match["quoted"] is None else _ESCAPE.sub(rb"\1", match["quoted"]))
                strings.append(match["quoted"] is not None)
                continue
            count = int(match["count"])
            if count > self._literal_limit:
                at = match.start()
                if self._pass_over(at, match.end(), count):
                    return None
                octets = self._octets
                continue
            if len(octets) < at + count + 1:
                self._wanted = at + count + 1
                return None
            words.append(octets[at : at + count])
            strings.append(True)
            at += count
            literals += count

    def _gather(self) -> None:
        if self._pieces:
            self._octets = b"".join([self._octets, *self._pieces])
            self._pieces, self._held = [], 0

    def _pass_over(self, start: int, at: int, count: int) -> bool:
        """Puts a mark where the literal stands that begins at ``start``; whether more of it is to come."""
        if count > LONGEST_PASSED_OVER:
            raise BrokenError("the literal is far too long", is_fatal=True)
        octets = self._octets
        self._passing = max(0, at + count - len(octets))
        self._octets = octets[:start] + _PASSED + octets[at + count :]
        self._wanted = start + len(_PASSED) + 1
        return self._passing > 0


def string(octets: bytes) -> bytes:
    """A string for the client: quoted when it can be, else a literal (RFC 5804 4)."""
    if len(octets) <= QUOTED_LIMIT and not set(octets) & {0, 10, 13}:
        return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n" % len(octets) + octets
