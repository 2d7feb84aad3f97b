"""``relay mailbox``: looks, checks, restores; its exit codes."""

from __future__ import annotations

import io
import json
import mailbox
import subprocess
import sys
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
    listed = [json.loads(line) for line in relay("list", "ann@a.test", "--json").output.splitlines()]
    assert [(each["name"], each["exists"]) for each in listed] == [("INBOX", True), ("Work", True)]
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


KEYWORDS = [f"k{number}" for number in range(30)]


@pytest.fixture
def marked(store):
    """Its messages have all system flags, more keywords than there are letters, and dates of their own."""
    store.create("Marked")
    put(store, b"Subject: one\r\n\r\nFrom me\r\n", name="Marked", flags=KEYWORDS, date=1_000_000_000)
    put(store, b"Subject: two\r\n\r\nx", name="Marked", flags=["\\Seen", "\\Flagged", "\\Draft"], date=1_100_000_000)
    put(store, b"\r\n", name="Marked", flags=["\\Answered", "\\Deleted", "k3"], date=1_200_000_000)
    return pictured(store, "Marked")


def pictured(store, name):
    """Content, flags and date of each message."""
    view = store.open(name, read_only=True)
    found = []
    for index in range(len(view)):
        flags = set(view.flag_names(view.flags[index])) - {"\\Recent"}
        with view.content(index) as content:
            found.append((content.read(0, 1000), flags, view.internal_date(index)))
    return found


def test_an_mbox_keeps_flags_keywords_and_dates(relay, store, marked, tmp_path):
    relay("export", "ann@a.test", "Marked", "-o", str(tmp_path / "box"))
    relay("import", "ann@a.test", "Back", str(tmp_path / "box"))
    without_end = [(octets.removesuffix(b"\r\n"), *rest) for octets, *rest in marked]
    assert [(octets.removesuffix(b"\r\n"), *rest) for octets, *rest in pictured(store, "Back")] == without_end


@pytest.mark.parametrize("is_unpacked", [False, True])
def test_a_tar_keeps_flags_dates_and_the_keywords_that_have_letters(relay, store, marked, tmp_path, is_unpacked):
    path = tmp_path / "box.tar"
    relay("export", "ann@a.test", "Marked", "--format", "tar", "-o", str(path))
    if is_unpacked:
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / "out", filter="data")
        path = tmp_path / "out" / "Marked"
    assert relay("import", "ann@a.test", "Back", str(path)).output == "3 messages\n"
    lettered = [(octets, flags - set(KEYWORDS[26:]), date) for octets, flags, date in marked]
    assert pictured(store, "Back") == lettered


@pytest.mark.parametrize("kind", ["mbox", "tar"])
def test_a_mailbox_goes_through_a_pipe(store, marked, tmp_path, kind):
    command = [sys.executable, "-m", "relay.cli", "mailbox"]
    config = ["--config", str(tmp_path / "relay.toml")]
    export = subprocess.run(
        [*command, "export", "ann@a.test", "Marked", "--format", kind, *config], capture_output=True, check=True
    )
    subprocess.run([*command, "import", "ann@a.test", "Back", "-", *config], input=export.stdout, check=True)
    assert [date for _, _, date in pictured(store, "Back")] == [date for _, _, date in marked]


def test_what_cannot_be_read_of_a_maildir_is_left_and_named(relay, store, tmp_path):
    for place in ("cur", "new"):
        (tmp_path / "box" / place).mkdir(parents=True)
    (tmp_path / "box" / "cur" / "1.good:2,S").write_bytes(b"A: b\n\nc\n")
    (tmp_path / "box" / "cur" / "2.folder").mkdir()
    (tmp_path / "box" / "new" / "3.gone").symlink_to("/nonexistent")
    result = relay("import", "ann@a.test", "Back", str(tmp_path / "box"))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "2.folder: Is a directory", "3.gone: A symbolic link, which is not followed", "1 messages", "2 not taken in",
    ]  # fmt: skip
    assert [octets for octets, _, _ in pictured(store, "Back")] == [b"A: b\r\n\r\nc\r\n"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"hello", "no mbox"),
        (b"x" * 257 + b"ustar" + b"x" * 1000, "this tar is damaged"),
    ],
)
def test_a_damaged_source_is_refused(relay, tmp_path, source, told):
    (tmp_path / "file").write_bytes(source)
    result = relay("import", "ann@a.test", "Back", str(tmp_path / "file"))
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "0 messages")
    assert told in result.output


def test_an_account_that_has_had_no_mail_yet_can_be_filled(relay, store, tmp_path):
    relay("export", "ann@a.test", "INBOX", "-o", str(tmp_path / "box"))
    CliRunner().invoke(
        main,
        ["account", "add", "new@a.test", "--generate", "--config", str(tmp_path / "relay.toml")],
        prog_name="relay",
    )
    assert relay("status", "new@a.test").output == "new@a.test has no mailbox yet\n"
    assert relay("import", "new@a.test", "INBOX", str(tmp_path / "box")).output == "2 messages\n"
    assert "2 messages" in relay("status", "new@a.test").output
    assert (
        "there is no account nobody@a.test\n" in relay("import", "nobody@a.test", "INBOX", str(tmp_path / "box")).output
    )


def test_a_full_disk_ends_an_export_with_one_line(relay):
    result = relay("export", "ann@a.test", "INBOX", "-o", "/dev/full")
    assert (result.exit_code, result.output) == (1, "No space left on device\n")


def test_an_export_that_is_refused_leaves_the_file_as_it_was(relay, tmp_path):
    (tmp_path / "box").write_text("of yesterday")
    assert relay("export", "ann@a.test", "None", "-o", str(tmp_path / "box")).exit_code == 1
    assert (tmp_path / "box").read_text() == "of yesterday"
    assert relay("export", "ann@a.test", "Work", "-o", str(tmp_path / "box")).exit_code == 0
    assert (tmp_path / "box").read_text().startswith("From ")
