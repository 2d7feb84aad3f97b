"""FETCH of short things by columns answers as FETCH message by message does."""

import pytest

from relay.imap import fetch
from tests.imap.stand import Peer, World

ASKED = (
    b"UID FLAGS RFC822.SIZE INTERNALDATE",
    b"UID FLAGS MODSEQ ENVELOPE BODYSTRUCTURE",
    b"BODY.PEEK[HEADER.FIELDS (Subject To)] FLAGS",
    b"BODY.PEEK[HEADER.FIELDS.NOT (Subject)]",
    b"UID BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[1]",
    b"UID BODY.PEEK[] FLAGS",
    b"BODY[]",
)


def filled():
    """A session at a mailbox with messages, and one more like it."""
    world = World()
    peers = [Peer(world.session()) for _ in range(2)]
    for peer in peers:
        peer.send(b"a LOGIN anna secret\r\n")
    for number in range(5):
        text = b"Subject: number %d\r\nTo: anna@local.test\r\n\r\nhello\r\n" % number
        peers[0].send(b"a APPEND INBOX (\\Seen) {%d+}\r\n%b\r\n" % (len(text), text))
    for peer in peers:
        peer.send(b"a SELECT INBOX\r\n")
    return peers


@pytest.mark.parametrize("items", ASKED)
def test_rows_are_what_is_written_message_by_message(items, monkeypatch):
    """The second time everything is kept, and the third time nothing goes by columns."""
    peer, _ = filled()
    command = b"a FETCH 1:* (" + items + b")\r\n"
    if b"MODSEQ" in items:
        peer.send(b"a FETCH 1 MODSEQ\r\n")  # the first one brings an OK, too
    first, second = peer.send(command), peer.send(command)
    monkeypatch.setattr(fetch, "_known", lambda _state, run, _wanted: run)
    assert first == second == peer.send(command)
    assert first.count(b" FETCH (") == 5


def test_what_is_kept_goes_by_columns(monkeypatch):
    peer, _ = filled()
    command = b"a FETCH 1:* (UID ENVELOPE BODY.PEEK[HEADER.FIELDS (To)])\r\n"
    first = peer.send(command)
    monkeypatch.setattr(fetch, "_message", lambda *_, **__: pytest.fail("message by message"))
    assert peer.send(command) == first


def test_fields_of_one_list_are_not_taken_for_those_of_another(monkeypatch):
    """There are few places for what is kept: here there is one."""
    monkeypatch.setattr("relay.imap.columns.FIELDS", range(32, 33))
    peer, _ = filled()
    for _ in range(2):
        assert b"number 3" in peer.send(b"a FETCH 4 BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n")
        assert b"anna@local.test" in peer.send(b"a FETCH 4 BODY.PEEK[HEADER.FIELDS (TO)]\r\n")


def test_header_fields_that_are_not_peeked_at_set_seen():
    peer, other = filled()
    other.send(b"a STORE 1 -FLAGS (\\Seen)\r\n")
    command = b"a FETCH 1 BODY%b[HEADER.FIELDS (TO)]\r\n"
    peer.send(command % b".PEEK")
    assert b"\\Seen" in peer.send(command % b"")


def test_long_fields_are_not_kept(monkeypatch):
    """Words and fields: a client may choose in many ways."""
    peer, _ = filled()
    kept = []
    monkeypatch.setattr("tests.mailbox.twin.TwinView.cache", lambda *arguments: kept.append(arguments))
    for names in (b"SUBJECT", b" ".join(b"X-%d" % number for number in range(900))):
        assert b"a OK" in peer.send(b"a FETCH 1 BODY.PEEK[HEADER.FIELDS (" + names + b")]\r\n")
    assert len(kept) == 1
