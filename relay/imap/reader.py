"""From octets to whole commands: finds the end of a command across its literals, within bounds (RFC 9051 4.3, RFC
7888).

Theory: what comes in is kept until a command is whole; its literals stay in place, so that the tokeniser sees one
string of octets. At each literal the reader stops and the session says what becomes of it: kept in place, or taken away
piece by piece (the content of APPEND, which never is in memory as a whole), or thrown away.

Invariants: it holds at most ``line`` octets of a command's lines, and of literals what the session let in; ``{}``,
``{x}`` and ``{1`` are no literals; a line ends with CRLF and nothing else.

Not here: what a command is (session.py), tokens (_tokens.pyx).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from relay.imap.completion import Bad

LONGEST_COMMAND: Final = 65536
"""Octets of the lines of one command (RFC 7162 4 asks for 8192; sets of UIDs get long)."""
LONGEST_IN_PLACE: Final = 65536
"""Octets of all literals of a command that are kept in place: names, passwords, search strings."""
MAX_IN_PLACE: Final = 2000
"""Literals of a command that are kept in place: more than any command can have."""
_LITERAL: Final = re.compile(rb"(~?)\{([0-9]{1,15})(\+?)\}\Z")


class Command(NamedTuple):
    """A whole command, without its last CRLF."""

    octets: bytes


class Literal(NamedTuple):
    """A literal begins."""

    prefix: bytes
    """The command up to it, its header (``{3}``) not included."""
    header: bytes
    size: int
    is_sync: bool
    """The client waits until it is asked to go on."""
    is_binary: bool
    """A literal8: may hold NULs."""


class Reader:
    """One connection's input."""

    __slots__ = ("_gathered", "_in_place", "_input", "_left", "_literals", "_scanned")

    def __init__(self) -> None:
        self._input = bytearray()
        self._scanned = 0
        self._gathered = b""
        self._in_place = 0
        self._literals = 0
        self._left = 0

    @property
    def held(self) -> int:
        """Octets that have come in and are not yet taken."""
        return len(self._input)

    @property
    def is_inside(self) -> bool:
        """Whether a command has begun and is not whole."""
        return bool(self._gathered or self._input)

    def feed(self, octets: bytes) -> None:
        """Octets came in."""
        self._input += octets

    def clear(self) -> None:
        """Forgets everything (STARTTLS)."""
        self.__init__()  # type: ignore[misc]  # starts anew, as after its making

    def next(self) -> Command | Literal | None:
        """What is whole now, or None when more has to come in. Raises Bad for a line without bounds or CRLF; what was
        gathered of that command is forgotten."""
        if self._left:
            taken = self.take(self._left)
            self._gathered += taken
            self._left -= len(taken)
            if self._left:
                return None
        line = self.line()
        if line is None:
            return None
        found = _LITERAL.search(line)
        if found is None:
            whole, self._gathered, self._in_place, self._literals = self._gathered + line, b"", 0, 0
            return Command(whole)
        prefix = self._gathered + line[: found.start()]
        self._gathered = self._gathered + line + b"\r\n"
        return Literal(prefix, found[0], int(found[2]), not found[3], bool(found[1]))

    def line(self) -> bytes | None:
        """The next line alone, without CRLF; None when it is not whole."""
        end = self._input.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._input)
            if len(self._gathered) - self._in_place + len(self._input) > LONGEST_COMMAND:
                self._drop()
                raise Bad("the command is too long", "TOOBIG")
            return None
        self._scanned = 0
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        if not line.endswith(b"\r"):
            self._drop()
            raise Bad("a line ends with CR LF")
        if len(self._gathered) - self._in_place + len(line) > LONGEST_COMMAND:
            self._drop()
            raise Bad("the command is too long", "TOOBIG")
        return line[:-1]

    def keep(self, literal: Literal) -> bool:
        """The literal that ``next`` returned is to be kept in place; False when it, or all of them, are too long, or
        too many."""
        self._literals += 1
        if self._in_place + literal.size > LONGEST_IN_PLACE or self._literals > MAX_IN_PLACE:
            return False
        self._in_place += literal.size
        self._left = literal.size
        return True

    def forget(self) -> None:
        """Nothing of the command so far is wanted any more; its input goes on wherever the caller takes it from."""
        self._gathered, self._in_place, self._literals, self._left = b"", 0, 0, 0

    def take(self, count: int) -> bytes:
        """At most ``count`` octets of what has come in."""
        taken = bytes(self._input[:count])
        del self._input[:count]
        self._scanned = 0
        return taken

    def _drop(self) -> None:
        self.forget()
        self._scanned = 0
