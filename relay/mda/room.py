"""Whether an account has room for a message, and what is said when it has not, or soon will not (RFC 3463 3.3).

Theory: the account's use is counted from its folders (relay/mailbox/quota.py), here by each delivery worker for itself;
what several workers deliver at once may go beyond the bound by that much. Without a quota nothing is counted.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.mail import dates
from relay.mail.outcome import Outcome, deferred, failed
from relay.mailbox.account_root import Root
from relay.mailbox.files import open_file
from relay.mailbox.limits import DAY, LimitTable
from relay.mailbox.maildir import Message, deliver
from relay.mailbox.quota import Usage, has_room

KNOWN: Final = 1_000
"""Accounts whose counts are remembered."""
WARNED: Final = "relay-quota-warned"
"""A file whose modification time says when the owner was last warned."""


class Room:
    """For several threads."""

    def __init__(self, settings: MailboxSettings, limits: Sequence[MailboxLimit] = ()) -> None:
        self._settings = settings
        self._table = LimitTable(settings, limits)
        self._usages: OrderedDict[Path, Usage] = OrderedDict()

    @property
    def is_limited(self) -> bool:
        return self._table.has_quota

    def refusal(self, folder: Path, targets: Collection[Path], octets: int, mailbox: str) -> Outcome | None:
        """Why a message of ``octets`` cannot be delivered to the account in ``folder``, into its mailboxes with the
        folders ``targets``; None when it can."""
        if not self.is_limited or not folder.is_dir():
            return None
        usage = self._usage(folder)
        if has_room(usage.quota(), octets, 1) and all(has_room(usage.quota_of(each), octets, 1) for each in targets):
            return None
        text = "the mailbox is full"
        if self._settings.over_quota == "reject":
            return failed("5.2.2", text, "store", code=552, next_hop=mailbox)
        return deferred("4.2.2", text, "store", code=452, next_hop=mailbox)

    def left(self, folder: Path) -> int | None:
        """Octets of the longest message that the account in ``folder`` takes into its INBOX now, -1 when it takes none;
        None without a bound. Raises OSError."""
        if not self.is_limited or not folder.is_dir():
            return None
        usage = self._usage(folder)
        found: int | None = None
        for quota in (usage.quota(), usage.quota_of(folder)):
            if quota.messages_limit and quota.messages >= quota.messages_limit:
                return -1
            if quota.octets_limit:
                left = max(-1, quota.octets_limit - quota.octets)
                found = left if found is None else min(found, left)
        return found

    def warn(self, folder: Path, mailbox: str, now: float) -> None:
        """Tells the owner, after a delivery, when most of the quota is used; at most once a day."""
        share = self._settings.quota_warning
        if not self.is_limited or not share:
            return
        quota = self._usage(folder).quota()
        octets = 100 * quota.octets // quota.octets_limit if quota.octets_limit else 0
        messages = 100 * quota.messages // quota.messages_limit if quota.messages_limit else 0
        used = max(octets, messages)
        if used > share and self._is_time(folder, now):
            deliver([Message(folder, (_notice(mailbox, used, now),))])

    def _is_time(self, folder: Path, now: float) -> bool:
        path = folder / WARNED
        with contextlib.suppress(FileNotFoundError):
            if now - path.lstat().st_mtime < DAY:
                return False
        os.close(open_file(path, os.O_WRONLY | os.O_CREAT))
        os.utime(path, (now, now), follow_symlinks=False)
        return True

    def _usage(self, folder: Path) -> Usage:
        usage = self._usages.get(folder)
        if usage is None:
            usage = self._usages[folder] = Usage(Root(folder, self._table.of(folder)))
            while len(self._usages) > KNOWN:
                self._usages.popitem(last=False)
        return usage


def _notice(mailbox: str, used: int, now: float) -> bytes:
    name = mailbox.encode("ascii", "replace").decode()
    lines = (
        "From: Mailbox <postmaster>",
        f"To: <{name}>",
        f"Date: {dates.written(datetime.fromtimestamp(now, tz=UTC))}",
        f"Subject: Your mailbox is {min(used, 100)}% full",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"The mailbox {name} uses {used}% of the space it may have.",
        "When it is full, no more mail can come in. Please remove what you do not need;",
        "mail in the trash counts until it is removed from there.",
        "",
    )
    return "\r\n".join(lines).encode()
