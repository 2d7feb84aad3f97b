"""What stands in a Maildir and is no message, or cannot be read: it harms nothing but itself, and somebody is told.

cr.yp.to/proto/maildir.html: a message is a regular file. Whoever can write into a Maildir must not reach what is
elsewhere by a link, nor hold up a thread by a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import stat
from pathlib import Path

import pytest

from relay.mailbox import _reading
from relay.mailbox.exporting import Left, export_mbox, export_tar
from relay.mailbox.files import is_lasting, open_file, replacing
from relay.mailbox.importing import import_maildir
from relay.mailbox.maildir import Message, deliver
from relay.mailbox.restore import check, purge, restore
from relay.mailbox.scripts import Quota, ScriptRefused, Scripts
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.store import FolderStore
from relay.mailbox.troubles import HOUR, Troubles
from relay.mailbox.upkeep import keep_up
from relay.mailbox.vocabulary import How, Refusal, Refused
from tests.mailbox.test_contract import put

SECRET = b"root:x:0:0\n"
KINDS = ("fifo", "folder", "link", "dangling", "socket", "loop")
OWN = ("relay-uids", "relay-index", "relay-facts", "relay-account", "relay-annotations", "subscriptions")


class Log:
    """What was told."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.count = 0

    def event(self, _level: str, _event: str, /, **fields: object) -> None:
        self.count += 1
        self.files[str(fields["file"])] = str(fields["cause"])


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def store(tmp_path, log):
    return FolderStore(tmp_path / "ann", troubles=Troubles(log.event))


def make(kind: str, path: Path) -> None:
    """Something that is no regular file."""
    secret = path.parents[1] / "secret" if path.parents[1].is_dir() else path.parent / "secret"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            secret.write_bytes(SECRET)
            path.symlink_to(secret)
        case "dangling":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(path.name)
        case "socket":
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's path is short
            try:
                with socket.socket(socket.AF_UNIX) as one:
                    one.bind(path.name)
            finally:
                os.chdir(here)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["new", "cur"])
def test_what_is_no_regular_file_is_no_message(tmp_path, store, log, kind, place):
    put(store, b"Subject: good\r\n\r\n")
    bad = tmp_path / "ann" / place / "1700000003.bad.host:2,S"
    make(kind, bad)
    view = store.open("INBOX")
    assert list(view.uids) == [1]
    assert store.status("INBOX").messages == 1
    assert view.parts(0)[0].fields["subject"] == b"good"
    assert log.files == {str(bad): "no regular file, so it is no message"}
    assert store.quota().messages == 1
    found = [each.text for each in check(store, deep=True) if each.is_damage]
    assert len(found) == 1
    assert str(bad) in found[0]
    assert os.path.lexists(bad)
    (tmp_path / "ann" / "new" / "1700000004.good.host").write_bytes(b"Subject: later\n\n")
    view.refresh()
    assert list(view.uids) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_becomes_something_else_is_gone(tmp_path, store, kind):
    """Its UID is not used again."""
    put(store, b"one\r\n", b"two\r\n")
    view = store.open("INBOX")
    first, _ = sorted((tmp_path / "ann" / "cur").iterdir())
    first.unlink()
    make(kind, first)
    for read in (view.content, view.parts):
        with pytest.raises((OSError, Refused)):
            read(0)
    assert view.wholes([0, 1]) == [None, b"two\r\n"]
    view.refresh()
    assert list(view.uids) == [2]
    assert put(store, b"three\r\n") == [3]


def unreadable(monkeypatch, name: str, cause: int = errno.EACCES) -> None:
    """Files with this name cannot be opened, as if they were somebody else's: tests run as root."""
    real_open, real_read, real_runs = _reading.open_below, _reading.read_message, _reading.read_messages

    def refuse(below: bytes) -> None:
        if name.encode() in below:
            raise OSError(cause, os.strerror(cause))

    def open_below(root, below, flags):
        refuse(below)
        return real_open(root, below, flags)

    def read_message(root, below, limit):
        refuse(below)
        return real_read(root, below, limit)

    def read_messages(root, paths, limit):
        return real_runs(root, [None if path and name.encode() in path else path for path in paths], limit)

    for each in (open_below, read_message, read_messages):
        monkeypatch.setattr(_reading, each.__name__, each)


def test_one_that_cannot_be_read_costs_the_others_nothing(tmp_path, store, log, monkeypatch):
    put(store, b"Subject: good\r\n\r\n")
    bad = tmp_path / "ann" / "cur" / "1700000003.bad.host:2,"
    bad.write_bytes(b"Subject: bad\n\nfindme\n")
    unreadable(monkeypatch, "1700000003.bad")
    view = store.open("INBOX")
    assert list(view.uids) == [1, 2]
    assert view.sizes([0, 1]) == [17, 21]
    assert store.status("INBOX").size == 17 + 21
    assert view.internal_date(1) > 0
    for read in (view.content, view.parts):
        with pytest.raises(PermissionError):
            read(1)
    assert view.wholes([0, 1]) == [b"Subject: good\r\n\r\n", None]
    store.create("Other")
    for act in (view.copy, view.move):
        with pytest.raises(PermissionError):
            act([1, 2], "Other")
        assert store.status("Other").messages == 0, "nothing copied (RFC 9051 6.4.7)"
    assert store.status("INBOX").messages == 2
    assert view.store_flags([2], How.ADD, ["\\Deleted"]).changed == [2]
    assert log.files
    assert {path.rpartition(":")[0] for path in log.files} == {str(bad).rpartition(":")[0]}
    assert set(log.files.values()) == {"Permission denied"}
    assert any("1700000003.bad" in each.text for each in check(store) if each.is_damage)
    assert list(view.expunge()) == [2]


def test_a_file_is_told_once_an_hour():
    log, now = Log(), [0.0]
    troubles = Troubles(log.event, lambda: now[0])
    for _ in range(3):
        troubles.report("/a", OSError(errno.EIO, os.strerror(errno.EIO)))
    troubles.report("/b", "no regular file")
    assert (log.count, log.files) == (2, {"/a": os.strerror(errno.EIO), "/b": "no regular file"})
    now[0] = HOUR
    troubles.report("/a", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert log.count == 3


def test_a_message_is_the_same_file_when_it_is_no_longer_new_or_gets_flags():
    log = Log()
    troubles = Troubles(log.event)
    for path in ("/a/new/17.host", "/a/cur/17.host:2,", "/a/cur/17.host:2,FS", "/b/cur/17.host:2,FS"):
        troubles.report(path, "no regular file")
    assert list(log.files) == ["/a/new/17.host", "/b/cur/17.host:2,FS"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OWN)
def test_nothing_in_the_place_of_our_own_files_holds_us_up_or_leads_elsewhere(tmp_path, store, log, name, kind):
    """What can be made anew is not missed; what cannot is a fault of the disk, with its path in the log."""
    put(store, b"Subject: x\r\n\r\n")
    folder = tmp_path / "ann"
    (folder / name).unlink(missing_ok=True)
    make(kind, folder / name)
    again = FolderStore(folder, troubles=Troubles(log.event))
    for act in (
        lambda: again.open("INBOX").parts(0),
        lambda: again.open("INBOX").cache(0, 20, b"x" * 100),
        lambda: again.status("INBOX"),
        again.list,
        lambda: again.subscribe("Other"),
        lambda: again.annotate("INBOX", {"/private/comment": b"x"}),
        lambda: again.create("Made", ["\\Sent"]),
        again.mailbox("INBOX").rebuild,
    ):
        with contextlib.suppress(IsADirectoryError):
            try:
                act()
            except OSError as fault:
                if fault.errno not in {errno.ELOOP, errno.ENXIO}:
                    raise
    secret = folder.parent / "secret"
    for each in (folder / "secret", secret):
        assert not each.exists() or each.read_bytes() == SECRET
    if name in {"relay-uids", "subscriptions", "relay-account", "relay-facts"}:
        assert str(folder / name) in log.files
    if name != "relay-uids":
        assert len(again.open("INBOX")) == 1
        assert next(each.name for each in again.list()) == "INBOX"
    assert any(str(folder / name) in each.text for each in check(again) if each.is_damage) or name in {
        "relay-index",
        "relay-facts",
        "relay-annotations",
    }


@pytest.mark.parametrize("name", ["relay-uids.tmp", "relay-index.tmp", "subscriptions.tmp", "relay-account.tmp"])
def test_what_is_written_beside_follows_no_link(tmp_path, store, name):
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "ann" / name).symlink_to(tmp_path / "secret")
    put(store, b"x\r\n")
    store.subscribe("INBOX")
    store.mailbox("INBOX").rebuild()
    store.create("Sent", ["\\Sent"])
    assert (tmp_path / "secret").read_bytes() == SECRET


def test_folders_behind_links_are_no_mailboxes(tmp_path, store):
    other = FolderStore(tmp_path / "bob")
    put(other, b"Subject: secret\r\n\r\n")
    other.create("Private")
    (tmp_path / "ann" / ".Bob").symlink_to(tmp_path / "bob")
    (tmp_path / "ann" / ".Private").symlink_to(tmp_path / "bob" / ".Private")
    assert [each.name for each in store.list()] == ["INBOX"]
    for name in ("Bob", "Private"):
        for act in (store.open, store.status, store.begin_append, store.delete, lambda name: store.rename(name, "X")):
            with pytest.raises(Refused) as refused:
                act(name)
            assert refused.value.why is Refusal.NONEXISTENT
        with pytest.raises(Refused) as refused:
            store.create(name)
        assert refused.value.why is Refusal.CANNOT
    assert store.quota().messages == 0
    assert other.status("INBOX").messages == 1


@pytest.mark.parametrize("place", ["cur", "new", "tmp"])
def test_a_part_of_a_mailbox_behind_a_link_is_a_fault_of_the_disk(tmp_path, store, log, place):
    FolderStore(tmp_path / "bob")
    store.create("Work")
    store.delete("Work")
    store.create("Work")
    folder = tmp_path / "ann" / ".Work"
    (folder / place).rmdir()
    (folder / place).symlink_to(tmp_path / "bob" / place)
    with pytest.raises((OSError, Refused)):
        store.open("Work")
    (result,) = deliver([Message(folder, (b"x\r\n",))])
    assert isinstance(result, OSError)
    assert result.filename == str(folder / place)
    assert [len(os.listdir(tmp_path / "bob" / each)) for each in ("cur", "new", "tmp")] == [0, 0, 0]


def test_the_accounts_own_folder_may_be_a_link(tmp_path):
    """The administrator's choice: the mail of an account is on another disk."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ann").symlink_to(tmp_path / "elsewhere")
    deliver([Message(tmp_path / "ann", (b"Subject: x\r\n\r\n",))])
    store = FolderStore(tmp_path / "ann")
    store.create("Work")
    view = store.open("INBOX")
    view.copy([1], "Work")
    assert view.parts(0)[0].fields["subject"] == b"x"
    assert len(store.open("Work")) == 1


def test_removed_messages_do_not_go_where_a_link_leads(tmp_path, store):
    put(store, b"x\r\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ann" / "relay-deleted").symlink_to(tmp_path / "elsewhere")
    view = store.open("INBOX")
    with pytest.raises(OSError, match="not a folder"):
        view.expunge([1], deleted_only=False)
    assert store.status("INBOX").messages == 1
    assert os.listdir(tmp_path / "elsewhere") == []
    (tmp_path / "elsewhere" / "INBOX").mkdir()
    (tmp_path / "elsewhere" / "INBOX" / "1,mine").write_bytes(b"x")
    purge(store, 1e12)
    assert os.listdir(tmp_path / "elsewhere" / "INBOX") == ["1,mine"]


def test_upkeep_goes_past_what_is_strange(tmp_path, store):
    from relay.config.mailbox import MailboxSettings

    put(store, b"x\r\n")
    for kind in KINDS:
        make(kind, tmp_path / "ann" / "tmp" / f"1.{kind}")
        make(kind, tmp_path / "ann" / "cur" / f"1.{kind}")
    store.open("INBOX").expunge([1], deleted_only=False)
    for kind in KINDS:
        make(kind, tmp_path / "ann" / "relay-deleted" / "INBOX" / f"1,{kind}")
    assert keep_up(store, MailboxSettings(), 0).purged >= 0
    assert (tmp_path / "ann" / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("kind", KINDS)
def test_scripts_and_their_memory_are_regular_files(tmp_path, kind):
    folder = tmp_path / "ann"
    scripts = Scripts(folder, Quota(10, 1000))
    scripts.put("good", b"keep;")
    make(kind, folder / "sieve" / "bad.sieve")
    make(kind, folder / "sieve" / "memory")
    assert [each.name for each in scripts.list()] == ["good"]
    with pytest.raises((OSError, ScriptRefused)):
        scripts.get("bad")
    with pytest.raises(ScriptRefused):
        scripts.activate("bad")
    for act in (lambda: Memory(folder).add("kind", "key", 1e12, 0), lambda: Memory(folder).knows("kind", "key", 0)):
        if kind != "dangling":
            with pytest.raises(OSError, match=r".") as fault:
                act()
            assert is_lasting(fault.value)


def test_an_export_leaves_out_what_cannot_be_read(store, monkeypatch):
    put(store, b"Subject: good\r\n\r\n")
    bad = store.root.folder / "cur" / "1700000003.bad.host:2,"
    bad.write_bytes(b"Subject: bad\n\n")
    unreadable(monkeypatch, "1700000003.bad", errno.EIO)
    view = store.open("INBOX")
    for export in (export_mbox, lambda view, out: export_tar(view, out, "INBOX")):
        out = io.BytesIO()
        assert export(view, out) == [Left(2, os.strerror(errno.EIO))]
        assert b"Subject: good" in out.getvalue()
        assert b"bad" not in out.getvalue()


@pytest.mark.parametrize("name", ["dovecot-uidlist", "dovecot-keywords"])
def test_a_taken_over_maildir_whose_uidlist_cannot_be_read_waits(tmp_path, name):
    """With another UIDVALIDITY every client would download everything again. Keywords are not worth that."""
    folder = tmp_path / "ann"
    FolderStore(folder)
    make("folder", folder / name)
    again = FolderStore(folder)
    if name == "dovecot-keywords":
        assert again.status("INBOX").messages == 0
        return
    with pytest.raises(IsADirectoryError):
        again.open("INBOX")
    (folder / name).rmdir()
    (folder / name).write_text("3 V1234 N7\n")
    assert again.open("INBOX").uidvalidity == 1234


@pytest.mark.parametrize("length", [200, 240, 252, 255])
def test_a_name_as_long_as_can_be_is_read_removed_and_restored(tmp_path, store, length):
    """A flag, and the second of removal, make it longer."""
    put(store, b"Subject: first\r\n\r\n")
    name = ("1700000000.M1,S=12,W=14.".ljust(length, "x"))[:length]
    (tmp_path / "ann" / "new" / name).write_bytes(b"Subject: x\n\n")
    view = store.open("INBOX")
    assert [view.parts(index)[0].fields["subject"] for index in (0, 1)] == [b"first", b"x"]
    with contextlib.suppress(OSError):  # there may be no room for a letter
        view.store_flags([1, 2], How.ADD, ["\\Seen"])
    store.create("Other")
    assert list(view.copy([1, 2], "Other").sources) == [1, 2]
    assert list(view.expunge([1, 2], deleted_only=False)) == [1, 2]
    assert restore(store, 0) == {"INBOX": 2}
    assert store.status("INBOX").messages == 2


def test_an_import_follows_no_link_and_waits_for_nobody(tmp_path, store):
    """It may run as root, on what somebody else has made."""
    source = tmp_path / "source"
    FolderStore(source)
    (source / "cur" / "1.good:2,").write_bytes(b"Subject: x\n\n")
    for kind in KINDS:
        make(kind, source / "cur" / f"2.{kind}:2,")
    results = {each.name: each.trouble for each in import_maildir(store, "INBOX", source)}
    assert results.pop("1.good:2,") == ""
    assert set(results) == {f"2.{kind}:2," for kind in KINDS}
    assert all(results.values())
    assert store.status("INBOX").messages == 1


def test_a_file_is_replaced_by_a_new_one_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert sorted(os.listdir(tmp_path)) == ["file"]
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.close(open_file(path))
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nothing")


def test_a_folder_that_cannot_be_looked_into_is_a_mailbox_that_cannot_be_read(store, tmp_path, monkeypatch):
    """It is listed, and does not keep anybody from the others."""
    store.create("Locked")
    real = os.lstat

    def refusing(path, *rest, **more):
        if str(path).endswith("/.Locked/cur"):
            raise PermissionError(errno.EACCES, "denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "lstat", refusing)
    assert [each.name for each in store.list()] == ["INBOX", "Locked"]
    assert store.quota().messages == 0
