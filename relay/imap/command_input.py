"""What a session reads: whole commands, and what becomes of their literals (RFC 9051 4.3, RFC 7888).

Theory: the reader stops at each literal. It is kept in place (names, search strings), streamed into the store (the
message of APPEND and REPLACE, append.py), or thrown away, when the command is refused there: at once when the client
waits for our word, else when all of it has come.

Invariants: nothing is said between a literal's ``+`` and its end; what is refused costs no memory.

Not here: what commands do (session.py), where they end (reader.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relay.imap import commands
from relay.imap._tokens import Tokens
from relay.imap.append import Append
from relay.imap.completion import Bad, Done, with_code
from relay.imap.login import Login
from relay.imap.output import Speaker
from relay.imap.reader import Command, Literal, Reader
from relay.imap.state import State
from relay.mail.spoken import spoken
from relay.net.stopping import JobStopped
from relay.readers.machine import Blocking

HOLD_LIMIT: Final = 262_144
"""Octets of input held while a job is out; above it the client is not read from."""


class Intake(Speaker):
    """The input of a session (session.py)."""

    def __init__(self, state: State, login: Login, patience: float) -> None:
        super().__init__(state, patience)
        self._state: Final = state
        self._login: Final = login
        self._reader: Final = Reader()
        self._append: Append | None = None
        self._refused: tuple[bytes, int] | None = None
        """The response to a command whose literal is thrown away, and how many octets of it are to come."""
        self._on_line: Callable[[bytes], None] | None = None
        """Who wants the next line, which is no command: an answer to a challenge, the end of IDLE."""

    def _begin(self, command: commands.Command, tokens: Tokens) -> None:
        """Begins to carry out a command, with the cursor behind its name."""
        raise NotImplementedError

    @property
    def _is_between_commands(self) -> bool:
        """Whether something may be said that no command asked for."""
        return self._append is None and self._refused is None and not self._reader.is_inside

    def _read(self) -> bool:
        """Takes what has come in one step further; False when more has to come."""
        try:
            if self._append is not None and self._append.left:
                return self._read_content(self._append)
            if self._refused is not None and self._refused[1]:
                response, left = self._refused
                self._refused = (response, left - len(self._reader.take(left)))
                return not self._refused[1]
            if self._on_line is not None:
                return self._read_line(self._on_line)
            found = self._reader.next()
        except Bad as fault:
            self._append, self._refused = None, None
            self._tagged(b"*", "BAD", fault.text, fault.code)
            return True
        match found:
            case Literal():
                self._literal(found)
            case Command(octets):
                self._whole(octets)
            case None:
                return False
        return True

    def _read_line(self, listener: Callable[[bytes], None]) -> bool:
        line = self._reader.line()
        if line is not None:
            self._on_line = None
            listener(line)
        return line is not None

    def _literal(self, literal: Literal) -> None:
        if self._refused is not None:
            self._refused = (self._refused[0], literal.size)
            self._reader.forget()
            return
        tokens = Tokens(literal.prefix, utf8=self._state.utf8)
        try:
            if self._append is not None or commands.is_append(tokens, self._state):
                self._reader.forget()
                self._append_goes_on(tokens, literal)
                return
        except Bad as fault:
            self._refuse(literal, b"BAD " + with_code(fault.text, fault.code))
            return
        if not self._reader.keep(literal):
            self._refuse(literal, b"BAD " + with_code("the literal is too long", "TOOBIG"))
            return
        if literal.is_sync:
            self._say(b"+ Go on\r\n")

    def _refuse(self, literal: Literal, response: bytes) -> None:
        """The command is refused at its literal: at once when the client waits for our word, else after it."""
        self._reader.forget()
        self._append = None
        tag = literal.prefix.partition(b" ")[0] or b"*"
        if literal.is_sync:
            self._failed(tag, response)
        elif literal.size > 4 * self._state.append_limit:
            self._bye("[TOOBIG] The literal is too long")
        else:
            self._refused = (tag + b" " + response, literal.size)

    def _whole(self, octets: bytes) -> None:
        if self._refused is not None:
            response, self._refused = self._refused[0], None
            tag, _, rest = response.partition(b" ")
            self._failed(tag, rest)
            return
        tokens = Tokens(octets, utf8=self._state.utf8)
        if self._append is not None:
            self._append_goes_on(tokens, None)
            return
        self.report.commands += 1
        self._begins("other")
        self._tag = b"*"
        try:
            self._tag = tokens.tag()
            command = commands.find(tokens, self._state, self._login)
            self._begin(command, tokens)
        except Bad as fault:
            other = spoken(octets) if self.report.commands == 1 else ""
            if other not in ("", "imap"):
                self.report.mixup = other
                self._bye(f"This port speaks IMAP. {self._state.ports}")
                return
            self._failed(self._tag, b"BAD " + with_code(fault.text, fault.code))

    # ---- APPEND -----------------------------------------------------------------------------------------------------

    def _append_goes_on(self, tokens: Tokens, literal: Literal | None) -> None:
        """The next line of APPEND, up to its literal or its end, has come."""
        if self._append is None:
            self.report.commands += 1
            self._begins("append")
            self._append = Append(self._state)
            self._tag = tokens.octets.partition(b" ")[0]
            self._command = commands.APPEND
        append = self._append
        if literal is None:
            self._execute(commands.APPEND, append.last(tokens))
            return
        octets = b"" if literal.is_sync else self._reader.take(min(literal.size, HOLD_LIMIT))
        left = literal.size - len(octets)
        self._work(
            lambda: append.line(tokens, literal, octets), lambda result: self._append_ready(literal, left, result)
        )

    def _append_ready(self, literal: Literal, left: int, result: Done | None) -> None:
        """``left``: octets of the literal that were not there yet."""
        append = self._append
        assert append is not None
        if result is not None and literal.is_sync:
            self._append = None
            self._failed(self._tag, f"{result.kind} ".encode() + with_code(result.text, result.code))
            return
        append.left = left
        if literal.is_sync:
            self._say(b"+ Go on\r\n")

    def _read_content(self, append: Append) -> bool:
        octets = self._reader.take(min(append.left, HOLD_LIMIT))
        if not octets:
            return False
        append.left -= len(octets)
        if not append.is_refused:
            self._work(lambda: append.write(octets), lambda _result: None)
        return True

    # ---- jobs -------------------------------------------------------------------------------------------------------

    def _execute(self, command: commands.Command, running: commands.Running) -> None:
        """Carries out what a command makes."""
        raise NotImplementedError

    def _work(self, run: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Has ``run`` carried out in a thread; ``done`` gets its result. What it raises is a fault of ours; the session
        ends when it was stopped, because what is half done cannot be gone on with."""

        def then(result: Any, fault: BaseException | None) -> None:
            if isinstance(fault, JobStopped):
                self._end(self._gave_up())
                return
            if fault is not None:
                raise fault
            done(result)

        self._wait(Blocking(run), then)
