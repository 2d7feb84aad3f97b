"""A reader's way in: what a session may announce, whom it asks, and what TLS changes.

It is the same for IMAP, POP3 and ManageSieve.

Not here: the words around it, which belong to each protocol; SMTP's AUTH (relay/smtp/_login.pyx).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, NamedTuple, Protocol

from relay.auth.authenticator import Client
from relay.auth.exchange import Exchange, offered
from relay.auth.steps import Check, Login, Trouble
from relay.net.tls_machine import TlsServer
from relay.readers.machine import Waiting


class Authenticating(Protocol):
    """What is used of an Authenticator."""

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes], /) -> Exchange | None: ...
    def check(self, check: Check, client: Client, /) -> Awaitable[Login]: ...
    def password(self, name: bytes, password: bytes, client: Client, /) -> Awaitable[Login]: ...
    def not_completed(self, trouble: Trouble, client: Client, begun: Exchange | None, /) -> object: ...


class LoginPolicy(NamedTuple):
    """What a listener allows, and who checks."""

    authenticator: Authenticating
    client: Client
    offers_tls: bool
    allows_plaintext: bool


class SessionLogin:
    """A LoginPolicy as one session stands before it."""

    def __init__(self, policy: LoginPolicy) -> None:
        self._policy: Final = policy
        self._is_secure = False
        self._bindings: Mapping[str, bytes] = {}

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS (STLS) has its place now."""
        return self._policy.offers_tls and not self._is_secure

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those to announce; none where nobody may log in."""
        return offered(
            is_secure=self._is_secure,
            allows_plaintext=self._policy.allows_plaintext,
            has_bindings=bool(self._bindings),
        )

    def secured(self, stream: TlsServer) -> None:
        """TLS is there."""
        self._is_secure = True
        self._bindings = stream.bindings

    def exchange(self, mechanism: str) -> Exchange | None:
        """The exchange of a mechanism (upper case); None for one that is not announced."""
        if mechanism not in self.mechanisms:
            return None
        return self._policy.authenticator.exchange(mechanism, self._bindings)

    def check(self, check: Check) -> Waiting:
        """The job that checks what an exchange came to."""
        return Waiting(lambda: self._policy.authenticator.check(check, self._policy.client))

    def password(self, name: bytes, password: bytes) -> Waiting:
        """The job that checks a name and a password."""
        return Waiting(lambda: self._policy.authenticator.password(name, password, self._policy.client))

    def not_completed(self, trouble: Trouble, begun: Exchange | None) -> None:
        """An exchange was refused before there was a check, or its client has gone: it counts as a try."""
        self._policy.authenticator.not_completed(trouble, self._policy.client, begun)
