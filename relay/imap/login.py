"""LOGIN and AUTHENTICATE (RFC 9051 6.2.2, 6.2.3; SASL-IR: RFC 4959): from the client's words to an account.

Not here: mechanisms and passwords (relay/auth).
"""

from __future__ import annotations

from typing import NamedTuple

from relay.auth import (
    TEMPORARY,
    Accepted,
    Challenge,
    CheckPassword,
    CheckProof,
    Exchange,
    Refused,
    Step,
    Trouble,
)
from relay.auth import Login as Answer
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done
from relay.readers.login_policy import LoginPolicy, SessionLogin
from relay.readers.machine import Waiting


class Entered(NamedTuple):
    """The client is this account."""

    account: str


class Login(SessionLogin):
    """One session's way in."""

    def __init__(self, policy: LoginPolicy) -> None:
        super().__init__(policy)
        self._exchange: Exchange | None = None
        self._awaits_response = False

    def left(self) -> None:
        """The connection is gone, perhaps in the middle of an exchange."""
        if self._exchange is not None and self._awaits_response:
            self.not_completed(Trouble.ABANDONED, self._exchange)
        self._exchange = None

    def begin(self, command: str, tokens: Tokens) -> bytes | Waiting | Done | Entered:
        """``LOGIN`` or ``AUTHENTICATE``, with the cursor behind it: what to say (the client's next
        line is an answer to it), what to wait for, or how it ends."""
        if not self.mechanisms:
            return Done("Log in only under TLS", "PRIVACYREQUIRED", "NO")
        tokens.space()
        if command == "LOGIN":
            name = tokens.astring()
            tokens.space()
            password = tokens.astring()
            tokens.end()
            return self.password(name, password)
        mechanism = tokens.word().decode("ascii")
        initial = None
        if not tokens.is_at_end:
            tokens.space()
            initial = tokens.octets[tokens.at :]
        self._exchange = self.exchange(mechanism)
        if self._exchange is None:
            return Done("This mechanism is not offered", "", "NO")
        return self._take(self._exchange.start(initial))

    def answer(self, line: bytes) -> bytes | Waiting | Done | Entered:
        """The client's answer to a challenge."""
        if self._exchange is None:
            raise Bad("nothing was asked")
        self._awaits_response = False
        return self._take(self._exchange.answer(line))

    def checked(self, answer: Answer) -> bytes | Waiting | Done | Entered:
        """What was waited for has come."""
        if answer.trouble is not None:  # the check has counted it
            self._exchange = None
            return _refused(answer.trouble)
        return Entered(answer.account) if self._exchange is None else self._take(self._exchange.checked(answer))

    def _take(self, step: Step) -> bytes | Waiting | Done | Entered:
        match step:
            case Challenge(octets):
                self._awaits_response = True
                return b"+ " + octets + b"\r\n"
            case CheckPassword() | CheckProof():
                return self.check(step)
            case Accepted(account):
                self._exchange = None
                return Entered(account)
            case Refused(trouble):
                begun, self._exchange = self._exchange, None
                self.not_completed(trouble, begun)
                return _refused(trouble)


def _refused(trouble: Trouble) -> Done:
    if trouble in TEMPORARY:
        return Done("Try again later", "UNAVAILABLE", "NO")
    if trouble in {Trouble.MALFORMED, Trouble.TOO_LONG, Trouble.CANCELLED}:
        return Done("The exchange was not completed", "", "BAD")
    return Done("The name or the password is wrong", "AUTHENTICATIONFAILED", "NO")
