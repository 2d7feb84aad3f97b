"""The watcher: what is beside the messages of an account, and mailboxes that are not open (RFC 5465)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from relay.mailbox.maildir import Message, deliver
from relay.mailbox.store import FolderStore
from relay.mailbox.watch import FolderWatcher


@pytest.fixture(params=["inotify", "polling"])
def watcher(request, monkeypatch):
    if request.param == "polling":
        monkeypatch.setattr(FolderWatcher, "_usable", lambda self: False)
    made = FolderWatcher()
    yield made
    made.close()


def dispatched(watcher: FolderWatcher, told: list[str]) -> list[str]:
    told.clear()
    watcher.dispatch()
    return sorted(told)


def test_an_account_is_watched_for_what_is_beside_messages(tmp_path: Path, watcher):
    """Mailboxes made, renamed, removed; subscriptions; special uses; annotations of the account."""
    told: list[str] = []
    store = FolderStore(tmp_path / "ann")
    end = watcher.watch_account(store, lambda: told.append("account"))
    acts = (
        lambda: store.create("Box"),
        lambda: store.rename("Box", "Bag"),
        lambda: store.subscribe("Bag"),
        lambda: store.annotate("", {"/shared/comment": b"x"}),
        lambda: store.set_special_use("Bag", ["\\Sent"]),
        lambda: store.delete("Bag"),
    )
    for act in acts:
        act()
        assert dispatched(watcher, told) == ["account"]
    end()
    store.create("Box")
    assert dispatched(watcher, told) == []


def test_an_account_is_not_told_of_messages(tmp_path: Path):
    watcher = FolderWatcher()
    told: list[str] = []
    store = FolderStore(tmp_path / "ann")
    store.status("INBOX")
    watcher.watch_account(store, lambda: told.append("account"))
    deliver([Message(tmp_path / "ann", (b"A: b\r\n\r\n",))])
    store.status("INBOX")
    store.annotate("INBOX", {"/shared/comment": b"x"})
    assert dispatched(watcher, told) == []
    watcher.close()


def test_a_mailbox_that_is_not_open_is_watched(tmp_path: Path, watcher):
    told: list[str] = []
    store = FolderStore(tmp_path / "ann")
    store.create("Box")
    ends = [watcher.watch_mailbox(store, name, partial(told.append, name)) for name in ("INBOX", "Box")]
    deliver([Message(tmp_path / "ann", (b"A: b\r\n\r\n",))])
    assert dispatched(watcher, told) == ["INBOX"]
    store.annotate("Box", {"/shared/comment": b"x"})
    assert dispatched(watcher, told) == ["Box"]
    for end in ends:
        end()
    store.annotate("Box", {"/shared/comment": b"y"})
    assert dispatched(watcher, told) == []
