"""What an address means here: the typed results of ``Directory.resolve``.

Results that carry nothing of the address are made once (``UNKNOWN``, ``FOREIGN``, ...), so that most answers cost no
object. Not here: the verdict (relay/policy), where mail goes (relay/queue/routing.py).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from relay.mail.reply import ADDRESS_NOT_KNOWN_NOW, NO_POSTMASTER, NO_SUCH_RECIPIENT, Reply


class Resolution:
    """One of the classes below."""

    __slots__ = ()


class AtAccount(Resolution):
    """Mail for it goes into the mailbox of an account here."""

    __slots__ = ("account",)

    def __init__(self, account: bytes) -> None:
        self.account = account
        """The account's address, in lower case."""


class Becomes(Resolution):
    """It stands for other addresses, each to be resolved by itself."""

    __slots__ = ("addresses",)

    def __init__(self, addresses: tuple[bytes, ...]) -> None:
        self.addresses = addresses
        """At least one."""


class Elsewhere(Resolution):
    """Mail for it goes to another server."""

    __slots__ = ("is_listed", "is_relayed")

    def __init__(self, is_relayed: bool, is_listed: bool) -> None:
        self.is_relayed = is_relayed
        """Its domain is one that we relay for."""
        self.is_listed = is_listed
        """We know that it exists there; otherwise the next hop decides."""


class Unknown(Resolution):
    """Its domain is ours, and there is no such address."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        """For the client, without the address (5yz)."""


class NotKnownNow(Resolution):
    """Its domain is ours, and what it means cannot be found out at present."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        """For the client, without the address (4yz)."""


Answer = Resolution | Awaitable[Resolution]

FOREIGN: Final = Elsewhere(is_relayed=False, is_listed=False)
"""At a domain that is none of ours."""
UNLISTED: Final = Elsewhere(is_relayed=True, is_listed=False)
LISTED: Final = Elsewhere(is_relayed=True, is_listed=True)
UNKNOWN: Final = Unknown(NO_SUCH_RECIPIENT)
NOBODY_IS_POSTMASTER: Final = NotKnownNow(NO_POSTMASTER)
SOURCE_FAILED: Final = NotKnownNow(ADDRESS_NOT_KNOWN_NOW)
