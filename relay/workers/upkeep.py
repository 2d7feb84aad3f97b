"""Once in a while, one mailbox worker lets old things go: expired trash and junk, and what was removed long ago."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, MutableSequence
from pathlib import Path
from typing import Final

from relay.config.model import Config
from relay.mailbox.limits import LimitTable
from relay.mailbox.store import FolderStore
from relay.mailbox.upkeep import Done, keep_up
from relay.mailbox.vocabulary import Refused
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink

EVERY_SECONDS: Final = 3_600.0


class Upkeep:
    """Goes through all accounts in one thread; a turn that comes while it does is left out."""

    def __init__(self, config: Config, sink: LogSink, row: MutableSequence[int] | memoryview[int]) -> None:
        self._config = config
        self._sink = sink
        self._row = row
        self._expired = metrics.index("relay_mailbox_upkeep_messages_total", "expired")
        self._purged = metrics.index("relay_mailbox_upkeep_messages_total", "purged")
        self._failures = metrics.index("relay_mailbox_upkeep_failures_total")
        self._stop = threading.Event()
        self._running: asyncio.Future[None] | None = None

    def turn(self) -> None:
        """On the loop's thread, every EVERY_SECONDS."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(None, self.run)

    def stop(self) -> None:
        """Ends it after the account that it is at."""
        self._stop.set()

    def run(self) -> None:
        """All accounts once. Blocking."""
        limits = LimitTable(self._config.mailbox, self._config.mailbox_limits)
        for folder in accounts(self._config.mail_dir):
            if self._stop.is_set():
                return
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


def accounts(mail_dir: Path) -> Iterator[Path]:
    """The folders of all accounts that have a mailbox."""
    for domain in sorted(mail_dir.iterdir()) if mail_dir.is_dir() else []:
        if domain.is_dir():
            yield from (folder for folder in sorted(domain.iterdir()) if (folder / "cur").is_dir())


def _shown(folder: Path) -> str:
    return f"{folder.name}@{folder.parent.name}"
