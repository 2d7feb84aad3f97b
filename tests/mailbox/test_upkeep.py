"""Upkeep: what is old goes, account by account, and a damaged one does not keep the others from theirs."""

from __future__ import annotations

import dataclasses
import os
from array import array

from relay.config import demo, load
from relay.config.mailbox import MailboxSettings
from relay.mailbox.store import FolderStore
from relay.mailbox.upkeep import Upkeep
from relay.telemetry import metrics
from tests.mailbox.test_contract import put


class Sink:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, level: str, event: str, /, **fields: object) -> None:
        self.events.append((event, fields))


def test_expired_trash_goes_and_old_removals_for_good(tmp_path):
    config = dataclasses.replace(
        load(None, {}, demo(tmp_path)), mailbox=MailboxSettings(trash_expiry=3600.0, deleted_retention=7200.0)
    )
    store = FolderStore(config.mail_dir / "example.org" / "ann", now=lambda: 1_000_000_000.0)
    store.create("Bin", ["\\Trash"])
    put(store, b"old", name="Bin")
    put(store, b"kept")
    put(store, b"removed long ago")
    store.open("INBOX").expunge([2], deleted_only=False)
    os.makedirs(config.mail_dir / "example.org" / "bob" / "cur")
    sink = Sink()
    row = array("Q", [0]) * metrics.ROW_CELLS
    Upkeep(config, sink, row).run()  # type: ignore[arg-type] # the events are all that is used
    after = FolderStore(config.mail_dir / "example.org" / "ann")
    assert (after.status("Bin").messages, after.status("INBOX").messages) == (0, 1)
    assert sink.events == [("mailbox upkeep", {"mailbox": "ann@example.org", "expired": 1, "purged": 1})]
    assert [row[metrics.index("relay_mailbox_upkeep_messages_total", each)] for each in ("expired", "purged")] == [1, 1]
