"""Addresses that are known in memory: the accounts, and the recipients that are listed for relay domains.

A table answers at once. What has to be asked for (a directory server, a next hop) is a ``Source`` (asking.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from relay.auth import AccountList
from relay.config.model import RelayDomain
from relay.directory.resolution import LISTED, AtAccount, Resolution


class Table:
    """The interface of a table."""

    def find(self, address: bytes) -> Resolution | None:
        """What ``address`` means; None when it is not in here. It is asked for the address as it was written, in lower
        case, and without its sub-address, until there is an answer."""
        raise NotImplementedError


class AccountTable(Table):
    """The accounts, as they were at the last ``reload``."""

    def __init__(self, accounts: AccountList) -> None:
        """Empty until ``reload``."""
        self._accounts = accounts
        self._addresses: frozenset[bytes] = frozenset()
        self._made: dict[bytes, AtAccount] = {}

    def find(self, address: bytes) -> Resolution | None:
        found = self._made.get(address)
        if found is None and address in self._addresses:
            found = self._made[address] = AtAccount(address)
        return found

    def first(self) -> bytes:
        """The first account by its octets; empty without any."""
        return min(self._addresses, default=b"")

    def changed(self) -> bool:
        """Whether a reload would find others; costs one stat. Raises OSError."""
        return self._accounts.changed()

    def reload(self) -> None:
        """Reads the accounts again. When that raises AccountError or OSError, those of before stay."""
        self._addresses = frozenset(address.lower() for address in self._accounts.addresses())
        self._made = {}


class RecipientTable(Table):
    """The listed recipients of one relay domain."""

    def __init__(self, addresses: frozenset[bytes]) -> None:
        """``addresses`` are in lower case."""
        self._addresses = addresses

    def find(self, address: bytes) -> Resolution | None:
        return LISTED if address in self._addresses else None


def recipients_of(
    domains: Iterable[RelayDomain], tolerate: Callable[[Exception], None] | None = None
) -> dict[bytes, frozenset[bytes] | None]:
    """By relay domain all addresses that exist there, in lower case; None where the next hop is to decide.

    Raises OSError or ValueError for a ``recipients_file`` that cannot be read; with ``tolerate`` that gets the fault
    instead, and the next hop decides.
    """
    found: dict[bytes, frozenset[bytes] | None] = {}
    for domain in domains:
        try:
            found[domain.domain.encode()] = _listed(domain)
        except (OSError, ValueError) as fault:
            if tolerate is None:
                raise
            tolerate(fault)
            found[domain.domain.encode()] = None
    return found


def _listed(domain: RelayDomain) -> frozenset[bytes] | None:
    if domain.recipients is None and domain.recipients_file is None:
        return None
    listed = {address.lower().encode() for address in domain.recipients or ()}
    if domain.recipients_file is not None:
        listed |= read_recipients(domain.recipients_file)
    return frozenset(listed)


def read_recipients(path: Path) -> set[bytes]:
    """The addresses in ``path``, one a line, in lower case; ``#`` begins a comment. Raises OSError, and ValueError
    naming file and line for one that has no ``@``."""
    found = set()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        address = line.partition(b"#")[0].strip().lower()
        if address and b"@" not in address:
            raise ValueError(f"{path}:{number}: not an address: {address.decode(errors='replace')}")
        if address:
            found.add(address)
    return found
