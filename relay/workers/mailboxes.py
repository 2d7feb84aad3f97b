"""Which mailboxes there are: the accounts of the account file, read again when it changes."""

from __future__ import annotations

from relay.auth import AccountError, AccountFile
from relay.telemetry.sink import LogSink


class Mailboxes:
    """The mailboxes there are: those of the accounts."""

    def __init__(self, accounts: AccountFile, sink: LogSink) -> None:
        self._accounts = accounts
        self._sink = sink
        self._addresses: frozenset[bytes] = frozenset()
        self.refresh()

    def __contains__(self, address: object) -> bool:
        if address in self._addresses:
            return True
        # An smtp worker may have seen a new account before we did, and mail for it is here: do not bounce that.
        self.look()
        return address in self._addresses

    def first(self) -> bytes:
        """The account that is postmaster unless the configuration names one (relay/policy); empty without any."""
        return min(self._addresses, default=b"")

    def refresh(self) -> None:
        """Takes over a changed account file."""
        try:
            self._addresses = self._accounts.addresses()
        except (AccountError, OSError) as fault:
            self._sink.event("warning", "accounts not read", cause=str(fault))

    def look(self) -> None:
        """Once a second or so, and before an address is said to be unknown; costs one stat."""
        if self._accounts.changed():
            self.refresh()
