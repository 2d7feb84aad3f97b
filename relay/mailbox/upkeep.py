"""What is done for an account now and then: old things go. Blocking; a worker calls it in a thread, once an hour."""

from __future__ import annotations

from typing import NamedTuple

from relay.config.mailbox import MailboxSettings
from relay.mailbox.restore import expire, purge
from relay.mailbox.store import FolderStore


class Done(NamedTuple):
    """How many messages."""

    expired: int
    """Moved from trash, junk and mailboxes with an expiry to where they can be restored."""
    purged: int
    """Removed for good."""


def keep_up(store: FolderStore, settings: MailboxSettings, retention: float | None = None) -> Done:
    """Expires messages as configured, then removes for good what was removed longer ago than ``retention``
    (seconds; None: as configured)."""
    now = store.root.now()
    expired = 0
    for special_use, seconds in (("\\Trash", settings.trash_expiry), ("\\Junk", settings.junk_expiry)):
        if seconds:
            expired += expire(store, special_use, now - seconds)
    for bound in store.root.limits.bounds:
        if bound.expiry:
            expired += expire(store, bound.mailbox, now - bound.expiry)
    kept = settings.deleted_retention if retention is None else retention
    return Done(expired, purge(store, now - kept))
