"""``relay mailbox``: looks, checks, restores; its exit codes."""

from __future__ import annotations

import io
import json
import mailbox
import tarfile

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How
from tests.mailbox.test_contract import put


@pytest.fixture
def store(tmp_path) -> FolderStore:
    (tmp_path / "relay.toml").write_text('hostname = "mx.example.org"\ndata_dir = "data"\ndomains.local = ["a.test"]\n')
    made = FolderStore(tmp_path / "data" / "mail" / "a.test" / "ann")
    made.create("Work")
    put(made, b"Subject: one\r\n\r\nFrom here\r\n", b"Subject: two\r\n\r\ntext", flags=["\\Seen", "$Later"])
    put(made, b"Subject: three\r\n\r\n\r\n", name="Work", date=1_000_000_000)
    return made


@pytest.fixture
def relay(tmp_path, store):
    def run(*words):
        words = (words[0], words[1], *words[2:], "--config", str(tmp_path / "relay.toml"))
        return CliRunner().invoke(main, ["mailbox", *words], prog_name="relay")

    return run


def test_mailboxes_are_listed_and_counted(relay):
    assert relay("list", "ann@a.test").output.splitlines() == ["INBOX", "Work"]
    status = json.loads(relay("status", "ann@a.test", "--json").output)
    assert status["mailboxes"]["INBOX"]["messages"] == 2
    assert status["messages"] == 3
    assert "uses" in relay("status", "Ann@a.test").output


def test_what_was_removed_comes_back(relay, store):
    view = store.open("INBOX")
    view.store_flags([1], How.ADD, ["\\Deleted"])
    view.expunge()
    store.delete("Work")
    assert relay("restore", "ann@a.test", "--dry-run").output.splitlines() == [
        "INBOX: 1 to restore",
        "Work: 1 to restore",
    ]
    assert relay("restore", "ann@a.test", "--since", "2d").output.splitlines() == [
        "INBOX: 1 restored",
        "Work: 1 restored",
    ]
    view = store.open("INBOX")
    assert list(view.uids) == [2, 3]
    assert set(view.flag_names(view.flags[1])) >= {"\\Seen", "$Later"}
    assert "\\Deleted" not in view.flag_names(view.flags[1])
    assert store.open("Work").internal_date(0) == 1_000_000_000
    assert relay("restore", "ann@a.test").exit_code == 1


def test_what_is_purged_is_gone(relay, store):
    store.open("INBOX").expunge([1], deleted_only=False)
    assert relay("purge", "ann@a.test").output == "0 expired, 0 removed for good\n"
    assert relay("purge", "ann@a.test", "--older-than", "0s").exit_code == 0
    assert relay("fsck", "ann@a.test", "--deep").exit_code == 0


def test_damage_is_found(relay, store):
    (file,) = [path for path in (store.root.folder / "cur").iterdir() if b"one" in path.read_bytes()]
    file.write_bytes(b"changed")
    result = relay("fsck", "ann@a.test")
    assert result.exit_code == 1
    assert "UID 1 has 7 octets, its name says 24" in result.output


def test_an_index_is_made_anew(relay, store):
    assert relay("rebuild", "ann@a.test").output.splitlines() == ["INBOX: index made anew", "Work: index made anew"]
    assert (store.root.folder / "relay-index").exists()
    assert list(FolderStore(store.root.folder).open("INBOX").uids) == [1, 2]


def test_an_mbox_goes_out_and_comes_in_again(relay, store, tmp_path):
    path = tmp_path / "box"
    assert relay("export", "ann@a.test", "INBOX", "--output", str(path)).exit_code == 0
    box = mailbox.mbox(path)
    assert [message["subject"] for message in box] == ["one", "two"]
    box.close()
    assert b"\n>From here\n" in path.read_bytes()
    assert relay("import", "ann@a.test", "New", str(path)).output == "2 messages\n"
    view = store.open("New")
    with view.content(0) as content:
        assert content.read(0, 100) == b"Subject: one\r\n\r\nFrom here\r\n"
    assert "\\Seen" in view.flag_names(view.flags[0])


def test_a_tar_goes_out_and_its_maildir_comes_in(relay, store, tmp_path):
    path = tmp_path / "box.tar"
    relay("export", "ann@a.test", "INBOX", "--format", "tar", "-o", str(path))
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert relay("import", "ann@a.test", "Work", str(tmp_path / "out" / "INBOX")).exit_code == 0
    view = store.open("Work")
    assert [view.size(index) for index in range(3)] == [20, 27, 20]
    assert "\\Seen" in view.flag_names(view.flags[1])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("list", "nobody@a.test"), 1),
        (("list", "nobody"), 2),
        (("status", "ann@a.test", "--mailbox", "None"), 1),
        (("restore", "ann@a.test", "--since", "soon"), 2),
        (("export", "ann@a.test", "None"), 1),
    ],
)
def test_what_cannot_be_done_says_so(relay, words, code):
    result = relay(*words)
    assert result.exit_code == code
    assert result.output


def test_what_is_no_mbox_is_refused(relay, tmp_path):
    (tmp_path / "file").write_text("hello")
    result = relay("import", "ann@a.test", "INBOX", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "no mbox" in result.output
