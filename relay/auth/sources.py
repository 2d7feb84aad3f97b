"""Where accounts come from, as others see it: the account file (accounts.py) is one such source.

Not here: which addresses besides accounts there are (relay/directory).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from relay.auth.entries import Account
from relay.auth.scram import ScramKeys


class AccountError(Exception):
    """A change that cannot be made, or accounts that cannot be read now; the text is for people."""


class AccountList(Protocol):
    """Which accounts there are."""

    def addresses(self) -> frozenset[bytes]:
        """All accounts, in lower case. Raises AccountError or OSError when they cannot be read."""

    def changed(self) -> bool:
        """Whether there are others than ``addresses`` last gave; quick, for once a second. Raises OSError."""


class AccountSource(AccountList, Protocol):
    """What the Authenticator asks."""

    def find(self, name: str) -> Account | Awaitable[Account | None] | None:
        """The account of ``name``, an address in whatever case. Raises AccountError when that is not known now."""

    def verify(self, account: Account | None, password: str) -> bool:
        """Whether ``password`` is the account's, app passwords aside; False for None, after the same work. In a thread,
        where it may take long."""

    def scram_keys(self, name: str) -> ScramKeys:
        """The keys of an account, or those of a decoy for a name that has none; the same work for both. Raises
        AccountError."""

    def needs_keys(self, account: Account) -> bool:
        """Whether the account's SCRAM keys are missing or out of date, and can be renewed."""

    def renew_keys(self, account: Account, password: str) -> bool:
        """Makes new SCRAM keys from ``password``, which has just been found right; durable on return. In a thread.
        False when the account has changed meanwhile. Raises AccountError."""
