"""What dialog scripts cannot show: pieces, bounds, compression, ends, faults of the disk."""

import zlib

import pytest

from relay.imap import metadata
from relay.imap.command_input import HOLD_LIMIT
from relay.imap.execution import PIECE
from relay.mailbox.vocabulary import MAX_ANNOTATIONS
from relay.readers.machine import Blocking
from tests.imap.stand import Peer, World
from tests.mailbox.twin import TwinView


def stocked(count: int = 1, size: int = 10, **world) -> tuple[World, Peer]:
    """A session with INBOX open, and so many messages in it."""
    place = World(**world)
    appending = place.store("anna@local.test").begin_append("INBOX")
    for _ in range(count):
        appending.add()
        appending.write(b"Subject: x\r\n\r\n" + b"y" * size + b"\r\n")
    appending.commit()
    peer = Peer(place.session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")
    return place, peer


def pieces(peer: Peer, command: bytes) -> list[int]:
    """How much each job of the command's brings, the peer reading all of it."""
    session = peer.session
    session.receive(command, 0)
    sizes = []
    while (job := session.take_job()) is not None:
        assert isinstance(job, Blocking)
        peer.carry_out(job)
        sizes.append(len(session.take_output()))
    return sizes


def test_a_long_answer_is_made_piece_by_piece():
    _, peer = stocked(300, 10_000)
    sizes = pieces(peer, b"a FETCH 1:* BODY.PEEK[]\r\n")
    assert sum(sizes) > 3_000_000
    assert max(sizes) < 2 * PIECE
    _, peer = stocked(1, 5_000_000)
    sizes = pieces(peer, b"a FETCH 1 BODY.PEEK[]\r\n")
    assert sum(sizes) > 5_000_000
    assert max(sizes) < 3 * PIECE


def test_what_comes_in_while_a_job_is_out_is_bounded_by_not_reading():
    _, peer = stocked()
    peer.session.receive(b"a FETCH 1 FLAGS\r\n", 0)
    assert peer.session.may_read()
    peer.session.receive(b"b NOOP\r\n" * (HOLD_LIMIT // 8 + 1), 0)
    assert not peer.session.may_read()
    assert peer.flush().count(b"b OK") == HOLD_LIMIT // 8 + 1
    assert peer.session.may_read()


def test_appended_octets_go_to_the_store_as_they_come():
    place, peer = stocked(append_limit=1_000_000)
    peer.send(b"a APPEND INBOX {600000}\r\n")
    for _ in range(60):
        peer.send(b"z" * 10_000)
        assert peer.session._reader.held == 0
    assert b"a OK [APPENDUID" in peer.send(b"\r\n")
    assert place.store("anna@local.test").status("INBOX").size > 600_000


def test_a_lost_connection_leaves_no_half_message():
    place, peer = stocked()
    peer.send(b"a APPEND INBOX {100}\r\nhalf")
    peer.close()
    assert place.store("anna@local.test").status("INBOX").messages == 1


def test_compressed_octets_say_the_same():
    """RFC 4978: from the tagged OK on, in both directions."""
    _, peer = stocked()
    assert peer.send(b"a COMPRESS DEFLATE\r\n") == b"a OK Compressed from here on\r\n"
    out, into = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)

    def say(octets: bytes) -> bytes:
        return into.decompress(peer.send(out.compress(octets) + out.flush(zlib.Z_SYNC_FLUSH)))

    assert say(b"b FETCH 1 UID\r\n") == b"* 1 FETCH (UID 1)\r\nb OK FETCH done\r\n"
    assert say(b"c COMPRESS DEFLATE\r\n") == b"c NO [COMPRESSIONACTIVE] It is compressed already\r\n"
    assert b"* BYE" in say(b"d LOGOUT\r\n")


def test_unauthenticate_ends_the_compression_behind_its_ok():
    """RFC 8437 4.1: both streams end there, and what follows is plain, in the same segment or a later one."""
    _, peer = stocked()
    peer.send(b"a COMPRESS DEFLATE\r\n")
    out, into = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    said = peer.send(out.compress(b"b UNAUTHENTICATE\r\n") + out.flush(zlib.Z_FINISH) + b"c NOOP\r\n")
    assert into.decompress(said) == b"b OK Who are you now?\r\n"
    assert into.eof
    assert into.unused_data == b"c OK NOOP done\r\n"
    assert peer.send(b"d LOGIN bob nothing\r\n").startswith(b"d NO [AUTHENTICATIONFAILED]")


@pytest.fixture
def slow(monkeypatch):
    """A session at 300 messages, each of which takes a second to look at."""
    place, peer = stocked(300)

    def size(self, index):
        place.now += 1
        return 100

    monkeypatch.setattr(TwinView, "size", size)
    return place, peer


def test_a_long_search_says_how_far_it_has_come(slow):
    """RFC 9585: every ten seconds."""
    _, peer = slow
    said = peer.send(b"a SEARCH RETURN (COUNT) LARGER 1\r\n").splitlines()
    told = [f'* OK [INPROGRESS ("a" {done} 300)] Still at it'.encode() for done in (64, 128, 192, 256)]
    assert said == [*told, b'* ESEARCH (TAG "a") COUNT 300', b"a OK SEARCH done"]
    assert peer.send(b"b] SORT RETURN (COUNT) (SIZE) UTF-8 ALL\r\n").startswith(b"* OK [INPROGRESS (NIL 64 300)]")
    peer.session._state.hidden = frozenset({"INPROGRESS"})
    assert b"INPROGRESS" not in peer.send(b"c SEARCH RETURN (COUNT) LARGER 1\r\n")


def test_a_long_search_ends_its_turn(slow):
    """So that it is given up when the connection has gone."""
    place, peer = slow
    began = place.now
    peer.session.receive(b"a SEARCH LARGER 1\r\n", 0)
    peer.carry_out(peer.session.take_job())
    assert place.now - began == 64
    peer.close()


def test_a_window_at_the_end_is_searched_from_the_end(slow):
    """RFC 9394 3.1: the last ten of 300 messages are found by looking at ten."""
    place, peer = slow
    began = place.now
    said = peer.send(b"a UID SEARCH RETURN (PARTIAL -1:-10) LARGER 1\r\n")
    assert said.startswith(b'* ESEARCH (TAG "a") UID PARTIAL (-1:-10 291:300)')
    assert place.now - began == 10


def test_what_is_no_deflate_ends_the_session():
    _, peer = stocked()
    peer.send(b"a COMPRESS DEFLATE\r\n")
    peer.send(b"\xff\xff\xff\xff plain text")
    assert peer.session.is_over


def test_a_drain_waits_for_the_command():
    _, peer = stocked(50, 10_000)
    peer.session.receive(b"a FETCH 1:* BODY.PEEK[]\r\n", 0)
    peer.session.farewell("drained")
    said = peer.flush()
    assert b"a OK FETCH done\r\n* BYE [UNAVAILABLE]" in said
    assert peer.session.is_over


def test_hidden_capabilities_are_neither_announced_nor_enabled():
    _, peer = stocked()
    peer.session._state.hidden = frozenset({"QRESYNC"})
    assert b"QRESYNC" not in peer.send(b"a CAPABILITY\r\n")
    assert peer.send(b"b ENABLE QRESYNC\r\n") == b"* ENABLED\r\nb OK ENABLE done\r\n"


def test_annotations_have_bounds():
    """RFC 5464 4.3: MAXSIZE, TOOMANY; whatever is refused changes nothing."""
    _, peer = stocked()
    most, least = b"v" * metadata.MAX_VALUE, b"w" * (metadata.MAX_VALUE + 1)
    assert peer.send(b'a SETMETADATA "" (/shared/comment {%d+}\r\n%b)\r\n' % (len(most), most)).startswith(b"a OK")
    said = peer.send(b'b SETMETADATA "" (/private/comment "x" /shared/comment {%d+}\r\n%b)\r\n' % (len(least), least))
    assert said == b"b NO [METADATA MAXSIZE 16384] This value is too long\r\n"
    assert b"/private/comment NIL" in peer.send(b'c GETMETADATA "" (/private/comment)\r\n')
    pairs = b" ".join(b'/private/n%d "x"' % number for number in range(MAX_ANNOTATIONS))
    assert peer.send(b"d SETMETADATA INBOX (" + pairs + b")\r\n").startswith(b"d OK")
    said = peer.send(b'e SETMETADATA INBOX (/private/n0 "y" /private/more "x")\r\n')
    assert said == b"e NO [METADATA TOOMANY] There are as many annotations as there may be\r\n"
    assert b'/private/n0 "x"' in peer.send(b"f GETMETADATA INBOX /private/n0\r\n")
    assert peer.send(b'g SETMETADATA INBOX (/private/n0 NIL /private/more "x")\r\n').startswith(b"g OK")


def test_too_many_mailboxes_are_not_watched(monkeypatch):
    """RFC 5465 3.1, 5.8: NOTIFICATIONOVERFLOW, at once or when there are too many later; then nothing more."""
    monkeypatch.setattr("relay.imap.notices.MAX_MAILBOXES", 2)
    place, peer = stocked()
    other = Peer(place.session())
    other.login()
    wanted = b"NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))\r\n"
    other.send(b"a CREATE One\r\n")
    assert peer.send(b"a " + wanted) == b"a OK NOTIFY done\r\n"
    other.send(b"b CREATE Two\r\n")
    assert peer.flush() == b"* OK [NOTIFICATIONOVERFLOW] Too many mailboxes: nothing more is told\r\n"
    other.send(b"c CREATE Three\r\nd APPEND One {5+}\r\nA: b\n\r\n")
    assert peer.flush() == b""
    assert not place.disk().watches
    assert peer.send(b"b " + wanted) == b"b NO [NOTIFICATIONOVERFLOW] At most 2 mailboxes are watched\r\n"


def test_a_watched_mailbox_that_is_renamed_and_made_anew_is_told():
    """The watches follow what is there."""
    place, peer = stocked()
    other = Peer(place.session())
    other.login()
    other.send(b"a CREATE A\r\nb CREATE A/B\r\n")
    peer.send(b"a NOTIFY SET (subtree (A C) (MailboxName MessageNew MessageExpunge))\r\n")
    other.send(b"c RENAME A C\r\n")
    assert peer.flush() == b'* LIST (\\HasChildren) "/" "C" ("OLDNAME" ("A"))\r\n'
    other.send(b"d CREATE A\r\n")
    assert peer.flush() == b'* LIST (\\HasNoChildren) "/" "A"\r\n'
    for name in (b"A", b"C", b"C/B"):
        other.send(b"e APPEND " + name + b" {5+}\r\nA: b\n\r\n")
        assert peer.flush().startswith(b'* STATUS "' + name + b'" (MESSAGES 1 UIDNEXT 2 ')
    peer.close()
    assert not place.disk().watches


def test_a_fault_of_the_disk_is_told_without_its_path(monkeypatch):
    def fail(self, index):
        raise OSError(5, "Input/output error", "/secret/path")

    _, peer = stocked()
    monkeypatch.setattr(TwinView, "content", fail)
    monkeypatch.setattr(TwinView, "wholes", lambda _self, run: [None] * len(run))
    said = peer.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    assert said == b"a NO [UNAVAILABLE] One message cannot be read\r\n"


def test_too_many_commands_that_are_not_understood_end_the_session():
    _, peer = stocked()
    said = peer.send(b"a XYZZY\r\n" * 60)
    assert said.count(b"a BAD") == 50
    assert said.endswith(b"* BYE Too many commands that are not understood\r\n")


def test_an_account_over_its_quota_gets_no_message_and_is_told_its_use():
    """RFC 9208 4.3.1: OVERQUOTA."""
    place, peer = stocked()
    place.disk().octets_limit = 2048
    assert b'* QUOTA "" (STORAGE 1 2)' in peer.send(b'a GETQUOTA ""\r\n')
    assert b'* QUOTAROOT "INBOX" ""\r\n* QUOTA "" (STORAGE 1 2)\r\n' in peer.send(b"a GETQUOTAROOT INBOX\r\n")
    peer.send(b"b APPEND INBOX {3000}\r\n")
    assert peer.send(b"z" * 3000 + b"\r\n") == b"b NO [OVERQUOTA] The account is over its quota\r\n"
    assert place.store("anna@local.test").status("INBOX").messages == 1


def test_a_mailbox_with_limits_of_its_own_is_a_quota_root_beside_the_account():
    """RFC 9208 3.1, 4.2: a mailbox may have several roots."""
    place, peer = stocked()
    place.disk().octets_limit = 2048
    place.disk().bounds["INBOX"] = 5
    assert peer.send(b"a GETQUOTAROOT INBOX\r\n") == (
        b'* QUOTAROOT "INBOX" "" "INBOX"\r\n* QUOTA "" (STORAGE 1 2)\r\n* QUOTA "INBOX" (MESSAGE 1 5)\r\n'
        b"a OK GETQUOTAROOT done\r\n"
    )
    assert b'* QUOTA "INBOX" (MESSAGE 1 5)\r\n' in peer.send(b"b GETQUOTA INBOX\r\n")
    assert b"c NO [NONEXISTENT]" in peer.send(b"c GETQUOTA Nowhere\r\n")
