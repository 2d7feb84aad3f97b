"""Once in a while, one mailbox worker lets old things go: expired trash and junk, and what was removed long ago."""

from __future__ import annotations

from collections.abc import MutableSequence
from pathlib import Path
from typing import Final

from relay.config.model import Config
from relay.mailbox.limits import LimitTable
from relay.mailbox.store import FolderStore
from relay.mailbox.upkeep import Done, keep_up
from relay.mailbox.vocabulary import Refused
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from relay.workers.rounds import Round

EVERY_SECONDS: Final = 3_600.0


class Upkeep(Round):
    """One round every EVERY_SECONDS."""

    def __init__(self, config: Config, sink: LogSink, row: MutableSequence[int] | memoryview[int]) -> None:
        super().__init__(config.mail_dir)
        self._config = config
        self._sink = sink
        self._row = row
        self._expired = metrics.index("relay_mailbox_upkeep_messages_total", "expired")
        self._purged = metrics.index("relay_mailbox_upkeep_messages_total", "purged")
        self._failures = metrics.index("relay_mailbox_upkeep_failures_total")

    def run(self) -> None:
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
