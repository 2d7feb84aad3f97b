"""An IMAP session (RFC 9051, RFC 3501) as a pure machine (relay/net/machine.py).

Theory: the reader finds whole commands; a command of the table (commands.py) is a generator that makes the pieces of
its answer and returns how it ends. The generator runs in jobs, each of which makes up to ``PIECE`` octets, so a long
FETCH holds one piece however large the mailbox is; commands that wait for nobody run at once. What needs more than one
turn with the client has a mode of its own: APPEND (append.py), AUTHENTICATE (login.py), IDLE.

Invariants: commands are carried out in their order, one at a time; every command gets exactly one tagged response;
nothing is said between a literal's ``+`` and its end.

Not here: what the commands do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from relay.auth import Door
from relay.imap import commands, compress
from relay.imap._tokens import Tokens
from relay.imap.append import Append
from relay.imap.endings import Bye, Done, ending, with_code
from relay.imap.faults import Bad
from relay.imap.idle import Watches
from relay.imap.login import Entered, Login
from relay.imap.reader import Command, Literal, Reader
from relay.imap.speaker import GOODBYES, TOO_MANY, Speaker
from relay.imap.state import State
from relay.mailbox.ports import Store
from relay.net.machine import Blocking, Job, Waiting
from relay.net.tls_machine import TlsServer

PIECE: Final = 262_144
"""Octets of an answer that are made in one go."""
HOLD_LIMIT: Final = 262_144
"""Octets of input held while a job is out; above it the client is not read from."""
Running = Generator[bytes, None, "Done | Bye | None"]


class Session(Speaker):
    """One session."""

    def __init__(
        self,
        state: State,
        door: Door,
        open_store: Callable[[str], Store],
        watches: Watches,
        *,
        login_timeout: float,
        idle_timeout: float,
    ) -> None:
        super().__init__(state)
        self.wants_tls = False
        self.patience = login_timeout
        self._idle_timeout: Final = idle_timeout
        self._state: Final = state
        self._login: Final = Login(door)
        self._open_store: Final = open_store
        self._watches: Final = watches
        self._reader: Final = Reader()
        self._deflate: compress.Deflate | None = None
        self._job: Job | None = None
        self._on_job: Callable[[Any, BaseException | None], None] = lambda _result, _fault: None
        self._is_busy = False
        self._running: Running | None = None
        self._append: Append | None = None
        self._is_idling = self._has_news = False
        self._unwatch: Callable[[], None] | None = None
        self._wake: Callable[[], None] = lambda: None
        self._refused: tuple[bytes, int] | None = None  # a command whose literal is thrown away; octets of it to come
        self._goodbye = ""

    # ---- Machine ----------------------------------------------------------------------------------------------------

    def open(self, wake: Callable[[], None]) -> None:
        """See Machine."""
        self._wake = wake
        capabilities = " ".join(commands.capabilities(self._state, self._login))
        self._say(f"* OK [CAPABILITY {capabilities}] {self._state.hostname} IMAP".encode() + b"\r\n")

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        del now
        if self._deflate is not None:
            try:
                octets = self._deflate.inflate(octets)
            except Bad as fault:  # nothing that comes after can be understood
                self._bye(f"Stopped, because {fault.text}")
                return
        self._reader.feed(octets)
        self._go_on()

    def take_output(self) -> bytes:
        """See Machine."""
        octets = b"".join(self._output)
        self._output.clear()
        if self._deflate is None:
            return octets
        return self._deflate.deflate(octets) if octets else self._deflate.take_before()

    def may_read(self) -> bool:
        """See Machine."""
        return not self._is_busy or self._reader.held < HOLD_LIMIT

    def take_job(self) -> Job | None:
        """See Machine."""
        job, self._job = self._job, None
        return job

    def job_done(self, result: Any, fault: BaseException | None, now: int) -> None:
        """See Machine."""
        del now
        self._is_busy = False
        self._on_job(result, fault)
        self._go_on()

    def woken(self, now: int) -> None:
        """See Machine."""
        del now
        self._has_news = True
        self._go_on()

    def secured(self, stream: TlsServer) -> None:
        """See Machine."""
        self._reader.clear()
        self._login.secured(stream)

    def farewell(self, cause: str) -> None:
        """See Machine."""
        self._goodbye = self._goodbye or cause
        if not self._is_busy and self._running is None:
            self._bye(GOODBYES.get(cause, TOO_MANY))

    def mixed_up(self, protocol: str) -> None:
        """See Machine."""
        port = "one that begins with TLS (993)" if protocol == "tls" else "one that does not begin with TLS (143)"
        self._bye(f"This is an IMAP port for other clients: try {port}")

    def release(self) -> Job | None:
        """See Machine."""
        self._stop_watching()
        return Blocking(self._release)

    # ---- input ------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while not (self._is_busy or self.is_over or self.wants_tls):
            if self._goodbye and self._running is None:
                self._bye(GOODBYES.get(self._goodbye, TOO_MANY))
            elif self._running is not None:
                self._work(self._step, self._stepped)
            elif self._is_idling and self._has_news:
                self._look()
            elif not self._read():
                return

    def _read(self) -> bool:
        """Takes what has come in one step further; False when more has to come."""
        try:
            if self._append is not None and self._append.left:
                return self._read_content(self._append)
            if self._refused is not None and self._refused[1]:
                response, left = self._refused
                self._refused = (response, left - len(self._reader.take(left)))
                return not self._refused[1]
            if self._is_idling or self._login.is_going_on:
                line = self._reader.line()
                if line is not None:
                    (self._end_idle if self._is_idling else self._answered)(line)
                return line is not None
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
        self._tag = b"*"
        try:
            self._tag = commands.tag(tokens)
            command = commands.find(tokens, self._state, self._login)
            self._begin(command, tokens)
        except Bad as fault:
            if octets[:4] in (b"GET ", b"POST", b"EHLO", b"HELO", b"USER"):
                self._bye("This is an IMAP server")
                return
            self._failed(self._tag, b"BAD " + with_code(fault.text, fault.code))

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _begin(self, command: commands.Command, tokens: Tokens) -> None:
        self._command = command
        match command.special:
            case "LOGIN" | "AUTHENTICATE":
                self._authenticate(command.special, tokens)
            case "APPEND":
                self.report.commands -= 1
                self._append_goes_on(Tokens(tokens.octets, utf8=tokens.utf8), None)
            case "STARTTLS":
                tokens.end()
                self._ends(Done("Begin TLS now"))
                self._reader.clear()
                self.wants_tls = True
            case "IDLE":
                tokens.end()
                self._say(b"+ Idling\r\n")
                self._is_idling = self._has_news = True
                if self._state.view_or_none is not None:
                    self._unwatch = self._watches.watch(self._state.view_or_none, self._wake)
            case "CAPABILITY":
                tokens.end()
                capabilities = " ".join(commands.capabilities(self._state, self._login))
                self._say(f"* CAPABILITY {capabilities}\r\n".encode())
                self._ends(Done())
            case "COMPRESS":
                self._compress(tokens)
            case _:
                self._running = command.run(self._state, tokens)

    def _step(self) -> tuple[bytes, Done | Bye | None, bool]:
        """Makes a piece of the answer: octets, how the command ends, and whether it does."""
        running, command = self._running, self._command
        assert running is not None
        assert command is not None
        pieces: list[bytes] = []
        size = 0
        done: Done | Bye
        try:
            while size < PIECE:
                piece = next(running)
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces), None, False
        except StopIteration as end:
            done = end.value or Done()
        except Exception as fault:  # noqa: BLE001 - ending() knows what is an answer, and raises again what is not
            done = ending(fault)
        try:
            pieces += self._state.updates(may_vanish=command.may_vanish, with_uid=command.has_uid)
        except Exception as fault:  # noqa: BLE001 - see above
            done = self._lost(ending(fault))
        return b"".join(pieces), done, True

    def _lost(self, done: Done) -> Done | Bye:
        """The open mailbox cannot be looked at any more."""
        if done.code == "NONEXISTENT":
            self._state.close_view()
            return Bye("The mailbox was deleted")
        return done

    def _stepped(self, result: tuple[bytes, Done | Bye | None, bool], fault: BaseException | None) -> None:
        if fault is not None:
            raise fault
        octets, done, is_over = result
        self._say(octets)
        if is_over:
            self._running = None
            self._ends(done or Done())

    # ---- APPEND -----------------------------------------------------------------------------------------------------

    def _append_goes_on(self, tokens: Tokens, literal: Literal | None) -> None:
        """The next line of APPEND, up to its literal or its end, has come."""
        if self._append is None:
            self.report.commands += 1
            self._append = Append(self._state)
            self._tag = tokens.octets.partition(b" ")[0]
            self._command = commands.APPEND
        append = self._append
        self._work(
            lambda: append.line(tokens, literal), lambda result, fault: self._append_ready(literal, result, fault)
        )

    def _append_ready(self, literal: Literal | None, result: Done | None, fault: BaseException | None) -> None:
        append = self._append
        assert append is not None
        if fault is not None:
            raise fault
        if literal is None:
            self._append = None
            self._running = commands.ending_with(result or Done())
            return
        if result is not None and literal.is_sync:
            self._append = None
            self._failed(self._tag, f"{result.kind} ".encode() + with_code(result.text, result.code))
            return
        append.left = literal.size
        if literal.is_sync:
            self._say(b"+ Go on\r\n")

    def _read_content(self, append: Append) -> bool:
        octets = self._reader.take(min(append.left, HOLD_LIMIT))
        if not octets:
            return False
        append.left -= len(octets)
        if not append.is_refused:
            self._work(lambda: append.write(octets), self._nothing)
        return True

    def _nothing(self, _result: Any, fault: BaseException | None) -> None:
        if fault is not None:
            raise fault

    # ---- login ------------------------------------------------------------------------------------------------------

    def _authenticate(self, command: str, tokens: Tokens) -> None:
        self._login_step(self._login.begin(command, tokens))

    def _answered(self, line: bytes) -> None:
        self._login_step(self._login.answer(line))

    def _login_step(self, step: bytes | Waiting | Done | Entered) -> None:
        if isinstance(step, bytes):
            self._say(step)
        elif isinstance(step, Done):
            self._ends(step)
        elif isinstance(step, Entered):
            self._enter(step.account)
        else:
            self._is_busy = True
            self._job = step
            self._on_job = self._checked

    def _checked(self, result: Any, fault: BaseException | None) -> None:
        if fault is not None:
            raise fault
        self._login_step(self._login.checked(result))

    def _enter(self, account: str) -> None:
        """Opens the account's store, then says what the session can do now."""
        self.report.account = self._state.account = account
        self._state.hidden = self._state.hidden_of(account)
        self.patience = self._idle_timeout

        def opened(store: Store, fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            self._state.store_or_none = store
            capabilities = " ".join(commands.capabilities(self._state, self._login))
            self._ends(Done("Welcome", f"CAPABILITY {capabilities}"))

        self._work(lambda: self._open_store(account), opened)

    # ---- IDLE -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._has_news = False

        def look() -> tuple[bytes, Done | Bye | None]:
            try:
                return b"".join(self._state.updates(may_vanish=True)), None
            except Exception as fault:  # noqa: BLE001 - see _step
                return b"", self._lost(ending(fault))

        def looked(result: tuple[bytes, Done | Bye | None], fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            self._say(result[0])
            if result[1] is not None:
                self._end_idle(b"")
                self._bye("The mailbox cannot be read any more")

        self._work(look, looked)

    def _end_idle(self, line: bytes) -> None:
        self._is_idling = False
        self._stop_watching()
        self._ends(Done() if line.upper() == b"DONE" else Done("only DONE ends IDLE", "", "BAD"))

    def _stop_watching(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    # ---- the rest ---------------------------------------------------------------------------------------------------

    def _compress(self, tokens: Tokens) -> None:
        tokens.space()
        name = tokens.word()
        tokens.end()
        if name != b"DEFLATE":
            raise Bad("DEFLATE is the one method")
        if self._deflate is not None:
            self._ends(Done("It is compressed already", "COMPRESSIONACTIVE", "NO"))
            return
        self._ends(Done("Compressed from here on"))
        # What is in the output was said before: it goes out as it is, in front of the compressed octets.
        self._deflate = compress.Deflate(b"".join(self._output), self._reader.take(self._reader.held))
        self._output.clear()
        self._reader.feed(self._deflate.first_input())

    def _work(self, run: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Has ``run`` carried out in a thread; ``done`` gets what comes of it."""
        self._is_busy = True
        self._job = Blocking(run)
        self._on_job = done

    def _release(self) -> None:
        if self._running is not None:
            self._running.close()
        if self._append is not None:
            self._append.abort()
        self._state.close_view()
