"""What a SASL exchange comes to, step by step, as values (RFC 4422 3).

Whoever speaks the protocol matches them::

    step = exchange.start(initial)
    Challenge -> send it, then step = exchange.answer(line)
    CheckPassword, CheckProof -> step = exchange.checked(await authenticator.check(step, client))
    Accepted, Refused -> the end

Not here: how a protocol says it (relay/smtp, relay/imap, relay/pop3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Trouble(StrEnum):
    """Why a login not completed. The value is what is counted and logged."""

    CREDENTIALS = "credentials"
    """No such account, a wrong password, or one that is not for this protocol: the peer never learns which."""
    MALFORMED = "malformed"
    """The mechanism's grammar is broken, base64 included."""
    TOO_LONG = "too_long"
    """A response longer than LONGEST_LINE (RFC 4954 4)."""
    CANCELLED = "cancelled"
    """The client said ``*`` (RFC 4954 4)."""
    ABANDONED = "abandoned"
    """The connection ended in the middle of the exchange."""
    AUTHORIZATION = "authorization"
    """It wants to act as somebody else."""
    CHANNEL_BINDING = "channel_binding"
    """Another TLS connection than ours is at its end, or somebody hides from it what we offer (RFC 5802 6)."""
    THROTTLED = "throttled"
    """Too many failures from there: not even looked at. Temporary."""
    BUSY = "busy"
    """Too many logins wait, here or for this account. Temporary."""


class Challenge(NamedTuple):
    """The client has to answer this."""

    octets: bytes


class CheckPassword(NamedTuple):
    """Is this the password of that account? Only an Authenticator knows. ``repr`` does not show it."""

    name: str
    password: str
    mechanism: str

    def __repr__(self) -> str:
        return f"CheckPassword(name={self.name!r}, mechanism={self.mechanism!r})"


class CheckProof(NamedTuple):
    """The client has proved (or not) that it knows the password of ``name``; may it come in?"""

    name: str
    is_right: bool
    mechanism: str


class Login(NamedTuple):
    """What an Authenticator says: the account, or why not."""

    account: str
    """The account's address as it stands in the account file; empty when there is trouble."""
    trouble: Trouble | None = None


class Accepted(NamedTuple):
    """The client is this account."""

    account: str


class Refused(NamedTuple):
    """The exchange has ended without a login; the client may begin another."""

    trouble: Trouble


Step = Challenge | CheckPassword | CheckProof | Accepted | Refused
Check = CheckPassword | CheckProof

TEMPORARY = frozenset({Trouble.THROTTLED, Trouble.BUSY})
"""The same credentials may be good later: say so, or clients ask their people for another password."""
