"""Maildir delivery: whole, synced, under safe names; a fault harms only its own message."""

from __future__ import annotations

import errno
import mailbox
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mailbox import maildir
from relay.mailbox.maildir import Message, deliver, folder_of


def new_files(folder: Path) -> list[Path]:
    return sorted((folder / "new").iterdir())


def test_a_message_is_in_new_with_lf_lines_and_both_sizes_in_its_name(tmp_path):
    folder = tmp_path / "mail" / "example.org" / "ann"
    (name,) = deliver([Message(folder, (b"A: b\r\n\r\n", memoryview(b"text\r\n")))])
    (file,) = new_files(folder)
    assert file.name == name
    assert file.read_bytes() == b"A: b\n\ntext\n"
    assert file.name.endswith(",S=11,W=14")
    assert not list((folder / "tmp").iterdir())
    assert (folder / "cur").is_dir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_pythons_own_reader_finds_it(tmp_path):
    folder = tmp_path / "box"
    deliver([Message(folder, (b"Subject: hello\r\n\r\ntext\r\n",))])
    (found,) = mailbox.Maildir(str(folder), create=False)
    assert found["subject"] == "hello"


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b""]), max_size=12))
def test_crlf_becomes_lf_however_the_octets_lie_in_pieces(pieces):
    lines = maildir.LineFeeds()
    octets, made = b"".join(pieces), b"".join([*map(lines.take, pieces), lines.end()])
    assert made == octets.replace(b"\r\n", b"\n")
    assert lines.is_lossy == (made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") != octets)


def test_a_large_content_is_copied_from_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(maildir, "PIECE", 7)
    content = b"line of text\r\n" * 1000
    path = tmp_path / "content"
    path.write_bytes(content)
    (name,) = deliver([Message(tmp_path / "box", (b"A: b\r\n",), str(path), len(content))])
    (file,) = new_files(tmp_path / "box")
    assert file.read_bytes() == b"A: b\n" + content.replace(b"\r\n", b"\n")
    assert isinstance(name, str)
    assert name.endswith(f",W={len(content) + 6}")


@pytest.mark.parametrize("size", [99, 101])
def test_a_content_file_of_another_size_is_not_delivered(tmp_path, size):
    path = tmp_path / "content"
    path.write_bytes(b"x" * 100)
    (fault,) = deliver([Message(tmp_path / "box", (), str(path), size)])
    assert isinstance(fault, OSError)
    assert fault.errno == errno.EIO
    assert not new_files(tmp_path / "box")
    assert not list((tmp_path / "box" / "tmp").iterdir())


def test_a_fault_of_one_message_does_not_touch_the_others(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    good = Message(tmp_path / "box", (b"good",))
    results = deliver([good, Message(tmp_path / "file" / "box", (b"bad",)), good])
    assert [isinstance(result, OSError) for result in results] == [False, True, False]
    assert len(new_files(tmp_path / "box")) == 2


STEPS = ["write", "fdatasync", "rename", "fsync"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failing_disk_is_reported_and_leaves_no_rubbish(tmp_path, monkeypatch, step):
    maildir.make_maildir(tmp_path / "box")

    def failing(*_args, **_kwargs):
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "rename") if step == "rename" else (os, step)), failing)
        (fault,) = deliver([Message(tmp_path / "box", (b"text\r\n",))])
    assert isinstance(fault, OSError)
    assert not list((tmp_path / "box" / "tmp").iterdir())
    if step != "fsync":
        assert not new_files(tmp_path / "box")


def test_every_step_is_synced_before_the_next(tmp_path, monkeypatch):
    """Written and synced, then renamed, then the directory synced: once for all messages of a batch."""
    folder = tmp_path / "box"
    maildir.make_maildir(folder)
    calls = []
    for owner, name in ((os, "write"), (os, "fdatasync"), (Path, "rename"), (os, "fsync")):
        real = getattr(owner, name)

        def watched(*args, name=name, real=real):
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(owner, name, watched)
    deliver([Message(folder, (b"one",)), Message(folder, (b"two",))])
    assert calls == ["write"] * 2 + ["fdatasync"] * 2 + ["rename"] * 2 + ["fsync"]


def test_new_folders_are_synced_into_their_parents(tmp_path, monkeypatch):
    synced = []
    real = maildir.sync_directory

    def watched(path):
        synced.append(path)
        real(path)

    monkeypatch.setattr(maildir, "sync_directory", watched)
    maildir.make_maildir(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a", *[tmp_path / "a" / "b"] * 3]


def test_a_new_folder_that_was_removed_is_made_again(tmp_path):
    maildir.make_maildir(tmp_path / "box")
    (tmp_path / "box" / "new").rmdir()
    assert isinstance(deliver([Message(tmp_path / "box", (b"x",))])[0], str)


def test_many_threads_deliver_to_one_maildir_at_once(tmp_path):
    folder = tmp_path / "box"
    results: list[list[str | OSError]] = []

    def run(number: int) -> None:
        results.append(deliver([Message(folder, (b"%d-%d" % (number, index),)) for index in range(10)]))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [result for batch in results for result in batch]
    assert len(set(names)) == 80
    assert {file.read_bytes() for file in new_files(folder)} == {b"%d-%d" % (n, i) for n in range(8) for i in range(10)}


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (b"ann@example.org", "example.org/ann"),
        (b"Ann@example.org", "example.org/%41nn"),
        (b"ann+tag@example.org", "example.org/ann+tag"),
        (b"..@example.org", "example.org/%2E."),
        (b".@..", "%2E./%2E"),
        (b"../../etc@example.org", "example.org/%2E.%2F..%2Fetc"),
        (b'"a b"@example.org', "example.org/%22a%20b%22"),
        (b"a%2Fb@example.org", "example.org/a%252%46b"),
        (b"a\x00b@[192.0.2.1]", "%5B192.0.2.1%5D/a%00b"),
        ("jörg@example.org".encode(), "example.org/j%C3%B6rg"),
        (b'"a@b"@example.org', "example.org/%22a@b%22"),
    ],
)
def test_folder_names_never_lead_elsewhere(address, path):
    assert folder_of(Path("/mail"), address) == Path("/mail") / path


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_no_two_mailboxes_share_a_folder_and_none_leaves_the_mail_directory(one, other):
    folders = [folder_of(Path("/mail"), name.replace(b"@", b"") + b"x@d.org") for name in (one, other)]
    for folder in folders:
        assert folder.parent == Path("/mail/d.org")
        assert folder.name not in {".", ".."}
        assert folder.name.isascii()
    assert (str(folders[0]).lower() == str(folders[1]).lower()) == (one.replace(b"@", b"") == other.replace(b"@", b""))


@pytest.mark.parametrize("address", [b"", b"ann", b"@example.org", b"ann@", b"a" * 256 + b"@x", b"\xff" * 90 + b"@x"])
def test_what_cannot_be_a_folder_is_refused(address):
    with pytest.raises(ValueError):
        folder_of(Path("/mail"), address)
