"""What is old goes: expired trash and junk, and for good what was removed long ago; account by account."""

from __future__ import annotations

from collections.abc import MutableSequence
from pathlib import Path
from typing import Final, NamedTuple

from relay.config.mailbox import MailboxSettings
from relay.config.model import Config
from relay.mailbox.limits import LimitTable
from relay.mailbox.restore import expire, purge
from relay.mailbox.rounds import Round
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import Refused
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink

EVERY_SECONDS: Final = 3_600.0


class Done(NamedTuple):
    """How many messages."""

    expired: int
    """Moved from trash, junk and mailboxes with an expiry to where they can be restored."""
    purged: int
    """Removed for good."""


def keep_up(store: FolderStore, settings: MailboxSettings, retention: float | None = None) -> Done:
    """Expires messages of one account as configured, then removes for good what was removed longer ago than
    ``retention`` (seconds; None: as configured)."""
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


class Upkeep(Round):
    """Of all accounts: one round every EVERY_SECONDS."""

    def __init__(self, config: Config, sink: LogSink, row: MutableSequence[int] | memoryview[int]) -> None:
        super().__init__(config.mail_dir)
        self._config = config
        self._sink = sink
        self._row = row
        self._expired = metrics.index("relay_mailbox_upkeep_messages_total", "expired")
        self._purged = metrics.index("relay_mailbox_upkeep_messages_total", "purged")
        self._failures = metrics.index("relay_mailbox_upkeep_failures_total")

    def run(self) -> None:
        """All accounts once; one that fails costs the others nothing. Blocking."""
        limits = LimitTable(self._config.mailbox, self._config.mailbox_limits)
        for folder in self.accounts():
            try:
                done = keep_up(FolderStore(folder, limits.of(folder)), self._config.mailbox)
            except (OSError, Refused) as fault:
                self._row[self._failures] += 1
                self._sink.event("warning", "mailbox upkeep failed", mailbox=_shown(folder), cause=str(fault))
            else:
                self._report(folder, done)

    def _report(self, folder: Path, done: Done) -> None:
        self._row[self._expired] += done.expired
        self._row[self._purged] += done.purged
        if done.expired or done.purged:
            self._sink.event("info", "mailbox upkeep", mailbox=_shown(folder), expired=done.expired, purged=done.purged)


def _shown(folder: Path) -> str:
    return f"{folder.name}@{folder.parent.name}"
