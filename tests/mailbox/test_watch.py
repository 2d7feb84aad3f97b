"""The watcher: changes of any program reach the sessions of a mailbox, and only those."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from relay.mailbox import inotify_names, mailbox, watch
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
    told_of = {(each.folder, is_account) for each, is_account in watcher._event(-1, watch._Q_OVERFLOW, b"")}
    assert told_of == {(tmp_path / "ann", False), (tmp_path / "ann", True)}
    watcher.close()
    assert os.path.isdir(tmp_path / "ann" / "cur")


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch):
    """A watched view of a large mailbox, and a way to change its files in the middle of a change of our own."""
    monkeypatch.setattr(mailbox, "LARGE", 1)
    store = FolderStore(tmp_path / "ann")
    deliver([Message(tmp_path / "ann", (b"A: %d\r\n\r\n" % number,)) for number in range(4)])
    view, mine = store.open("INBOX"), store.open("INBOX")
    cur = tmp_path / "ann" / "cur"
    for path in (cur, cur.parent / "new"):
        os.utime(path, (1, 1))
    view.refresh()
    watcher = FolderWatcher()
    watcher.watch(view, lambda: None)
    looked = mailbox.Mailbox._looked_after_own

    def change_under(foreign) -> None:
        def meanwhile(self):
            monkeypatch.setattr(mailbox.Mailbox, "_looked_after_own", looked)
            foreign(cur)
            return looked(self)

        monkeypatch.setattr(mailbox.Mailbox, "_looked_after_own", meanwhile)
        mine.store_flags([1], How.ADD, ["\\Flagged"])
        view.refresh()
        watcher.dispatch()

    yield view, change_under, watcher
    watcher.close()


def _path_of(view, uid: int) -> str:
    return str(view._mailbox.path(uid)).removeprefix("cur/")


def test_a_foreign_flag_under_a_change_of_our_own_is_seen_at_once(hidden):
    view, change_under, _ = hidden
    path = _path_of(view, 3)
    change_under(lambda cur: os.rename(cur / path, cur / f"{path}S"))
    assert view.refresh().changed
    assert "\\Seen" in view.flag_names(view.flags[view.index_of(3)])


def test_a_foreign_removal_under_a_change_of_our_own_is_seen_at_once(hidden):
    view, change_under, _ = hidden
    path = _path_of(view, 2)
    change_under(lambda cur: os.unlink(cur / path))
    assert [uid for _, uid in view.refresh().vanished] == [2]


def test_a_foreign_message_under_a_change_of_our_own_is_seen_at_once(hidden):
    view, change_under, _ = hidden
    change_under(lambda cur: (cur / "1.foreign:2,").write_bytes(b"A: b\n\n"))
    assert view.refresh().new == 1


def test_changes_of_our_own_bring_no_look_at_a_large_folder(hidden, monkeypatch):
    view, change_under, watcher = hidden
    looks: list[Path] = []
    monkeypatch.setattr(mailbox, "look", lambda folder, *_: looks.append(folder))
    change_under(lambda cur: None)
    view.store_flags([2, 3], How.REPLACE, ["\\Seen", "work"])
    view.expunge([4], deleted_only=False)
    watcher.dispatch()
    view.refresh()
    assert not looks


def test_more_events_than_are_kept_bring_a_look(hidden, monkeypatch):
    view, change_under, _ = hidden
    path = _path_of(view, 3)
    monkeypatch.setattr(inotify_names, "MOST", 0)
    change_under(lambda cur: os.rename(cur / path, cur / f"{path}S"))
    assert view.refresh().changed


def test_a_message_is_found_by_its_whole_name(tmp_path: Path):
    store = FolderStore(tmp_path / "ann")
    cur = tmp_path / "ann" / "cur"
    for name in ("11.a", "1.a", "1.ab", "21.a"):
        (cur / f"{name}:2,").write_bytes(b"A: b\n\n")
    view = store.open("INBOX")
    picture = view._mailbox.picture
    assert [picture.base(picture.row_named(name)) for name in ("1.a", "11.a", "21.a", "1.ab")] == [
        "1.a", "11.a", "21.a", "1.ab",
    ]  # fmt: skip
    assert [picture.row_named(name) for name in ("1", ".a", "1.a1", "a1.a", "x")] == [-1] * 5
    view.expunge([view.uids[picture.row_named("1.a")]], deleted_only=False)
    assert picture.row_named("1.a") == -1
