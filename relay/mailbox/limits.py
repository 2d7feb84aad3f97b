"""What accounts and single mailboxes may keep, from the configuration.

Theory: an account is known here by its folder (relay/mailbox/maildir.py), whose last two names say which it is.
Not here: counting (quota.py), what happens without room (appending.py, relay/mda/room.py), expiry (upkeep.py).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.mailbox.maildir import folder_of

DAY: Final = 86_400


class Bound(NamedTuple):
    """Of one mailbox; 0 is none."""

    mailbox: str = ""
    """Its name, or a special use."""
    octets: int = 0
    messages: int = 0
    expiry: float = 0
    """Seconds."""


class Limits(NamedTuple):
    """Bounds of one account; 0 is none."""

    octets: int = 0
    messages: int = 0
    mailboxes: int = 10_000
    deleted_retention: float = 14 * DAY
    """Seconds for which removed messages can be restored; 0: they are gone at once."""
    bounds: tuple[Bound, ...] = ()
    """Those of single mailboxes; of several for one, the first counts."""

    @property
    def has_quota(self) -> bool:
        """Whether anything has to be counted before a message comes in."""
        return bool(self.octets or self.messages or any(each.octets or each.messages for each in self.bounds))


NO_LIMITS: Final = Limits()
NO_BOUND: Final = Bound()


class LimitTable:
    """The limits of every account."""

    def __init__(self, settings: MailboxSettings, limits: Sequence[MailboxLimit] = ()) -> None:
        self._common = Limits(
            settings.quota, settings.quota_messages, settings.max_mailboxes, settings.deleted_retention
        )
        self._limits = [(each, _names(each)) for each in limits]

    @property
    def has_quota(self) -> bool:
        """Whether any account has one."""
        return self._common.has_quota or any(each.quota or each.quota_messages for each, _ in self._limits)

    def of(self, folder: Path) -> Limits:
        """Those of the account whose Maildir is ``folder``."""
        if not self._limits:
            return self._common
        domain, account = folder.parent.name, f"{folder.parent.name}/{folder.name}"
        fitting = [each for each, names in self._limits if not names or domain in names or account in names]
        whole = next((each for each in fitting if not each.mailbox), None)
        limits = self._common if whole is None else self._common._replace(
            octets=whole.quota, messages=whole.quota_messages
        )  # fmt: skip
        bounds = [
            Bound(unicodedata.normalize("NFC", each.mailbox), each.quota, each.quota_messages, each.expiry)
            for each in fitting
            if each.mailbox
        ]
        return limits._replace(bounds=tuple(bounds))


def _names(limit: MailboxLimit) -> frozenset[str]:
    """The folders, below that of all mail, of the domains and accounts that it is for; empty for all."""
    accounts = [folder_of(Path(), each.lower().encode()).as_posix() for each in limit.accounts]
    return frozenset([*accounts, *(folder_of(Path(), b"x@" + each.encode()).parent.name for each in limit.domains)])
