"""How far a long command has come (RFC 9585): an untagged OK with INPROGRESS, every ten seconds, no more.

Not here: which commands are long; their turns (execution.py), which a silent command ends after a second.
"""

from __future__ import annotations

from typing import Final

from relay.imap.responses import string
from relay.imap.state import State

EVERY_SECONDS: Final = 10.0


class Progress:
    """One command's."""

    def __init__(self, state: State, tag: bytes, goal: int) -> None:
        self._state: Final = state
        self._tag: Final = b"NIL" if b"]" in tag else string(tag)  # a bracket would end the response code
        self._goal: Final = goal
        self._told = state.now()

    def at(self, done: int) -> bytes:
        """What is to be said when ``done`` of the goal is done: nothing, most times."""
        now = self._state.now()
        if now - self._told < EVERY_SECONDS or "INPROGRESS" in self._state.hidden:
            return b""
        self._told = now
        return b"* OK [INPROGRESS (%b %d %d)] Still at it\r\n" % (self._tag, done, self._goal)
