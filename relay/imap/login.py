"""LOGIN and AUTHENTICATE (RFC 9051 6.2.2, 6.2.3; SASL-IR: RFC 4959): from the client's words to an account.

Not here: mechanisms and passwords (relay/auth).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, NamedTuple, Protocol

from relay.auth import (
    TEMPORARY,
    Accepted,
    Challenge,
    Check,
    CheckPassword,
    CheckProof,
    Client,
    Exchange,
    Refused,
    Step,
    Trouble,
    offered,
)
from relay.auth import Login as Answer
from relay.imap._tokens import Tokens
from relay.imap.endings import Done
from relay.imap.faults import Bad
from relay.net.machine import Waiting
from relay.net.tls_machine import TlsServer


class Entered(NamedTuple):
    """The client is this account."""

    account: str


class Authenticating(Protocol):
    """What is used of an Authenticator (relay/auth)."""

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes], /) -> Exchange | None: ...
    async def check(self, check: Check, client: Client, /) -> Answer: ...
    def password(self, name: bytes, password: bytes, client: Client, /) -> Awaitable[Answer]: ...
    def came_to_nothing(self, trouble: Trouble, client: Client, /) -> Answer: ...


class Doorkeeper(NamedTuple):
    """What a listener allows, and who checks."""

    authenticator: Authenticating
    client: Client
    offers_tls: bool
    allows_plaintext: bool


class Login:
    """One session's way in."""

    def __init__(self, door: Doorkeeper) -> None:
        self._door: Final = door
        self._is_secure = False
        self._bindings: Mapping[str, bytes] = {}
        self._exchange: Exchange | None = None
        self.is_going_on = False
        """The client's next line is an answer to a challenge."""

    @property
    def offers_tls(self) -> bool:
        """STARTTLS has its place here."""
        return self._door.offers_tls and not self._is_secure

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those to announce; none where nobody may log in."""
        return offered(
            is_secure=self._is_secure,
            allows_plaintext=self._door.allows_plaintext,
            has_bindings=bool(self._bindings),
        )

    def secured(self, stream: TlsServer) -> None:
        """TLS is there."""
        self._is_secure = True
        self._bindings = stream.bindings

    def begin(self, command: str, tokens: Tokens) -> bytes | Waiting | Done | Entered:
        """``LOGIN`` or ``AUTHENTICATE``, with the cursor behind it: what to say, what to wait for, or how it ends."""
        if not self.mechanisms:
            return Done("Log in only under TLS", "PRIVACYREQUIRED", "NO")
        tokens.space()
        if command == "LOGIN":
            name = tokens.astring()
            tokens.space()
            password = tokens.astring()
            tokens.end()
            return Waiting(lambda: self._door.authenticator.password(name, password, self._door.client))
        mechanism = tokens.word().decode("ascii")
        initial = None
        if not tokens.is_at_end:
            tokens.space()
            initial = tokens.octets[tokens.at :]
        if mechanism not in self.mechanisms:
            return Done("This mechanism is not offered", "", "NO")
        self._exchange = self._door.authenticator.exchange(mechanism, self._bindings)
        if self._exchange is None:
            return Done("This mechanism is not offered", "", "NO")
        return self._take(self._exchange.start(initial))

    def answer(self, line: bytes) -> bytes | Waiting | Done | Entered:
        """The client's answer to a challenge."""
        self.is_going_on = False
        if self._exchange is None:
            raise Bad("nothing was asked")
        return self._take(self._exchange.answer(line))

    def checked(self, answer: Answer) -> bytes | Waiting | Done | Entered:
        """What was waited for has come."""
        if self._exchange is not None:
            return self._take(self._exchange.checked(answer))
        return Entered(answer.account) if answer.trouble is None else _refused(answer.trouble)

    def _take(self, step: Step) -> bytes | Waiting | Done | Entered:
        match step:
            case Challenge(octets):
                self.is_going_on = True
                return b"+ " + octets + b"\r\n"
            case CheckPassword() | CheckProof():
                check = step
                return Waiting(lambda: self._door.authenticator.check(check, self._door.client))
            case Accepted(account):
                self._exchange = None
                return Entered(account)
            case Refused(trouble):
                self._exchange = None
                self._door.authenticator.came_to_nothing(trouble, self._door.client)
                return _refused(trouble)


def _refused(trouble: Trouble) -> Done:
    if trouble in TEMPORARY:
        return Done("Try again later", "UNAVAILABLE", "NO")
    if trouble in {Trouble.MALFORMED, Trouble.TOO_LONG, Trouble.CANCELLED}:
        return Done("The exchange came to nothing", "", "BAD")
    return Done("The name or the password is wrong", "AUTHENTICATIONFAILED", "NO")
