"""PLAIN (RFC 4616) and LOGIN: the mechanisms that send the password, as pure machines.

LOGIN has no RFC (draft-murchison-sasl-login); Outlook and many devices know nothing else.

Not here: whether a listener offers them in the clear (exchange.py).
"""

from __future__ import annotations

from typing import Final

from relay.auth.steps import Accepted, Challenge, CheckPassword, Login, Refused, Step, Trouble

PLAIN: Final = "PLAIN"
LOGIN: Final = "LOGIN"
LONGEST_NAME: Final = 1024
"""Octets of a name; RFC 4616 2 leaves it to us."""
LONGEST_PASSWORD: Final = 1024
"""Octets of a password."""


class Plain:
    """One message: authorization identity, NUL, name, NUL, password."""

    mechanism = PLAIN
    name = ""
    stage = "mechanism"

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first."""
        return Challenge(b"") if initial is None else self.answer(initial)

    def answer(self, response: bytes) -> Step:
        """The message."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Refused(Trouble.MALFORMED)
        check = checked_words(parts[1], parts[2], PLAIN)
        if isinstance(check, CheckPassword) and parts[0]:
            acting_as = parts[0].decode(errors="replace")
            if acting_as.casefold() != check.name.casefold():
                return Refused(Trouble.AUTHORIZATION)
        return check

    def checked(self, login: Login) -> Step:
        """The end."""
        return _ended(login)


class LoginMechanism:
    """Asks for the name, then for the password."""

    mechanism = LOGIN

    def __init__(self) -> None:
        self._name: bytes | None = None

    @property
    def name(self) -> str:
        """Given so far."""
        return (self._name or b"")[:LONGEST_NAME].decode(errors="replace")

    @property
    def stage(self) -> str:
        """See Mechanism."""
        return "mechanism" if self._name is None else "name"

    def start(self, initial: bytes | None) -> Step:
        """The server speaks first, but clients that send the name along are common."""
        return Challenge(b"Username:") if initial is None else self.answer(initial)

    def answer(self, response: bytes) -> Step:
        """The name, or the password."""
        if self._name is None:
            self._name = response
            return Challenge(b"Password:")
        return checked_words(self._name, response, LOGIN)

    def checked(self, login: Login) -> Step:
        """The end."""
        return _ended(login)


def checked_words(name: bytes, password: bytes, mechanism: str) -> CheckPassword | Refused:
    """What is to be checked, or Refused for what cannot be a name and a password."""
    if not name or not password or len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD:
        return Refused(Trouble.MALFORMED)
    if b"\0" in name or b"\0" in password:  # RFC 4616 2
        return Refused(Trouble.MALFORMED)
    try:
        return CheckPassword(name.decode(), password.decode(), mechanism)
    except UnicodeDecodeError:
        return Refused(Trouble.MALFORMED)


def _ended(login: Login) -> Step:
    return Accepted(login.account) if login.trouble is None else Refused(login.trouble)
