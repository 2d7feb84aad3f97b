"""What an IMAP session says, and how it ends: the half of it that knows nothing of commands (RFC 9051 7.1, 7.1.5).

Invariant: after BYE nothing more is said.
"""

from __future__ import annotations

from typing import Final

from relay.imap import commands
from relay.imap.completion import Bye, Done, with_code
from relay.imap.state import State
from relay.readers.turns import Turns

MAX_ERRORS: Final = 50
"""Commands in a row that are not understood; then the session ends."""
GOODBYES: Final = {
    "drained": "[UNAVAILABLE] This server stops, connect again",
    "idle_timeout": "You have said nothing for too long",
    "too_many_errors": "Too many commands that are not understood",
}
TOO_MANY: Final = "[LIMIT] Too many connections"


class Speaker(Turns):
    """The output of a session (session.py)."""

    def __init__(self, state: State, patience: float) -> None:
        super().__init__(patience)
        self._tag = b"*"
        self._command: commands.Command | None = None
        self._errors = 0
        state.on_fetched = self._count_fetched
        state.on_added = self._count_added
        state.on_removed = self._count_removed

    def _ends(self, how: Done | Bye) -> None:
        self._finished()
        command = self._command
        name = command.name if command is not None else ""
        if isinstance(how, Bye):
            self._say(b"* BYE %b\r\n" % how.text.encode())
            if how.is_wanted:
                self._say(self._tag + b" OK " + name.encode() + b" done\r\n")
                self.closes_at_once = True
            self.is_over = True
            return
        if how.kind != "OK":
            self._failed(self._tag, f"{how.kind} ".encode() + with_code(how.text, how.code))
            return
        self._errors = 0
        self._tagged(self._tag, "OK", how.text or f"{name} done", how.code)

    def _failed(self, tag: bytes, response: bytes) -> None:
        self._finished()
        self.report.errors += 1
        self._say(tag + b" " + response + b"\r\n")
        if response.startswith(b"BAD"):
            self._errors += 1
            if self._errors >= MAX_ERRORS:
                self._bye(GOODBYES["too_many_errors"])

    def _tagged(self, tag: bytes, kind: str, text: str, code: str = "") -> None:
        if kind == "BAD":
            self._failed(tag, b"BAD " + with_code(text, code))
        else:
            self._say(tag + b" " + kind.encode() + b" " + with_code(text, code) + b"\r\n")

    def _bye(self, text: str) -> None:
        if not self.is_over:
            self._end(b"* BYE %b\r\n" % text.encode())

    def _count_fetched(self, count: int) -> None:
        self.report.fetched += count

    def _count_added(self, count: int) -> None:
        self.report.added += count

    def _count_removed(self, count: int) -> None:
        self.report.removed += count
