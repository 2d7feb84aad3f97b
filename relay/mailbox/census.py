"""Counts, now and then, what is in all mailboxes, for the metrics.

Theory: sizes stand in file names, so an account is counted with a listing of its folders: 10,000 accounts with a
message each take about two seconds of one thread.
"""

from __future__ import annotations

import time
from collections.abc import MutableSequence
from pathlib import Path
from typing import Final

from relay.mailbox.limits import LimitTable
from relay.mailbox.rounds import Round
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import Quota
from relay.telemetry import metrics

EVERY_SECONDS: Final = 900.0
FIRST_AFTER_SECONDS: Final = 10.0


class Census(Round):
    """One round every EVERY_SECONDS; what one that is stopped has counted is dropped."""

    def __init__(self, mail_dir: Path, limits: LimitTable, row: MutableSequence[int] | memoryview[int]) -> None:
        super().__init__(mail_dir)
        self._limits = limits
        self._row = row
        self._sizes = {size: metrics.index("relay_mailbox_accounts", size) for size in metrics.SIZES}
        self._failures = metrics.index("relay_mailbox_upkeep_failures_total")

    def run(self) -> None:
        """All accounts once; then the gauges say what there is. Blocking."""
        sizes = dict.fromkeys(metrics.SIZES, 0)
        full = mailboxes = messages = octets = 0
        for folder in self.accounts():
            try:
                store = FolderStore(folder, self._limits.of(folder))
                quota = store.quota()
                mailboxes += len(store.names())
            except OSError:
                self._row[self._failures] += 1
                continue
            sizes[metrics.size_bucket(quota.octets)] += 1
            full += is_full(quota)
            messages += quota.messages
            octets += quota.octets
        if self.is_stopped:
            return
        for size, count in sizes.items():
            self._row[self._sizes[size]] = count
        self._set("relay_mailbox_over_quota_accounts", full)
        self._set("relay_mailbox_mailboxes", mailboxes)
        self._set("relay_mailbox_messages", messages)
        self._set("relay_mailbox_stored_bytes", octets)
        self._set("relay_mailbox_counted_time_seconds", time.time_ns() // 1000)

    def _set(self, name: str, value: int) -> None:
        self._row[metrics.index(name)] = value


def is_full(quota: Quota) -> bool:
    """Whether no further message of any size fits."""
    is_full_of_octets = bool(quota.octets_limit) and quota.octets >= quota.octets_limit
    return is_full_of_octets or (bool(quota.messages_limit) and quota.messages >= quota.messages_limit)
