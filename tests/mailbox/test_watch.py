"""The watcher: changes of any program reach the sessions of a mailbox, and only those."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from relay.mailbox import watch
from relay.mailbox.maildir import Message, deliver
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How
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


def test_changes_of_any_program_are_told_to_the_sessions_of_that_mailbox(tmp_path: Path, watcher):
    store, other = FolderStore(tmp_path / "ann"), FolderStore(tmp_path / "ann")
    store.create("Work")
    told: list[str] = []
    inbox, work = store.open("INBOX"), store.open("Work")
    ends = [
        watcher.watch(inbox, lambda: told.append("inbox")),
        watcher.watch(inbox, lambda: told.append("inbox too")),
        watcher.watch(work, lambda: told.append("work")),
    ]
    assert not dispatched(watcher, told)
    deliver([Message(tmp_path / "ann", (b"A: b\r\n\r\n",)), Message(tmp_path / "ann", (b"A: c\r\n\r\n",))])
    assert dispatched(watcher, told) == ["inbox", "inbox too"]
    other.open("INBOX").store_flags([1], How.ADD, ["\\Seen"])
    assert dispatched(watcher, told) == ["inbox", "inbox too"]
    ends[0]()
    for file in (tmp_path / "ann" / "cur").iterdir():
        file.unlink()
    assert dispatched(watcher, told) == ["inbox too"]
    other.delete("Work")
    assert dispatched(watcher, told) == ["work"]
    for end in ends:
        end()
    other.open("INBOX")
    assert not dispatched(watcher, told)


def test_a_flag_without_a_letter_is_told_too(tmp_path: Path, watcher):
    """Keywords beyond the 26th are in the uid log alone."""
    store = FolderStore(tmp_path / "ann")
    deliver([Message(tmp_path / "ann", (b"A: b\r\n\r\n",))])
    view = store.open("INBOX")
    view.store_flags([1], How.ADD, [f"k{number}" for number in range(26)])
    told: list[str] = []
    watcher.watch(view, lambda: told.append("inbox"))
    dispatched(watcher, told)
    FolderStore(tmp_path / "ann").open("INBOX").store_flags([1], How.ADD, ["k26"])
    assert dispatched(watcher, told) == ["inbox"]


def test_the_loop_is_woken_by_the_descriptor(tmp_path: Path):
    watcher = FolderWatcher()
    store = FolderStore(tmp_path / "ann")
    watcher.watch(store.open("INBOX"), lambda: None)
    watcher.dispatch()
    deliver([Message(tmp_path / "ann", (b"A: b\r\n\r\n",))])
    assert select.select([watcher.fileno()], [], [], 10)[0]
    watcher.close()
    assert watcher.fileno() == -1


def test_an_overflow_of_events_tells_everybody(tmp_path: Path):
    watcher = FolderWatcher()
    told: list[str] = []
    watcher.watch(FolderStore(tmp_path / "ann").open("INBOX"), lambda: told.append("inbox"))
    assert len(watcher._event(-1, watch._Q_OVERFLOW, b"")) == 1
    watcher.close()
    assert os.path.isdir(tmp_path / "ann" / "cur")
