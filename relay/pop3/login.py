"""How a session of POP3 comes to an account: USER and PASS (RFC 1939 7), AUTH (RFC 5034).

Not here: mechanisms and passwords (relay/auth).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from relay.auth import (
    LONGEST_LINE,
    TEMPORARY,
    Accepted,
    Challenge,
    Exchange,
    Login,
    Refused,
    Step,
    Trouble,
)
from relay.net.tls_machine import TlsServer
from relay.readers.login_policy import LoginPolicy, SessionLogin
from relay.readers.machine import Waiting

LONGEST_RESPONSE: Final = LONGEST_LINE


class Entered(NamedTuple):
    """The client is this account."""

    account: str


Way = bytes | Waiting | Entered
"""What to say, what to wait for, or that somebody has entered."""


class Entrance(SessionLogin):
    """One session's."""

    def __init__(self, policy: LoginPolicy) -> None:
        super().__init__(policy)
        self._exchange: Exchange | None = None
        self._name = b""
        self.awaits_response = False
        """The client's next line is a response to a challenge."""

    def left(self) -> None:
        """The connection is gone, perhaps in the middle of an exchange."""
        if self._exchange is not None and self.awaits_response:
            self.not_completed(Trouble.ABANDONED, self._exchange)
        self._exchange = None

    def secured(self, stream: TlsServer) -> None:
        """TLS is there: what was said before does not count (RFC 2595 4)."""
        super().secured(stream)
        self._exchange, self._name, self.awaits_response = None, b"", False

    def user(self, name: bytes) -> bytes:
        """USER: every name is welcome, or it would tell which accounts there are."""
        if not self.mechanisms:
            return _NEEDS_TLS
        self._name = name
        return b"+OK Now the password\r\n"

    def pass_(self, password: bytes) -> Way:
        """PASS."""
        if not self._name:
            return b"-ERR Say USER first\r\n"
        name, self._name, self._exchange = self._name, b"", None
        return self.password(name, password)

    def auth(self, argument: bytes) -> Way:
        """AUTH mechanism [initial-response]."""
        if not self.mechanisms:
            return _NEEDS_TLS
        name, _, initial = argument.partition(b" ")
        self._exchange = self.exchange(name.decode("ascii", "replace").upper())
        if self._exchange is None:
            return b"-ERR This mechanism is not offered\r\n"
        return self._take(self._exchange.start(initial or None))

    def respond(self, line: bytes) -> Way:
        """The client's response to a challenge."""
        self.awaits_response = False
        assert self._exchange is not None
        return self._take(self._exchange.answer(line))

    def checked(self, answer: Any, fault: BaseException | None) -> Way:
        """What was waited for has come."""
        if fault is not None or not isinstance(answer, Login):
            self._exchange = None
            return _said(Trouble.BUSY)
        if answer.trouble is not None:
            self._exchange = None
            return _said(answer.trouble)
        return Entered(answer.account) if self._exchange is None else self._take(self._exchange.checked(answer))

    def _take(self, step: Step) -> Way:
        match step:
            case Challenge(octets):
                self.awaits_response = True
                return b"+ " + octets + b"\r\n"
            case Accepted(account):
                self._exchange = None
                return Entered(account)
            case Refused(trouble):
                begun, self._exchange = self._exchange, None
                self.not_completed(trouble, begun)
                return _said(trouble)
            case check:
                return self.check(check)


_NEEDS_TLS: Final = b"-ERR Log in only under TLS\r\n"


def _said(trouble: Trouble) -> bytes:
    """RFC 3206: whether another password would help."""
    if trouble in TEMPORARY:
        return b"-ERR [SYS/TEMP] Too many logins at the moment or too many that failed, try again later\r\n"
    if trouble in {Trouble.MALFORMED, Trouble.TOO_LONG, Trouble.CANCELLED}:
        return b"-ERR The login not completed\r\n"
    return b"-ERR [AUTH] Account or password is wrong\r\n"
