"""What strangers wrote is read in linear time: steps are counted, not seconds. Twice as much brings at most 2.3 times
the lines and calls."""

import sys

import pytest

from relay.imap import ordering, parameters, threads
from relay.imap.search_keys import Message
from relay.imap.sections import Section
from relay.imap.threads import Mention
from tests.imap.stand import Peer, World
from tests.imap.stored import stored

MORE = 2.3


def steps(run) -> int:
    """Lines of Python and calls of C while ``run`` runs."""
    count = 0

    def called(_frame, event, _argument):
        nonlocal count
        count += event == "c_call"

    def traced(_frame, _event, _argument):
        nonlocal count
        count += 1
        return traced

    before = sys.gettrace()
    sys.setprofile(called)
    sys.settrace(traced)
    try:
        run()
    finally:
        sys.settrace(before)
        sys.setprofile(None)
    return count


def is_linear(prepare, small: int) -> None:
    """``prepare`` makes what is run, of a size."""
    prepare(small)()  # what is made once for all
    once, twice = steps(prepare(small)), steps(prepare(2 * small))
    assert twice <= MORE * once + 50, (once, twice)


SUBJECTS = [b"[a]", b"re ", b"re[", b"[fwd:", b"(fwd)", b"Re: ", b"[", b"]", b"re [a]:", b"[a] re", b" ", b"Fwd: [x] "]


@pytest.mark.parametrize("piece", SUBJECTS)
def test_a_base_subject(piece):
    is_linear(lambda size: lambda: ordering.base_subject(piece * size), 1000)


def test_a_base_subject_in_brackets():
    is_linear(lambda size: lambda: ordering.base_subject(b"[fwd:" * size + b"x" + b"]" * size), 1000)


def name(number: int) -> bytes:
    return b"%d@x" % number


def long_chains(size):
    """Messages that refer to more and more of one chain."""
    return [Mention(at, references=tuple(name(each) for each in range(at * 50))) for at in range(size)]


def one_chain(size):
    return [Mention(at, own_id=name(at), references=(name(at - 1),)) for at in reversed(range(size))]


def round_in_circles(size):
    """A chain, and its last element as parent of its first, again and again."""
    chain = [Mention(at, own_id=name(at), references=(name(at - 1),)) for at in range(1, size)]
    return [*chain, *(Mention(size + at, references=(name(size - 1), name(0)) * 5) for at in range(size))]


def many_under_one(size):
    return [Mention(at, references=(b"root", b"%d" % at)) for at in range(size)]


def promoted(size):
    """Messages under places without a message, which give way one by one."""
    deep = [Mention(at, references=(*(name(each) for each in range(20)), b"last")) for at in range(size)]
    return [*deep, *(Mention(size + at, references=(name(at % 20), b"x%d" % at)) for at in range(size))]


def one_subject(size):
    return [Mention(at, float(at), ordering.Subject("X", bool(at % 3))) for at in range(size)]


def two_subjects(size):
    return [
        Mention(at, 0.0, ordering.Subject("XY"[at % 2], False), references=(b"%d" % (at // 2),)) for at in range(size)
    ]


def moved(size):
    """Each message is first put where others say, then where it says itself."""
    said = [Mention(at, references=(b"first", *(name(each) for each in range(at, at + 5)))) for at in range(size)]
    return [*said, *(Mention(size + at, own_id=name(at), references=(b"second",)) for at in range(size))]


MAILBOXES = [one_chain, round_in_circles, many_under_one, promoted, one_subject, two_subjects, moved]


@pytest.mark.parametrize("mailbox", MAILBOXES)
@pytest.mark.parametrize("algorithm", [threads.references, threads.ordered_subject])
def test_threads(mailbox, algorithm):
    def prepare(size):
        found = mailbox(size)
        return lambda: threads.written(algorithm(found), int.__index__)

    is_linear(prepare, 600)


def test_threads_of_long_references():
    """Twice as many messages name four times as many ids: so do the steps grow."""
    small, large = long_chains(20), long_chains(40)
    made = [steps(lambda: threads.references(small)), steps(lambda: threads.references(large))]
    assert made[1] <= 2 * MORE * made[0]


def test_references_are_bounded():
    text = b"Message-ID: <a@b>\r\nReferences: %b\r\n\r\n" % b"".join(b"<%d@x>\r\n " % each for each in range(50_000))
    mentions = threads.Mentions(stored(text))
    mentions.add(0)
    (found,) = mentions.found
    assert len(found.references) == threads.MAX_REFERENCES
    assert found.references[-1] == b"49999@x"


def test_references_of_all_messages_are_bounded(monkeypatch):
    monkeypatch.setattr(threads, "MAX_KEPT", 100)
    mentions = threads.Mentions(stored(b"References: %b\r\n\r\n" % b"".join(b"<%d@x>" % each for each in range(60))))
    for _ in range(4):
        mentions.add(0)
    assert [len(each.references) for each in mentions.found] == [60, 60, threads.FEW, threads.FEW]


def test_of_a_long_id_a_digest_is_kept():
    mentions = threads.Mentions(stored(b"References: <%b> <%b>\r\n\r\n" % (b"x" * 10_000, b"x" * 9_999 + b"y")))
    mentions.add(0)
    first, second = mentions.found[0].references
    assert first != second
    assert len(first) == len(second) == threads.LONGEST_ID


def test_a_sort_key_is_bounded():
    assert len(ordering.base_subject(b"x" * 60_000).base) == ordering.LONGEST_KEY


@pytest.mark.parametrize(
    "text", [b"Subject: a\r\n b", b"Subject: a", b"X", b"Subject: x\r\n :y\r\n", b"From: (a) b@(c) d\r\n"]
)
@pytest.mark.parametrize("key", [b"subject", b"from", b"x-other"])
def test_fields_of_a_search(text, key):
    def prepare(size):
        state = stored(text + b"\r\n c" * size + b"\r\n" + text * size + b"\r\n\r\n")
        return lambda: Message(state.view, 0, state).fields(key)

    is_linear(prepare, 500)


def test_a_subject_of_a_million_folds_ends():
    state = stored(b"Subject: a\r\n" + b" b\r\n" * 1_000_000 + b"\r\n")
    assert len(Message(state.view, 0, state).fields(b"subject")) == 1


def test_many_names_of_fields_are_looked_for_together():
    """A header is gone through for the first name, and for all others together."""

    def prepare(count):
        state = stored(b"".join(b"X-%d: a\r\n" % each for each in range(2000)) + b"\r\n")
        message = Message(state.view, 0, state)
        return lambda: [message.fields(b"x-%d" % each) for each in range(count)]

    assert steps(prepare(100)) < 4 * steps(prepare(2))


def test_a_header_without_a_colon_is_looked_at_once():
    """It would not end, otherwise."""
    section = Section(text=b"HEADER.FIELDS", fields=(b"to",))
    assert section.pick(b"x" * 3_000_000 + b"\r\nTo: a\r\n\r\n") == b"To: a\r\n\r\n"
    assert section.pick(b"x y" * 1_000_000 + b"\r\nTo: a\r\n b") == b"To: a\r\n b\r\n\r\n"


@pytest.mark.parametrize("piece", [b"a*%d", b"a*%d*", b"a*0", b"b%d*0", b"b%d", b"a*1%d"])
def test_parameters(piece):
    def prepare(size):
        given = [(piece % each if b"%" in piece else piece, b"v") for each in range(size)]
        return lambda: parameters.joined(given)

    is_linear(prepare, 1000)


def filled(text: bytes) -> Peer:
    world = World(10_000_000)
    appending = world.store("anna@local.test").begin_append("INBOX")
    appending.add()
    appending.write(text)
    appending.commit()
    peer = Peer(world.session())
    peer.login()
    peer.send(b"a SELECT INBOX\r\n")
    return peer


@pytest.mark.parametrize(
    "command",
    [
        b"a SEARCH BODY x", b"a SEARCH TEXT x", b"a SEARCH OR BODY x OR BODY y BODY z", b"a FETCH 1 BODYSTRUCTURE",
        b"a FETCH 1 (BODY.PEEK[1] BODY.PEEK[2] BODY.PEEK[3.MIME])", b"a FETCH 1 PREVIEW", b"a FETCH 1 BINARY.PEEK[2]",
    ],
)  # fmt: skip
def test_a_message_of_many_parts(command):
    def prepare(size):
        parts = b"".join(b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" for _ in range(size))
        peer = filled(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n")
        return lambda: peer.send(command + b"\r\n")

    is_linear(prepare, 300)


@pytest.mark.parametrize(
    "key",
    [b"SUBJECT x", b"1:*", b"1,1,1", b"$", b"NOT KEYWORD y", b"BODY x", b"TEXT x", b"UID 1:*", b"SENTON 1-Jan-2026"],
)
def test_keys_of_a_search(key):
    """A key costs the same however many there are."""

    def prepare(size):
        peer = filled(b"Subject: x\r\n\r\nx\r\n")
        return lambda: peer.send(b"a SEARCH OR SEEN (" + b" ".join([key] * size) + b")\r\n")

    is_linear(prepare, 200)


def test_a_message_is_read_once_for_all_keys():
    peer = filled(b"Subject: x\r\n" + b" fold\r\n" * 2000 + b"\r\nx\r\n")
    one = steps(lambda: peer.send(b"a SEARCH SUBJECT y\r\n"))
    many = steps(lambda: peer.send(b"a SEARCH NOT SUBJECT a NOT SUBJECT b NOT SUBJECT c NOT SUBJECT d\r\n"))
    assert many < 2 * one + 200
