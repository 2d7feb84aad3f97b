"""A message whose content raises a fault of ours makes its own row poor, whatever the command; it is told of once."""

import pytest

from relay.imap import Poison, decoding, fetch, ordering, search_keys, structure, threads
from relay.mail import dates
from tests.imap.stand import Peer, World

COUNT = 3


def message(number: int) -> bytes:
    subject = b"poison" if number == 2 else b"good"
    return (
        b"From: anna@local.test\r\nSubject: %b\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <%d@x>\r\n\r\ntext %d\r\n" % (subject, number, number)
    )


class Told(list):
    """The events."""

    def __call__(self, fields):
        self.append(fields)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def peer(told, monkeypatch):
    """The second message is poison to whatever looks at its structure, or decodes its header."""
    world = World()
    appending = world.store("anna@local.test").begin_append("INBOX")
    for number in range(1, COUNT + 1):
        appending.add()
        appending.write(message(number))
    appending.commit()
    session = world.session()
    session._state.poisoned = Poison(told)
    peer = Peer(session)
    peer.login()
    peer.send(b"a SELECT INBOX\r\n")
    for module, name in [
        (structure, "envelope"), (structure, "body"), (fetch, "thread_id"), (decoding, "preview"), (decoding, "body"),
        (decoding, "text_of"), (decoding, "header"), (dates, "parse"),
        (threads, "sent_at"), (ordering, "addresses"), (search_keys, "values_of"), (fetch, "part_number"),
    ]:  # fmt: skip
        poison(monkeypatch, module, name)
    return peer


def poison(monkeypatch, module, name):
    """Lets a function raise for the second message."""
    real = getattr(module, name)

    def raising(*arguments, **words):
        if is_second(arguments):
            raise ZeroDivisionError("poison")
        return real(*arguments, **words)

    monkeypatch.setattr(module, name, raising)


def is_second(arguments) -> bool:
    if isinstance(arguments[0], dict):
        return bool(arguments[0].get("subject") == b"poison")
    if isinstance(arguments[0], bytes):
        return b"poison" in arguments[0] or b"text 2" in arguments[0]
    if isinstance(arguments[0], str):
        return False
    if isinstance(arguments[0], (list, tuple)):
        return bool(arguments[0][0].fields.get("subject") == b"poison")
    return bool(arguments[1] == 1)  # (state or view, index)


FETCHED = {
    b"ENVELOPE": b"ENVELOPE " + structure.NO_ENVELOPE,
    b"BODY": b"BODY " + structure.NO_BODY,
    b"BODYSTRUCTURE": b"BODYSTRUCTURE " + structure.NO_BODY,
    b"PREVIEW": b"PREVIEW NIL",
    b"THREADID": b"THREADID NIL",
    b"BINARY.PEEK[1]": b"BINARY[1] NIL",
    b"BINARY.SIZE[1]": b"BINARY.SIZE[1] 0",
}


@pytest.mark.parametrize("item", FETCHED)
def test_a_fetch_goes_on(peer, told, item):
    for _ in range(2):
        said = peer.send(b"a FETCH 1:* (UID " + item + b" FLAGS)\r\n")
        assert b"* 2 FETCH (UID 2 " + FETCHED[item] + b" FLAGS (\\Recent))\r\n" in said
        assert said.count(b" FETCH (") == COUNT
        assert said.count(FETCHED[item]) == 1
        assert b"a OK FETCH done" in said
    assert told == [
        {"account": "anna@local.test", "mailbox": "INBOX", "uid": 2, "fault": "ZeroDivisionError", "at": told[0]["at"]}
    ]
    assert "test_poison.py" in told[0]["at"]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"SUBJECT good", b"1 3"), (b"NOT SUBJECT none", b"1 2 3"), (b"BODY text", b"1 3"), (b"TEXT text", b"1 3"),
        (b"OR UID 2 SUBJECT good", b"1 2 3"), (b"SENTON 2-Nov-2026", b"1 2 3"), (b"FROM anna", b"1 3"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [b"SEARCH ", b"SEARCH RETURN (ALL) ", b"UID SEARCH "])
def test_a_search_goes_on(peer, key, found, command):
    said = peer.send(b"a " + command + key + b"\r\n")
    shown = found.replace(b"1 2 3", b"1:3").replace(b" ", b",") if b"RETURN" in command else found
    assert said.startswith((b"* SEARCH " + shown, b'* ESEARCH (TAG "a") ALL ' + shown)), said
    assert b"SEARCH done" in said


@pytest.mark.parametrize("key", [b"SUBJECT", b"DATE", b"REVERSE SUBJECT", b"FROM", b"DISPLAYTO", b"SIZE"])
def test_a_sort_goes_on(peer, key):
    said = peer.send(b"a SORT (" + key + b") UTF-8 ALL\r\n")
    assert sorted(said.split(b"\r\n")[0].split()[2:]) == [b"1", b"2", b"3"]
    assert b"a OK SORT done" in said


@pytest.mark.parametrize("algorithm", [b"REFERENCES", b"ORDEREDSUBJECT"])
def test_threads_go_on(peer, told, algorithm):
    said = peer.send(b"a THREAD " + algorithm + b" UTF-8 ALL\r\n")
    assert b"(2)" in said
    assert b"a OK THREAD done" in said
    assert len(told) == 1


def test_an_encoding_that_is_not_known_stops_no_other_message():
    """RFC 3516 4.3: the command fails, but the other messages are answered; and none is answered by halves."""
    world = World(1_000_000)
    appending = world.store("anna@local.test").begin_append("INBOX")
    for encoding in (b"7bit", b"x-odd", b"7bit"):
        appending.add()
        appending.write(b"Content-Transfer-Encoding: %b\r\n\r\n%b\r\n" % (encoding, b"x" * 100_000))
    appending.commit()
    peer = Peer(world.session())
    peer.login()
    peer.send(b"a SELECT INBOX\r\n")
    said = peer.send(b"a FETCH 1:* (UID BINARY.SIZE[1])\r\n")
    assert said.split(b"\r\n")[:2] == [
        b"* 1 FETCH (UID 1 BINARY.SIZE[1] 100002)",
        b"* 3 FETCH (UID 3 BINARY.SIZE[1] 100002)",
    ]
    assert b"a NO [UNKNOWN-CTE]" in said
    said = peer.send(b"a FETCH 2 (BODY.PEEK[] BINARY.SIZE[1] UID)\r\n")
    assert b"x\r\n BINARY.SIZE[1] 0 UID 2)\r\na NO [UNKNOWN-CTE]" in said


def test_what_is_known_is_bounded(monkeypatch):
    monkeypatch.setattr("relay.imap.poison.MAX_KNOWN", 2)
    told = Told()
    poison = Poison(told)
    for uid in (1, 1, 2, 2, 3, 1):
        poison("a", "INBOX", uid, ValueError("private"))
    assert [fields["uid"] for fields in told] == [1, 2, 3, 1]
    assert "private" not in str(told)


@pytest.mark.parametrize(
    ("given", "told_as"),
    [
        (b"31-Dec-9999 23:59:59 -2359", b"31-Dec-9999 23:59:59 +0000"),
        (b" 1-Jan-0001 00:00:00 +2359", b" 1-Jan-0001 00:00:00 +0000"),
        (b"31-Dec-1969 12:00:00 +0100", b"31-Dec-1969 11:00:00 +0000"),
    ],
)
def test_a_date_beyond_all_years_ends_nothing(given, told_as):
    """It came in with a time zone."""
    peer = Peer(World().session())
    peer.login()
    assert b"a OK" in peer.send(b'a APPEND INBOX "' + given + b'" {5+}\r\na: b\n\r\n')
    peer.send(b"a SELECT INBOX\r\n")
    assert b'INTERNALDATE "' + told_as + b'")' in peer.send(b"a FETCH 1 INTERNALDATE\r\n")
    for command in (b"SEARCH BEFORE 1-Jan-2020", b"SEARCH SINCE 1-Jan-2020", b"SORT (ARRIVAL DATE) UTF-8 ALL"):
        assert b"a OK" in peer.send(b"a " + command + b"\r\n")
