"""A SASL exchange in lines of base64, as SMTP, IMAP and POP3 all have it (RFC 4954 4, RFC 9051 6.2.2, RFC 5034 4).

Theory: the mechanisms know octets; the three protocols carry them as base64 lines, ``=`` for an empty initial response
and ``*`` for "never mind". So what is the same in all of them is here, once, and pure.

Not here: the words around it (``334``, ``+``), which belong to each protocol.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, Protocol

from relay.auth import plain, scram
from relay.auth.steps import Challenge, Login, Refused, Step, Trouble

LONGEST_LINE: Final = 12288
"""Octets of a line of an exchange with its CRLF (RFC 4954 4)."""


class Mechanism(Protocol):
    """What a mechanism's machine does."""

    @property
    def mechanism(self) -> str: ...
    @property
    def name(self) -> str:
        """Who the client wants to be, as far as it has said so."""

    @property
    def stage(self) -> str:
        """What came last: ``mechanism``, ``name``, ``challenge`` (the client has our salt), ``verified`` (it has been
        let in, and has to see that we are who we say)."""

    def start(self, initial: bytes | None) -> Step: ...
    def answer(self, response: bytes) -> Step: ...
    def checked(self, login: Login) -> Step: ...


def offered(*, is_secure: bool, allows_plaintext: bool, has_bindings: bool) -> tuple[str, ...]:
    """The mechanisms to announce, best first; none in the clear, unless the listener allows that.

    In the clear SCRAM would keep the password from eavesdroppers, but not from guessing it at leisure, and the mail
    that follows would be theirs as well.
    """
    if not is_secure and not allows_plaintext:
        return ()
    plus = (scram.PLUS,) if has_bindings else ()
    return (*plus, scram.NAME, plain.PLAIN, plain.LOGIN)


def make(name: str, *, keys_of: scram.KeysOf, bindings: Mapping[str, bytes], nonce: str) -> Exchange | None:
    """The exchange of the mechanism ``name`` (upper case), or None for one that there is not."""
    if name == plain.PLAIN:
        return Exchange(plain.Plain())
    if name == plain.LOGIN:
        return Exchange(plain.LoginMechanism())
    if name in {scram.NAME, scram.PLUS}:
        return Exchange(scram.Scram(is_plus=name == scram.PLUS, keys_of=keys_of, bindings=bindings, nonce=nonce))
    return None


class Exchange:
    """One exchange; its Challenges are base64 already, without a line end."""

    __slots__ = ("_machine",)

    def __init__(self, machine: Mechanism) -> None:
        self._machine = machine

    @property
    def mechanism(self) -> str:
        """Its name."""
        return self._machine.mechanism

    @property
    def name(self) -> str:
        """See Mechanism."""
        return self._machine.name

    @property
    def stage(self) -> str:
        """See Mechanism."""
        return self._machine.stage

    def start(self, initial: bytes | None) -> Step:
        """``initial``: what stood behind the mechanism's name, None when nothing did."""
        if initial is None:
            return _wire(self._machine.start(None))
        octets = b"" if initial == b"=" else _decoded(initial)
        return Refused(Trouble.MALFORMED) if octets is None else _wire(self._machine.start(octets))

    def answer(self, line: bytes) -> Step:
        """A line of the client, without its line end."""
        if line == b"*":
            return Refused(Trouble.CANCELLED)
        if len(line) > LONGEST_LINE - 2:
            return Refused(Trouble.TOO_LONG)
        octets = _decoded(line)
        return Refused(Trouble.MALFORMED) if octets is None else _wire(self._machine.answer(octets))

    def checked(self, login: Login) -> Step:
        """Goes on with what the Authenticator said to a check."""
        return _wire(self._machine.checked(login))


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _wire(step: Step) -> Step:
    return Challenge(base64.b64encode(step.octets)) if isinstance(step, Challenge) else step
