"""IMAP sessions at a mailbox on disk of which something cannot be read: everything else stays usable (RFC 9051 7.1.2:
NO after partial results)."""

from __future__ import annotations

import errno
import os
import re

import pytest

from relay.imap.fetch import PIECE, TornError
from relay.mailbox.content import FileContent
from relay.mailbox.store import FolderStore
from relay.mailbox.view import FolderView
from tests.imap.stand import Peer
from tests.mailbox.changing import Accounts
from tests.mailbox.test_contract import put
from tests.mailbox.test_strange_files import unreadable


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """Messages 1, 2 and 4 are good, 3 cannot be read."""
    world = Accounts(tmp_path)
    store = FolderStore(tmp_path / "anna@local.test")
    put(store, b"Subject: good 1\r\n\r\nfindme\r\n")
    put(store, b"Subject: good 2\r\n\r\nfindme\r\n")
    bad = store.root.folder / "cur" / "1700000003.bad.host:2,"
    bad.write_bytes(b"Subject: bad\n\nfindme\n")
    store.status("INBOX")
    put(store, b"Subject: good 3\r\n\r\nfindme\r\n")
    unreadable(monkeypatch, "1700000003.bad")
    peer = Peer(world.session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")
    return peer


@pytest.mark.parametrize("items", ["ENVELOPE", "BODY.PEEK[]", "BODY[TEXT]", "PREVIEW", "BODYSTRUCTURE", "BINARY[1]",
                                   "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "THREADID"])  # fmt: skip
def test_fetch_answers_for_all_that_can_be_read_and_says_how_many_cannot(peer, items):
    for _ in range(2):
        said = peer.send(f"a FETCH 1:* {items}\r\n".encode())
        assert re.findall(rb"\* (\d) FETCH", said) == [b"1", b"2", b"4"]
        assert said.endswith(b"a NO [UNAVAILABLE] One message cannot be read\r\n")


def test_what_needs_no_content_is_answered_for_all(peer):
    said = peer.send(b"a FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE EMAILID)\r\n")
    assert said.count(b" FETCH (") == 4
    assert b"RFC822.SIZE 21 " in said
    assert said.endswith(b"a OK Fetch done\r\n") or b"a OK" in said


def test_what_could_not_be_shown_is_not_seen(peer):
    peer.send(b"a FETCH 1:* BODY[]\r\n")
    assert b"* SEARCH 3\r\n" in peer.send(b"b SEARCH UNSEEN\r\n")


@pytest.mark.parametrize(("command", "found"), [
    ("SEARCH BODY findme", b"* SEARCH 1 2 4"), ("SEARCH SUBJECT good", b"* SEARCH 1 2 4"),
    ("SEARCH NOT SUBJECT x", b"* SEARCH 1 2 4"), ("SEARCH TEXT findme", b"* SEARCH 1 2 4"),
    ("SEARCH ALL", b"* SEARCH 1 2 3 4"), ("SEARCH UNSEEN", b"* SEARCH 1 2 3 4"), ("SEARCH SMALLER 22", b"* SEARCH 3"),
    ("SEARCH SINCE 1-Jan-2000", b"* SEARCH 1 2 3 4"), ("SEARCH UID 3", b"* SEARCH 3"),
    ("SEARCH OR UID 3 BODY findme", b"* SEARCH 1 2 3 4"),
    ("SORT (SUBJECT) UTF-8 ALL", b"* SORT 1 2 4"), ("SORT (ARRIVAL) UTF-8 UID 3", b"* SORT 3"),
    ("SORT (SIZE) UTF-8 ALL", b"* SORT 3 1 2 4"),
    ("THREAD REFERENCES UTF-8 ALL", b"* THREAD (1)(2)(4)"), ("THREAD ORDEREDSUBJECT UTF-8 ALL", b"* THREAD (1)(2)(4)"),
])  # fmt: skip
def test_searches_look_at_the_others(peer, command, found):
    said = peer.send(f"a {command}\r\n".encode())
    assert said.startswith(found + b"\r\n")
    assert b"a OK" in said


@pytest.mark.parametrize("command", [b"COPY 1:* Other", b"MOVE 1:* Other"])
def test_copies_are_all_or_none(peer, command):
    """RFC 9051 6.4.7."""
    peer.send(b"a CREATE Other\r\n")
    assert peer.send(b"b " + command + b"\r\n").startswith(b"b NO [UNAVAILABLE]")
    assert b"MESSAGES 0" in peer.send(b"c STATUS Other (MESSAGES)\r\n")
    assert b"MESSAGES 4" in peer.send(b"c STATUS INBOX (MESSAGES)\r\n")


def test_it_can_be_marked_and_removed(peer):
    assert b"a OK" in peer.send(b"a STORE 3 +FLAGS (\\Deleted)\r\n")
    assert b"* 3 EXPUNGE\r\n" in peer.send(b"b EXPUNGE\r\n")


def test_a_message_that_cannot_be_read_on_ends_the_session(tmp_path, monkeypatch):
    """Its literal is begun: whatever were said next would be taken for its octets."""
    world = Accounts(tmp_path)
    put(FolderStore(tmp_path / "anna@local.test"), b"Subject: long\r\n\r\n" + b"x" * 80 * PIECE)
    peer = Peer(world.session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")
    real = FileContent._read_on

    def read_on(self, offset, count):
        if offset > 10 * PIECE:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, offset, count)

    monkeypatch.setattr(FileContent, "_read_on", read_on)
    with pytest.raises(TornError):
        peer.send(b"a FETCH 1 BODY.PEEK[]\r\n")


def test_a_mailbox_whose_flags_cannot_be_changed_can_be_read(tmp_path, monkeypatch):
    """Its messages are shown, only not marked as seen."""
    world = Accounts(tmp_path)
    put(FolderStore(tmp_path / "anna@local.test"), b"Subject: x\r\n\r\n")
    peer = Peer(world.session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")

    def refuse(*_paths):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "rename", refuse)
    said = peer.send(b"a FETCH 1 BODY[]\r\n")
    assert b"Subject: x" in said
    assert b"a OK" in said
    assert peer.send(b"b STORE 1 +FLAGS (\\Seen)\r\n").startswith(b"b NO [UNAVAILABLE]")
    assert b"FLAGS (\\Recent)" in peer.send(b"c FETCH 1 FLAGS\r\n")


def test_what_was_done_is_said_to_be_done_though_nothing_new_can_be_seen(tmp_path, monkeypatch):
    world = Accounts(tmp_path)
    put(FolderStore(tmp_path / "anna@local.test"), b"Subject: x\r\n\r\n")
    peer = Peer(world.session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")

    def fail(*_names, **_more):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(FolderView, "refresh", fail)
    assert b"a OK" in peer.send(b"a STORE 1 +FLAGS (\\Seen)\r\n")
    assert b"b OK" in peer.send(b"b COPY 1 INBOX\r\n")
    assert peer.send(b"c NOOP\r\n").startswith(b"c NO [UNAVAILABLE]")
    assert FolderStore(tmp_path / "anna@local.test").status("INBOX").messages == 2
    assert b"d OK" in peer.send(b"d STORE 1 +FLAGS (\\Deleted)\r\n")
    assert b"e OK" in peer.send(b"e EXPUNGE\r\n")
    assert FolderStore(tmp_path / "anna@local.test").status("INBOX").messages == 1


def test_an_account_whose_folder_cannot_be_used_is_told_so(tmp_path):
    """RFC 5530: UNAVAILABLE. The session goes on, and may log in again."""
    world = Accounts(tmp_path)
    (tmp_path / "anna@local.test").write_bytes(b"no folder")
    peer = Peer(world.session())
    said = peer.send(b"l LOGIN anna secret\r\n")
    assert said == b"l NO [UNAVAILABLE] The mailbox cannot be read or written now\r\n"
    assert peer.send(b'm LIST "" *\r\n').startswith(b"m BAD")
    (tmp_path / "anna@local.test").unlink()
    peer.login()
    assert not peer.session.is_over


def test_list_status_leaves_out_what_cannot_be_read(tmp_path):
    """RFC 5819 2."""
    world = Accounts(tmp_path)
    store = FolderStore(tmp_path / "anna@local.test")
    store.create("Bad")
    store.create("Good")
    log = store.root.folder / ".Bad" / "relay-uids"
    log.unlink()
    log.mkdir()
    peer = Peer(world.session())
    peer.login()
    said = peer.send(b'a LIST "" * RETURN (STATUS (MESSAGES))\r\n')
    assert b'"/" "Bad"' in said or b'"/" Bad' in said
    assert re.findall(rb'\* STATUS "?(\w+)', said) == [b"INBOX", b"Good"]
    assert b"a OK" in said
    assert peer.send(b"b SELECT Bad\r\n").endswith(b"b NO [UNAVAILABLE] The mailbox cannot be read or written now\r\n")
    assert b"c OK" in peer.send(b"c SELECT Good\r\n")


def test_what_is_appended_comes_back_octet_for_octet(tmp_path):
    """RFC 9051 6.3.12; the size is that of what is served."""
    peer = Peer(Accounts(tmp_path).session())
    peer.login()
    octets = b"A: b\r\r\nc: d\r\n\r\nx\ny\r\n"
    peer.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))
    peer.send(b"s SELECT INBOX\r\n")
    said = peer.send(b"b FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n")
    assert b"RFC822.SIZE %d BODY[] {%d}\r\n%b)\r\n" % (len(octets), len(octets), octets) in said
    said = peer.send(b"c FETCH 1 BODY.PEEK[]<3.9>\r\n")
    assert b"BODY[]<3> {9}\r\n%b)\r\n" % octets[3:12] in said
