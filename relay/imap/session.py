"""An IMAP session (RFC 9051, RFC 3501) as a pure machine (relay/readers/machine.py).

Theory: whole commands come from the input (command_input.py). A command of the table (commands.py) is a generator that
makes the pieces of its answer (execution.py); it runs in jobs, each of which makes a piece. What needs more than one
turn with the client has a mode of its own: APPEND (append.py), AUTHENTICATE (login.py), IDLE (change_watch.py).

Invariants: commands are carried out in their order, one at a time; every command gets exactly one tagged response.

Not here: what the commands do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from relay.imap import commands, compress
from relay.imap._tokens import Tokens
from relay.imap.change_watch import Changed, News, Watches
from relay.imap.command_input import HOLD_LIMIT, Intake
from relay.imap.completion import Bad, Done, ending
from relay.imap.execution import Execution, Made, lost
from relay.imap.login import Entered, Login
from relay.imap.output import GOODBYES, TOO_MANY
from relay.imap.state import State
from relay.mailbox.interfaces import Store
from relay.mailbox.vocabulary import Refused
from relay.net.stopping import JobStopped
from relay.net.tls_machine import TlsServer
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Blocking, Job, Waiting


class Session(Intake):
    """One session."""

    def __init__(
        self,
        state: State,
        policy: LoginPolicy,
        open_store: Callable[[str], Store],
        watches: Watches,
        *,
        login_timeout: float,
        idle_timeout: float,
    ) -> None:
        super().__init__(state, Login(policy), login_timeout)
        self._login_timeout: Final = login_timeout
        self._idle_timeout: Final = idle_timeout
        self._open_store: Final = open_store
        self._news: Final = News(watches)
        self._deflate: compress.Deflate | None = None
        self._execution: Execution | None = None
        self._is_idling = False
        self._is_between_responses = True
        """Whether what a command has said so far ends with a response; a piece that ends a line of a content may seem
        to, and then its literal ends too early for the client, as it would without a word."""
        self._goodbye = ""

    # ---- Machine ----------------------------------------------------------------------------------------------------

    def open(self, wake: Callable[[], None]) -> None:
        """See Machine."""
        self._news.wake = wake
        self._say(f"* OK [CAPABILITY {self._capabilities()}] {self._state.hostname} IMAP\r\n".encode())

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        self._now = now
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
        octets = super().take_output()
        if self._deflate is None:
            return octets
        return self._deflate.deflate(octets) if octets else self._deflate.take_before()

    def may_read(self) -> bool:
        """See Machine."""
        return not self._is_busy or self._reader.held < HOLD_LIMIT

    def woken(self, now: int) -> None:
        """See Machine."""
        del now
        self._news.has_come = True
        self._go_on()

    def secured(self, stream: TlsServer) -> None:
        """See Machine."""
        self._reader.clear()
        self._login.secured(stream)

    def farewell(self, cause: str) -> None:
        """See Machine."""
        self._goodbye = self._goodbye or cause
        self._go_on()

    def mixed_up(self, protocol: str) -> None:
        """See Machine."""
        what = "begins without TLS" if protocol == "tls" else "begins with TLS"
        self._bye(f"This port speaks IMAP and {what}. {self._state.ports}")

    def _gave_up(self) -> bytes:
        """RFC 9051 7.1.5: BYE may come at any time, but not in the middle of a response."""
        if not self._is_between_responses:
            return b""
        said = self._tag + b" NO [UNAVAILABLE] This does not come to an end now\r\n" if self._kind else b""
        return said + b"* BYE This session cannot go on, come again\r\n"

    def release(self) -> Job | None:
        """See Machine."""
        self._login.left()
        self._news.stop()
        return Blocking(self._release)

    def _release(self) -> None:
        if self._execution is not None:
            self._execution.close()
        if self._append is not None:
            self._append.abort()
        self._state.close_view()

    # ---- turns ------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while not (self._is_busy or self.is_over or self.wants_tls):
            if self._execution is not None:
                self._wait(Blocking(self._execution.step), self._stepped_or_not)
            elif self._goodbye:
                self._bye(GOODBYES.get(self._goodbye, TOO_MANY))
            elif self._news.has_come and self._may_tell:
                self._work(partial(self._look, self._news.take()), self._looked)
            elif not self._read():
                return

    @property
    def _may_tell(self) -> bool:
        """Whether the client is to be told of news now."""
        return self._is_idling or (self._state.notices is not None and self._is_between_commands)

    def _begin(self, command: commands.Command, tokens: Tokens) -> None:
        self._command = command
        self._begins(command.name.removeprefix("UID ").lower())
        if command.special not in _SPECIAL:
            self._execute(command, command.run(self._state, tokens))
            return
        if command.special not in _HAVE_ARGUMENTS:
            tokens.end()
        _SPECIAL[command.special](self, tokens)

    def _execute(self, command: commands.Command, running: commands.Running) -> None:
        self._execution = Execution(self._state, command, running)

    def _stepped_or_not(self, made: Made | None, fault: BaseException | None) -> None:
        if isinstance(fault, JobStopped):  # no thread was free in time
            if not self._is_between_responses:
                self._end(b"")
                return
            assert self._execution is not None
            self._execution.close()
            made = Made(b"", Done("Too much is going on, try again later", "UNAVAILABLE", "NO"))
        elif fault is not None:
            raise fault
        assert made is not None
        self._stepped(made)

    def _stepped(self, made: Made) -> None:
        self._say(made.octets)
        if made.octets:
            self._is_between_responses = made.octets.endswith(b"\r\n")
        if made.how is not None:
            self._is_between_responses = True
            self._execution = self._append = None
            self._follow()
            self._ends(made.how)

    def _capabilities(self) -> str:
        return " ".join(commands.capabilities(self._state, self._login))

    # ---- commands that the session carries out itself ---------------------------------------------------------------

    def _capability(self, _tokens: Tokens) -> None:
        self._say(f"* CAPABILITY {self._capabilities()}\r\n".encode())
        self._ends(Done())

    def _starttls(self, _tokens: Tokens) -> None:
        self._ends(Done("Begin TLS now"))
        self._reader.clear()
        self.wants_tls = True

    def _append_begins(self, tokens: Tokens) -> None:
        self.report.commands -= 1
        self._append_goes_on(Tokens(tokens.octets, utf8=tokens.utf8), None)

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

    # ---- login ------------------------------------------------------------------------------------------------------

    def _authenticate(self, tokens: Tokens) -> None:
        assert self._command is not None
        self._login_step(self._login.begin(self._command.special, tokens))

    def _login_step(self, step: bytes | Waiting | Done | Entered) -> None:
        if isinstance(step, bytes):
            self._say(step)
            self._finished()
            self._on_line = lambda line: self._login_step(self._login.answer(line))
        elif isinstance(step, Done):
            self._ends(step)
        elif isinstance(step, Entered):
            self._enter(step.account)
        else:
            self._wait(step, self._checked)

    def _checked(self, result: Any, fault: BaseException | None) -> None:
        if isinstance(fault, JobStopped):
            self._ends(Done("This takes too long now, try again later", "UNAVAILABLE", "NO"))
            return
        if fault is not None:
            raise fault
        self._login_step(self._login.checked(result))

    def _enter(self, account: str) -> None:
        """Opens the account's store, then says what the session can do now."""
        self.report.account = self._state.account = account
        self._state.hidden = self._state.hidden_of(account)
        self.patience = self._idle_timeout

        def opened(store: Store | Done | None, fault: BaseException | None) -> None:
            if isinstance(fault, JobStopped):
                store = Done("The mailbox cannot be opened now, try again later", "UNAVAILABLE", "NO")
            elif fault is not None:
                raise fault
            if isinstance(store, Done):
                self.report.account = ""
                self._state.leave()
                self.patience = self._login_timeout
                self._ends(store)
                return
            self._state.store_or_none = store
            self._ends(Done("Welcome", f"CAPABILITY {self._capabilities()}"))

        self._wait(Blocking(lambda: self._opened(account)), opened)

    def _opened(self, account: str) -> Store | Done:
        """The account's store, or why it cannot be opened: a fault of the disk is no fault of the client's."""
        try:
            return self._open_store(account)
        except (OSError, Refused) as fault:
            return ending(fault)

    def _unauthenticate(self, _tokens: Tokens) -> None:
        """RFC 8437 3: all but TLS is as it was before the login; the compression ends behind the OK."""

        def left(_result: None) -> None:
            self.patience = self._login_timeout
            self._follow()
            self._ends(Done("Who are you now?"))
            if self._deflate is not None:
                last = self._deflate.finish(b"".join(self._output))
                self._deflate = None
                self._output = [last]

        self._work(self._state.leave, left)

    # ---- IDLE and NOTIFY --------------------------------------------------------------------------------------------

    def _idle(self, _tokens: Tokens) -> None:
        self._say(b"+ Idling\r\n")
        self._finished()
        self._is_idling = True
        self._on_line = self._end_idle
        self._follow()

    def _end_idle(self, line: bytes) -> None:
        self._is_idling = False
        self._follow()
        self._ends(Done() if line.upper() == b"DONE" else Done("only DONE ends IDLE", "", "BAD"))

    def _follow(self) -> None:
        """Watches what the client is to be told of."""
        state, notices = self._state, self._state.notices
        if notices is None:
            if self._is_idling or self._news.is_watching:
                self._news.follow(state.view_or_none if self._is_idling else None, None, (), has_account=False)
            return
        has_view = bool(notices.wishes.selected)
        view = state.view_or_none if has_view else None
        self._news.follow(view, state.store_or_none, notices.names, has_account=notices.has_groups)

    def _look(self, changed: Changed) -> Made:
        """What is to be told of the open mailbox, and of others."""
        state, notices = self._state, self._state.notices
        may_vanish = self._is_idling or notices is None or not notices.wishes.is_delayed
        try:
            told = b"".join(state.updates(may_vanish=may_vanish))
            if notices is not None:
                told += notices.look(state, changed.mailboxes, is_account=changed.is_account)
            return Made(told, None)
        except Exception as fault:  # noqa: BLE001 - lost() raises again what is no answer
            return Made(b"", lost(state, fault))

    def _looked(self, made: Made) -> None:
        self._say(made.octets)
        self._follow()
        if made.how is not None:
            self._bye("The mailbox cannot be read any more")


_SPECIAL: Final[dict[str, Callable[[Session, Tokens], None]]] = {
    "APPEND": Session._append_begins,  # noqa: SLF001 - the table is part of the class
    "AUTHENTICATE": Session._authenticate,  # noqa: SLF001
    "CAPABILITY": Session._capability,  # noqa: SLF001
    "COMPRESS": Session._compress,  # noqa: SLF001
    "IDLE": Session._idle,  # noqa: SLF001
    "LOGIN": Session._authenticate,  # noqa: SLF001
    "STARTTLS": Session._starttls,  # noqa: SLF001
    "UNAUTHENTICATE": Session._unauthenticate,  # noqa: SLF001
}
_HAVE_ARGUMENTS: Final = frozenset({"APPEND", "AUTHENTICATE", "COMPRESS", "LOGIN"})
