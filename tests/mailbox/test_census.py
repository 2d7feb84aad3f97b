"""The census: the gauges of mailboxes say what is on disk."""

from __future__ import annotations

from array import array

from relay.config.mailbox import MailboxSettings
from relay.mailbox.census import Census
from relay.mailbox.limits import LimitTable
from relay.mailbox.store import FolderStore
from relay.telemetry import metrics
from tests.mailbox.test_contract import put


def counted(row: array[int], name: str, *values: str) -> int:
    return row[metrics.index(f"relay_mailbox_{name}", *values)]


def test_accounts_mailboxes_messages_and_octets_are_counted(tmp_path):
    ann, bob = (FolderStore(tmp_path / "mail" / "example.org" / name) for name in ("ann", "bob"))
    ann.create("Work")
    put(ann, b"A: b\r\n\r\n", b"A: c\r\n\r\n")
    put(ann, b"x" * (2 << 20), name="Work")
    put(bob, b"A: b\r\n\r\n")
    ann.open("INBOX").expunge([1], deleted_only=False)
    row = array("Q", [0]) * metrics.ROW_CELLS
    Census(tmp_path / "mail", LimitTable(MailboxSettings()), row).run()
    assert [counted(row, "accounts", size) for size in metrics.SIZES] == [1, 1, 0, 0, 0, 0]
    assert (counted(row, "mailboxes"), counted(row, "messages")) == (3, 3)
    assert counted(row, "stored_bytes") == ann.quota().octets + bob.quota().octets
    assert counted(row, "counted_time_seconds") > 0


def test_accounts_at_their_quota_are_counted(tmp_path):
    for name, messages in (("ann", 1), ("bob", 2), ("eve", 3)):
        put(FolderStore(tmp_path / "mail" / "example.org" / name), *[b"A: b\r\n\r\n"] * messages)
    row = array("Q", [0]) * metrics.ROW_CELLS
    Census(tmp_path / "mail", LimitTable(MailboxSettings(quota_messages=2)), row).run()
    assert counted(row, "over_quota_accounts") == 2


def test_a_folder_that_cannot_be_read_is_counted_and_costs_the_others_nothing(tmp_path, monkeypatch):
    for name in ("ann", "bob"):
        put(FolderStore(tmp_path / "mail" / "example.org" / name), b"A: b\r\n\r\n")
    names = FolderStore.names

    def fails_for_ann(store):
        if store.root.folder.name == "ann":
            raise PermissionError
        return names(store)

    monkeypatch.setattr(FolderStore, "names", fails_for_ann)
    row = array("Q", [0]) * metrics.ROW_CELLS
    Census(tmp_path / "mail", LimitTable(MailboxSettings()), row).run()
    assert (counted(row, "messages"), counted(row, "upkeep_failures_total")) == (1, 1)


def test_a_census_that_is_stopped_leaves_what_was_counted_before(tmp_path):
    put(FolderStore(tmp_path / "mail" / "example.org" / "ann"), b"A: b\r\n\r\n")
    row = array("Q", [0]) * metrics.ROW_CELLS
    census = Census(tmp_path / "mail", LimitTable(MailboxSettings()), row)
    census.run()
    put(FolderStore(tmp_path / "mail" / "example.org" / "bob"), b"A: b\r\n\r\n")
    census.stop()
    census.run()
    assert counted(row, "messages") == 1
