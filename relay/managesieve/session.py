"""A ManageSieve session (RFC 5804) as a pure machine (relay/readers/machine.py).

Theory: a command is read whole, obeyed, and answered with OK, NO or BYE; what looks at the disk, compiles a script or
checks a password is a job, and what comes in meanwhile waits. A script is checked before it is stored, with all of
its errors told at once, so that what is stored can be run.

Invariants: nothing but a login is possible before one; no login in the clear unless the listener allows it; nothing
read before TLS began counts after it.

Not here: the octets (syntax.py), the files (relay/mailbox/scripts.py), passwords (relay/auth).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from relay.auth import TEMPORARY, Accepted, Challenge, Exchange, Login, Refused, Step, Trouble
from relay.mail.spoken import spoken
from relay.mailbox.scripts import ScriptRefused, Scripts
from relay.managesieve.arguments import arguments_of, check_script, script_name
from relay.managesieve.syntax import BrokenError, Command, Reader, string
from relay.net.tls_machine import TlsServer
from relay.readers.login_policy import LoginPolicy, SessionLogin
from relay.readers.machine import Blocking, Job
from relay.readers.turns import Then, Turns
from relay.sieve import EXTENSIONS

MAX_ERRORS: Final = 50
"""Commands of one session that may fail; then BYE."""
_GOODBYES: Final = {
    "drained": b'BYE (TRYLATER) "This server stops, come again"\r\n',
    "idle_timeout": b'BYE "You have said nothing for too long"\r\n',
}
_TOO_MANY: Final = b'BYE (TRYLATER) "Too many connections"\r\n'
_BEFORE_LOGIN: Final = ("AUTHENTICATE", "STARTTLS", "LOGOUT", "CAPABILITY", "NOOP")


class Limits(NamedTuple):
    """What a session may do; durations in seconds."""

    hostname: str
    login_timeout: float
    idle_timeout: float
    max_script_size: int
    max_redirects: int
    ports: str
    """Which ports are for what, for a client that speaks another protocol."""


class Session(Turns):
    """One session."""

    def __init__(
        self,
        limits: Limits,
        policy: LoginPolicy,
        scripts: Callable[[str], Scripts],
    ) -> None:
        """``scripts``: those of an account."""
        super().__init__(limits.login_timeout)
        self._limits = limits
        self._login_rules = SessionLogin(policy)
        self._scripts_of = scripts
        self._scripts: Scripts | None = None
        self._is_open = False
        self._reader = Reader(limits.max_script_size)
        self._exchange: Exchange | None = None
        self._goodbye = b""
        self._commands: Mapping[str, tuple[str, Callable[..., None]]] = {
            "AUTHENTICATE": ("ss?", self._authenticate),
            "STARTTLS": ("", self._starttls),
            "LOGOUT": ("", self._logout),
            "CAPABILITY": ("", self._capability),
            "NOOP": ("s?", self._noop),
            "UNAUTHENTICATE": ("", self._unauthenticate),
            "HAVESPACE": ("sn", self._have_space),
            "PUTSCRIPT": ("ss", self._put_script),
            "LISTSCRIPTS": ("", self._list_scripts),
            "SETACTIVE": ("s", self._set_active),
            "GETSCRIPT": ("s", self._get_script),
            "DELETESCRIPT": ("s", self._delete_script),
            "RENAMESCRIPT": ("ss", self._rename_script),
            "CHECKSCRIPT": ("s", self._check_script),
        }

    # ---- what the transport says ------------------------------------------------------------------------------------

    def open(self, wake: Callable[[], None]) -> None:
        """See Machine."""
        del wake
        self._is_open = True
        self._capability(b"ManageSieve at " + self._limits.hostname.encode())

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        self._now = now
        self._reader.feed(octets)
        self._go_on()

    def may_read(self) -> bool:
        """See Machine."""
        return not self._is_busy or self._reader.held < self._limits.max_script_size

    def secured(self, stream: TlsServer) -> None:
        """See Machine. RFC 5804 2.2: the capabilities are told again without being asked for."""
        self._login_rules.secured(stream)
        self.wants_tls = False
        if self._is_open:
            self._capability(b"TLS has begun")

    def farewell(self, cause: str) -> None:
        """See Machine."""
        self._goodbye = _GOODBYES.get(cause, _TOO_MANY)
        self._go_on()

    def mixed_up(self, protocol: str) -> None:
        """See Machine."""
        text = "begins with TLS only after STARTTLS" if protocol == "tls" else "begins with TLS"
        self._end(f'BYE "This is a ManageSieve port, which {text}. {self._limits.ports}"\r\n'.encode())

    def _gave_up(self) -> bytes:
        """RFC 5804 1.3: TRYLATER."""
        return b'NO (TRYLATER) "This does not come to an end now"\r\nBYE (TRYLATER) "Come again later"\r\n'

    def release(self) -> Job | None:
        """See Machine."""
        if self._exchange is not None:
            begun, self._exchange = self._exchange, None
            self._login_rules.not_completed(Trouble.ABANDONED, begun)
        return None

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while not (self.is_over or self.wants_tls or self._is_busy):
            self._finished()
            if self._goodbye:
                self._end(self._goodbye)
                return
            try:
                command = self._reader.next()
            except BrokenError as fault:
                if fault.is_fatal:
                    self._bye(fault.text)
                    return
                if self._exchange is not None:
                    begun, self._exchange = self._exchange, None
                    self._login_rules.not_completed(Trouble.MALFORMED, begun)
                self._no(fault.text)
                continue
            if command is None:
                return
            if self._exchange is not None:
                self._answer(command)
            elif command.words:
                self._obey(command)
        if not self._is_busy:
            self._finished()

    def _obey(self, command: Command) -> None:
        self.report.commands += 1
        name = (command.words[0] or b"").decode("latin-1").upper()
        known = self._commands.get(name) if not command.strings[0] else None
        self._begins(name.lower() if known else "other")
        if known is None:
            other = spoken(b" ".join(word or b"" for word in command.words)) if self.report.commands == 1 else ""
            if other:
                self.report.mixup = other
                self._bye(f"This is a ManageSieve port, for filter scripts. {self._limits.ports}")
                return
            self._no("This command is not known here")
            return
        if self._scripts is None and name not in _BEFORE_LOGIN:
            self._no("Log in first")
            return
        arguments = arguments_of(command, known[0])
        if isinstance(arguments, str):
            self._no(arguments, "QUOTA/MAXSIZE" if None in command.words else "")
        else:
            known[1](*arguments)

    def _capability(self, said: bytes = b"Capability completed") -> None:
        mechanisms = () if self._scripts is not None else self._login_rules.mechanisms
        lines = [
            ("IMPLEMENTATION", "Relay"),
            ("SIEVE", " ".join(EXTENSIONS)),
            ("SASL", " ".join(mechanisms)),
            ("MAXREDIRECTS", str(self._limits.max_redirects)),
            ("VERSION", "1.0"),
        ]
        if self.report.account and self._scripts is not None:
            lines.append(("OWNER", self.report.account))
        self._output += [f'"{name}" '.encode() + string(value.encode()) + b"\r\n" for name, value in lines]
        self._say(b'"UNAUTHENTICATE"\r\n')
        if self._login_rules.offers_tls:
            self._say(b'"STARTTLS"\r\n')
        self._ok(said)

    def _starttls(self) -> None:
        if not self._login_rules.offers_tls:
            self._no("TLS cannot begin now")
            return
        self._ok(b"Begin TLS")
        self._reader.clear()
        self.wants_tls = True

    def _noop(self, tag: bytes | None = None) -> None:
        self._ok(b"Done", b"TAG " + string(tag) if tag is not None else b"")

    def _logout(self) -> None:
        self._ok(b"Goodbye")
        self.is_over = self.closes_at_once = True

    def _unauthenticate(self) -> None:
        self._scripts = None
        self.report.account = ""
        self.patience = self._limits.login_timeout
        self._ok(b"Done")

    # ---- login ------------------------------------------------------------------------------------------------------

    def _authenticate(self, mechanism: bytes, initial: bytes | None = None) -> None:
        name = mechanism.decode("latin-1").upper()
        if self._scripts is not None:
            self._no("You have logged in already")
        elif not self._login_rules.mechanisms:
            self._no("Begin TLS before you log in", "ENCRYPT-NEEDED")
        elif (exchange := self._login_rules.exchange(name)) is None:
            self._no("This mechanism is not offered")
        else:
            self._exchange = exchange
            self._step(exchange.start(initial))

    def _answer(self, command: Command) -> None:
        exchange = self._exchange
        assert exchange is not None
        if len(command.words) == 1 and command.words[0] is not None:
            self._step(exchange.answer(command.words[0]))
        else:
            self._step(Refused(Trouble.MALFORMED))

    def _step(self, step: Step) -> None:
        match step:
            case Challenge(octets):
                self._say(string(octets) + b"\r\n")
            case Accepted(account):
                self._exchange = None
                self._scripts = self._scripts_of(account)
                self.report.account = account
                self.patience = self._limits.idle_timeout
                self._ok(b"Welcome")
            case Refused(trouble):
                begun, self._exchange = self._exchange, None
                self._login_rules.not_completed(trouble, begun)
                self._refused(trouble)
            case check:
                self._begin(self._login_rules.check(check), self._checked)

    def _checked(self, login: Login | None, fault: BaseException | None) -> None:
        exchange = self._exchange
        assert exchange is not None
        step = Refused(Trouble.BUSY) if fault is not None or login is None else exchange.checked(login)
        if isinstance(step, Refused):  # counted by the check
            self._exchange = None
            self._refused(step.trouble)
        else:
            self._step(step)

    def _refused(self, trouble: Trouble) -> None:
        if trouble in TEMPORARY:
            self._no("Try again later", "TRYLATER")
        elif trouble is Trouble.CANCELLED:
            self._no("Cancelled")
        else:
            self._no("The login has failed")

    # ---- scripts ----------------------------------------------------------------------------------------------------

    def _have_space(self, name: bytes, size: int) -> None:
        self._on_disk(name, lambda scripts, text: scripts.check_space(text, size), "There is room")

    def _put_script(self, name: bytes, content: bytes) -> None:
        def put(scripts: Scripts, text: str) -> None:
            scripts.check_space(text, len(content))
            check_script(content)
            scripts.put(text, content)

        self._on_disk(name, put, "Stored")

    def _check_script(self, content: bytes) -> None:
        self._begin(Blocking(lambda: check_script(content)), lambda _result, _fault: self._ok(b"The script is correct"))

    def _list_scripts(self) -> None:
        def listed(found: Any, _fault: BaseException | None) -> None:
            for each in found:
                self._say(string(each.name.encode()) + (b" ACTIVE" if each.is_active else b"") + b"\r\n")
            self._ok(b"Done")

        scripts = self._scripts
        assert scripts is not None
        self._begin(Blocking(scripts.list), listed)

    def _set_active(self, name: bytes) -> None:
        if not name:
            scripts = self._scripts
            assert scripts is not None
            self._begin(
                Blocking(lambda: scripts.activate("")), lambda _result, _fault: self._ok(b"No script is active")
            )
            return
        self._on_disk(name, lambda scripts, text: scripts.activate(text), "Active")

    def _get_script(self, name: bytes) -> None:
        def got(content: Any, _fault: BaseException | None) -> None:
            self._say(b"{%d}\r\n" % len(content) + content + b"\r\n")
            self._ok(b"Done")

        self._on_disk(name, lambda scripts, text: scripts.get(text), got)

    def _delete_script(self, name: bytes) -> None:
        self._on_disk(name, lambda scripts, text: scripts.delete(text), "Deleted")

    def _rename_script(self, name: bytes, new_name: bytes) -> None:
        new = script_name(new_name)
        if new is None:
            self._no("This cannot be the name of a script")
            return
        self._on_disk(name, lambda scripts, text: scripts.rename(text, new), "Renamed")

    def _on_disk(
        self,
        name: bytes,
        work: Callable[[Scripts, str], Any],
        done: str | Then,
    ) -> None:
        """``work`` as a job; then OK with the words ``done``, or what ``done`` says."""
        text, scripts = script_name(name), self._scripts
        assert scripts is not None
        if text is None:
            self._no("This cannot be the name of a script")
            return
        then = done if callable(done) else lambda _result, _fault: self._ok(done.encode())
        self._begin(Blocking(lambda: work(scripts, text)), then)

    def _begin(self, job: Job, then: Then) -> None:
        """``then`` is given the result; a fault is answered here."""

        def done(result: Any, fault: BaseException | None) -> None:
            if isinstance(fault, ScriptRefused):
                self._no(fault.text, fault.code)
            elif fault is not None:
                self._no("This is not possible now, try again later", "TRYLATER")
            else:
                then(result, None)

        self._wait(job, done)

    # ---- replies ----------------------------------------------------------------------------------------------------

    def _ok(self, text: bytes, code: bytes = b"") -> None:
        self._say(b"OK " + (b"(" + code + b") " if code else b"") + string(text) + b"\r\n")

    def _no(self, text: str, code: str = "") -> None:
        self.report.errors += 1
        self._say(
            b"NO " + (f"({code}) ".encode() if code else b"") + string(text.replace("\n", "\r\n").encode()) + b"\r\n"
        )
        if self.report.errors >= MAX_ERRORS:
            self._bye("too many errors")

    def _bye(self, text: str) -> None:
        self._say(b"BYE " + string(text.replace("\n", "\r\n").encode()) + b"\r\n")
        self.is_over = True
