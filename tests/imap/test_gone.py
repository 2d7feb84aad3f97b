"""A message that another session has just removed is left out of what SEARCH, SORT and THREAD say; only who asks for
the message itself is told EXPUNGEISSUED (RFC 5530 3)."""

import pytest

from tests.imap.stand import Peer, World

LEFT_OUT = [
    (b"SEARCH SUBJECT number", b"* SEARCH 1 3"),
    (b"SEARCH BODY text", b"* SEARCH 1 3"),
    (b"SEARCH NOT BODY none", b"* SEARCH 1 3"),
    (b"SEARCH RETURN (COUNT) TEXT number", b'* ESEARCH (TAG "a") COUNT 2'),
    (b"SEARCH SENTSINCE 1-Jan-2026", b"* SEARCH 1 3"),
    (b"SORT (SUBJECT) UTF-8 ALL", b"* SORT 1 3"),
    (b"SORT (REVERSE DATE) UTF-8 ALL", b"* SORT 3 1"),
    (b"SORT (FROM DISPLAYTO) UTF-8 UID 1:*", b"* SORT 1 3"),
    (b"SORT RETURN (ALL) (CC) UTF-8 ALL", b'* ESEARCH (TAG "a") ALL 1,3'),
    (b"THREAD REFERENCES UTF-8 ALL", b"* THREAD (1)(3)"),
    (b"THREAD ORDEREDSUBJECT UTF-8 ALL", b"* THREAD (1)(3)"),
    (b"UID THREAD REFERENCES UTF-8 UID 1:*", b"* THREAD (1)(3)"),
]


@pytest.fixture
def peer():
    """Message 2 of 3 has gone since the client was told."""
    world = World()
    appending = world.store("anna@local.test").begin_append("INBOX")
    for number in range(1, 4):
        appending.add()
        appending.write(
            b"From: a%d@x.test\r\nSubject: number %d\r\nDate: Mon, %02d Nov 2026 10:00:00 +0000\r\n\r\ntext\r\n"
            % (number, number, number)
        )
    appending.commit()
    peer, other = Peer(world.session()), Peer(world.session())
    for each in (peer, other):
        each.login()
        each.send(b"a SELECT INBOX\r\n")
    other.send(b"a STORE 2 +FLAGS (\\Deleted)\r\na EXPUNGE\r\n")
    return peer


@pytest.mark.parametrize(("command", "said"), LEFT_OUT, ids=lambda each: each.decode())
def test_it_is_left_out(peer, command, said):
    for _ in range(2):
        lines = peer.send(b"a " + command + b"\r\n").split(b"\r\n")
        assert lines[0] == said
        assert any(line.startswith(b"a OK") for line in lines)


@pytest.mark.parametrize(
    "item", [b"BODY.PEEK[]", b"ENVELOPE", b"BODYSTRUCTURE", b"BODY.PEEK[1]", b"PREVIEW", b"THREADID"]
)
def test_a_fetch_says_so(peer, item):
    said = peer.send(b"a FETCH 1:3 (UID " + item + b")\r\n")
    assert b"* 1 FETCH (UID 1 " in said
    assert b"* 3 FETCH (UID 3 " in said
    assert b"* 2 FETCH" not in said
    assert b"a NO [EXPUNGEISSUED]" in said
