"""A POP3 session (RFC 1939, 2449, 2595, 3206, 5034, 6856) as a pure machine (relay/readers/machine.py).

Theory: lines come in and are obeyed one after the other (RFC 2449 6.6: PIPELINING). A command that needs the disk or a
password becomes a job, and the lines behind it wait until its answer is said; a long answer is an iterator of which
each piece is a job of its own.

Invariants: nothing is removed before QUIT, and nothing at all when the connection drops (RFC 1939 6); the maildrop
never changes under the client; without a login only the commands of the AUTHORIZATION state are obeyed.

Not here: the maildrop (maildrop.py), long answers (answers.py), the login (login.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mail.spoken import spoken
from relay.mailbox.interfaces import Store
from relay.mailbox.vocabulary import Refused
from relay.net.stopping import JobStopped
from relay.net.tls_machine import TlsServer
from relay.pop3 import answers
from relay.pop3.login import LONGEST_RESPONSE, Entered, Entrance, Way
from relay.pop3.maildrop import InUseError, Maildrop, open_maildrop
from relay.pop3.retrieving import OURS, following, said, together, whole
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Blocking, Job
from relay.readers.turns import Turns

LONGEST_LINE: Final = 1100
"""Octets of a command with its CRLF. RFC 2449 4 has 255; a password may be longer."""
MOST_ERRORS: Final = 20
"""Commands that are refused; then the session ends."""
HELD: Final = 65536
"""Octets of commands that may wait while one is worked on."""
_GOODBYES: Final = {
    "drained": b"-ERR [SYS/TEMP] This server stops, come again\r\n",
    "draining": b"-ERR [SYS/TEMP] This server stops, come again\r\n",
    "idle_timeout": b"-ERR [SYS/TEMP] You have said nothing for too long\r\n",
}
_TOO_MANY: Final = b"-ERR [SYS/TEMP] Too many connections\r\n"
_NO_ARGUMENT: Final = frozenset({b"STAT", b"NOOP", b"RSET", b"QUIT", b"CAPA", b"STLS", b"UTF8"})


class Rules(NamedTuple):
    """What is the same for all sessions of a listener."""

    hostname: str
    ports: str
    """Which ports are for what, for a client that speaks another protocol."""
    locks: Path | None
    """The folder of the locks of exclusive maildrops; None: maildrops are shared."""
    login_timeout: float
    idle_timeout: float


class Session(Turns):
    """One session."""

    def __init__(self, rules: Rules, policy: LoginPolicy, open_store: Callable[[str], Store]) -> None:
        super().__init__(rules.login_timeout)
        self._rules: Final = rules
        self._entrance: Final = Entrance(policy)
        self._open_store: Final = open_store
        self._maildrop: Maildrop | None = None
        self._input = b""
        self._answer: Iterator[bytes] | None = None
        self._goodbye = b""

    # ---- Machine ----------------------------------------------------------------------------------------------------

    def open(self, wake: Callable[[], None]) -> None:
        """See Machine."""
        del wake
        self._say(b"+OK " + self._rules.hostname.encode() + b" POP3\r\n")

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        self._now = now
        self._input += octets
        self._go_on()

    def may_read(self) -> bool:
        """See Machine."""
        return not self._is_busy or len(self._input) < HELD

    def secured(self, stream: TlsServer) -> None:
        """See Machine."""
        self._input = b""
        self._entrance.secured(stream)

    def farewell(self, cause: str) -> None:
        """See Machine. Messages that are marked stay (RFC 1939 3: the session has not reached UPDATE)."""
        self._goodbye = _GOODBYES.get(cause, _TOO_MANY)
        self._go_on()

    def mixed_up(self, protocol: str) -> None:
        """See Machine."""
        what = "begins without TLS" if protocol == "tls" else "begins with TLS"
        self._end(f"-ERR This port speaks POP3 and {what}. {self._rules.ports}\r\n".encode())

    def _gave_up(self) -> bytes:
        """RFC 3206 4: SYS/TEMP. Behind a part of an answer nothing can be said."""
        return b"" if self._answer is not None else OURS

    def release(self) -> Job | None:
        """See Machine."""
        self._entrance.left()
        maildrop, answer = self._maildrop, self._answer
        self._maildrop = self._answer = None
        return None if maildrop is None else Blocking(lambda: _released(maildrop, answer))

    # ---- lines ------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Obeys what has come in, until there is something to wait for."""
        while not (self.is_over or self.wants_tls or self._is_busy):
            self._finished()
            if self._goodbye:
                self._end(self._goodbye)
                return
            longest = LONGEST_RESPONSE if self._entrance.awaits_response else LONGEST_LINE
            end = self._input.find(b"\n", 0, longest)
            if end < 0:
                if len(self._input) >= longest:
                    self._end(b"-ERR This line is too long\r\n")
                return
            line, self._input = self._input[:end].removesuffix(b"\r"), self._input[end + 1 :]
            if self._entrance.awaits_response:
                self._follow(self._entrance.respond(line))
            else:
                self._obey(line)
        if not self._is_busy:
            self._finished()
        if self.wants_tls:
            self._input = b""  # said in the clear: must never count as if it had come under TLS (RFC 2595 4)

    def _obey(self, line: bytes) -> None:
        word, has_argument, argument = line.partition(b" ")
        verb = word.upper()
        self.report.commands += 1
        self._begins(verb.decode("latin-1").lower())
        if has_argument and verb in _NO_ARGUMENT:
            self._refuse("takes no argument")
        elif verb == b"QUIT":
            self._quit()
        elif verb == b"CAPA":
            self._say(b"+OK\r\n" + b"".join(line + b"\r\n" for line in self._capabilities()) + answers.END)
        elif verb == b"LANG":
            self._lang(argument)
        elif self._maildrop is None:
            self._authorize(verb, argument)
        else:
            self._transact(self._maildrop, verb, argument)

    def _unknown(self, line: bytes) -> None:
        """A client that is at the wrong port is told where the right one is, once."""
        other = spoken(line) if self.report.commands == 1 else ""
        if other:
            self.report.mixup = other
            self._end(f"-ERR This port speaks POP3. {self._rules.ports}\r\n".encode())
        else:
            self._refuse("this command is not known here")

    def _capabilities(self) -> list[bytes]:
        """RFC 2449 5, 6."""
        lines = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"UTF8 USER", b"LANG",
                 b"EXPIRE NEVER", b"LOGIN-DELAY 0"]  # fmt: skip
        mechanisms = self._entrance.mechanisms
        if mechanisms:
            lines += [b"USER", b"SASL " + " ".join(mechanisms).encode()]
        if self._entrance.offers_tls and self._maildrop is None:
            lines.append(b"STLS")
        return [*lines, b"IMPLEMENTATION Relay"]

    def _lang(self, argument: bytes) -> None:
        """RFC 6856 3: there is one language."""
        if not argument:
            self._say(b"+OK\r\nen English\r\n" + answers.END)
        elif argument.lower() in {b"en", b"*"} or argument.lower().startswith(b"en-"):
            self._say(b"+OK en This is English\r\n")
        else:
            self._refuse("there is only English here")

    # ---- AUTHORIZATION ----------------------------------------------------------------------------------------------

    def _authorize(self, verb: bytes, argument: bytes) -> None:
        match verb:
            case b"STLS" if self._entrance.offers_tls:
                self._say(b"+OK Begin TLS\r\n")
                self.wants_tls = True
            case b"USER" if argument:
                self._follow(self._entrance.user(argument))
            case b"PASS" if argument:
                self._follow(self._entrance.pass_(argument))
            case b"AUTH" if argument:
                self._follow(self._entrance.auth(argument))
            case b"AUTH":
                names = "".join(f"{name}\r\n" for name in self._entrance.mechanisms)
                self._say(b"+OK\r\n" + names.encode() + answers.END)
            case b"UTF8":
                self._say(b"+OK\r\n")  # RFC 6856 2.1: contents are sent as they are in any case
            case b"USER" | b"PASS":
                self._refuse("needs an argument")
            case b"STAT" | b"LIST" | b"UIDL" | b"RETR" | b"TOP" | b"DELE" | b"RSET" | b"NOOP":
                self._refuse("log in first")
            case _:
                self._unknown(verb + b" " + argument)

    def _follow(self, way: Way) -> None:
        """Goes on with the login."""
        if isinstance(way, Entered):
            self._enter(way.account)
        elif isinstance(way, bytes):
            if way.startswith(b"-ERR"):
                self._count_error()
            self._say(way)
        else:
            self._wait(way, lambda answer, fault: self._follow(self._entrance.checked(answer, fault)))

    def _enter(self, account: str) -> None:
        def entered(maildrop: Maildrop | None, fault: BaseException | None) -> None:
            if isinstance(fault, InUseError):
                self._say(b"-ERR [IN-USE] Another session has this maildrop\r\n")
            elif fault is not None or maildrop is None:
                self._say(OURS if isinstance(fault, Refused) else said(fault))
            else:
                self._maildrop = maildrop
                self.report.account = account
                self.patience = self._rules.idle_timeout
                self._say(f"+OK {len(maildrop)} messages, {maildrop.octets()} octets\r\n".encode())

        self._wait(Blocking(lambda: open_maildrop(self._open_store(account), account, self._rules.locks)), entered)

    # ---- TRANSACTION ------------------------------------------------------------------------------------------------

    def _transact(self, maildrop: Maildrop, verb: bytes, argument: bytes) -> None:
        match verb:
            case b"STAT":
                self._say(f"+OK {len(maildrop) - len(maildrop.deleted)} {maildrop.octets()}\r\n".encode())
            case b"NOOP":
                self._say(b"+OK\r\n")
            case b"RSET":
                maildrop.deleted.clear()
                self._say(f"+OK {len(maildrop)} messages, {maildrop.octets()} octets\r\n".encode())
            case b"LIST" | b"UIDL" if not argument:
                self._list(maildrop, verb)
            case b"LIST" | b"UIDL" | b"DELE" | b"RETR":
                self._about_one(maildrop, verb, argument)
            case b"TOP":
                self._top(maildrop, argument)
            case b"USER" | b"PASS" | b"AUTH" | b"STLS" | b"UTF8":
                self._refuse("you are logged in already")
            case _:
                self._refuse("this command is not known here")

    def _list(self, maildrop: Maildrop, verb: bytes) -> None:
        indexes = list(maildrop.kept())
        if verb == b"LIST":
            first = f"+OK {len(indexes)} messages, {maildrop.octets()} octets\r\n".encode()
            self._send(answers.listing(first, (b"%d %d\r\n" % (i + 1, maildrop.sizes[i]) for i in indexes)))
        else:
            self._send(answers.listing(b"+OK\r\n", (b"%d %b\r\n" % (i + 1, maildrop.uidl(i)) for i in indexes)))

    def _about_one(self, maildrop: Maildrop, verb: bytes, argument: bytes) -> None:
        index = self._index(maildrop, argument)
        if index < 0:
            return
        if verb == b"LIST":
            self._say(b"+OK %d %d\r\n" % (index + 1, maildrop.sizes[index]))
        elif verb == b"UIDL":
            self._wait(Blocking(lambda: b"+OK %d %b\r\n" % (index + 1, maildrop.uidl(index))), self._one_line)
        elif verb == b"DELE":
            maildrop.deleted.add(index)
            self._say(b"+OK It goes when you say QUIT\r\n")
        else:
            self._retrieve(maildrop, index)

    def _retrieve(self, maildrop: Maildrop, index: int) -> None:
        """RETR, and those that stand behind it: small ones are made in one job."""
        more, used = following(maildrop, index, self._input)
        self._input = self._input[used:]
        self.report.commands += len(more)
        if not more:
            self._fetch(lambda: whole(maildrop, index))
            return

        def made(result: tuple[bytes, int] | None, fault: BaseException | None) -> None:
            if isinstance(fault, JobStopped):
                self._end(OURS)  # for the first of them; the others are not answered
                return
            if fault is not None or result is None:
                self.is_over = self.closes_at_once = True
                return
            octets, messages = result
            self.report.fetched += messages
            self._say(octets)

        self._wait(Blocking(lambda: together(maildrop, [index, *more])), made)

    def _top(self, maildrop: Maildrop, argument: bytes) -> None:
        number, _, lines = argument.partition(b" ")
        if not _is_number(lines):
            self._refuse("TOP takes a message's number and a number of lines")
            return
        index = self._index(maildrop, number)
        if index >= 0:
            self._fetch(lambda: answers.top(b"+OK\r\n", maildrop.content(index), int(lines)))

    def _index(self, maildrop: Maildrop, argument: bytes) -> int:
        """The index that the client's number means; -1, and it is refused, when there is no such message."""
        number = int(argument) if _is_number(argument) else 0
        if not 1 <= number <= len(maildrop):
            self._refuse("there is no such message")
        elif number - 1 in maildrop.deleted:
            self._refuse("this message is marked as deleted")
        else:
            return number - 1
        return -1

    def _fetch(self, begin: Callable[[], Iterator[bytes]]) -> None:
        """Says an answer about a message: its beginning, for most messages all of it, is made in one job."""

        def made() -> tuple[Iterator[bytes], bytes, bool]:
            answer = begin()
            return answer, *answers.some(answer)

        def begun(result: tuple[Iterator[bytes], bytes, bool] | None, fault: BaseException | None) -> None:
            if fault is None and result is not None:
                self.report.fetched += 1
                answer, octets, goes_on = result
                self._say(octets)
                if goes_on:
                    self._send(answer)
            else:
                self._say(said(fault))

        self._wait(Blocking(made), begun)

    def _one_line(self, line: bytes | None, fault: BaseException | None) -> None:
        self._say(said(fault) if fault is not None or line is None else line)

    def _send(self, answer: Iterator[bytes]) -> None:
        """Says an answer piece by piece."""
        self._answer = answer

        def made(result: tuple[bytes, bool] | None, fault: BaseException | None) -> None:
            if fault is not None or result is None:
                # Half of the answer is said already: an end that looks right would be a lie.
                self.is_over = self.closes_at_once = True
                return
            octets, goes_on = result
            self._say(octets)
            if goes_on:
                self._wait(Blocking(lambda: answers.some(answer)), made)
            else:
                self._answer = None

        self._wait(Blocking(lambda: answers.some(answer)), made)

    # ---- UPDATE -----------------------------------------------------------------------------------------------------

    def _quit(self) -> None:
        maildrop = self._maildrop
        self.closes_at_once = True
        if maildrop is None or not maildrop.deleted:
            self._end(b"+OK Goodbye\r\n")
            return

        def updated(removed: int | None, fault: BaseException | None) -> None:
            if fault is None:
                self.report.removed = removed or 0
                self._end(b"+OK Goodbye\r\n")
            else:
                self._end(b"-ERR [SYS/TEMP] Some messages that are marked as deleted are not removed\r\n")

        self._wait(Blocking(maildrop.update), updated)

    # ---- output -----------------------------------------------------------------------------------------------------

    def _refuse(self, why: str) -> None:
        self._say(f"-ERR {why[0].upper()}{why[1:]}\r\n".encode())
        self._count_error()

    def _count_error(self) -> None:
        self.report.errors += 1
        if self.report.errors >= MOST_ERRORS:
            self._goodbye = b"-ERR Too many commands that are refused\r\n"


def _is_number(octets: bytes) -> bool:
    return octets.isdigit() and len(octets) <= 10


def _released(maildrop: Maildrop, answer: Iterator[bytes] | None) -> None:
    """Closes the content of an answer that was cut off, then the maildrop."""
    if answer is not None:
        answer.close()  # type: ignore[attr-defined]  # a generator, as all in answers.py
    maildrop.close()
