"""POP3 sessions where a dialog cannot show it."""

import random
from types import SimpleNamespace

import pytest

from relay.auth import Trouble
from relay.pop3.answers import PIECE
from relay.pop3.retrieving import TOGETHER
from tests.pop3.stand import ACCOUNT, World

MESSAGES = (b"Subject: 1\r\n\r\none\r\n", b"Subject: 2\r\n\r\ntwo\r\n", b"Subject: 3\r\n\r\nthree\r\n")


@pytest.fixture
def world():
    world = World()
    world.fill(*MESSAGES)
    return world


def subjects(world):
    view = world.store().open("INBOX", read_only=True)
    found = []
    for index in range(len(view)):
        with view.content(index) as content:
            found.append(content.read(0, 10)[-1:].decode())
    return "".join(found)


def test_quit_removes_what_is_marked_and_nothing_else(world):
    """RFC 1939 6."""
    peer = world.connect().login()
    assert peer.say("DELE 2", "QUIT")[-1] == "+OK Goodbye"
    assert subjects(world) == "13"
    assert peer.session.report.removed == 1


def test_nothing_is_lost_when_the_connection_drops(world):
    """RFC 1939 3, 6: only QUIT enters the UPDATE state."""
    peer = world.connect().login()
    peer.say("DELE 1", "DELE 2")
    peer.drop()
    assert subjects(world) == "123"


@pytest.mark.parametrize("cause", ["idle_timeout", "drained"])
def test_a_session_that_we_end_removes_nothing(world, cause):
    peer = world.connect().login()
    peer.say("DELE 1")
    peer.session.farewell(cause)
    assert peer.session.take_output().startswith(b"-ERR [SYS/TEMP] ")
    assert peer.session.is_over
    peer.drop()
    assert subjects(world) == "123"


def test_the_view_never_changes_under_the_client(world):
    peer = world.connect().login()
    world.fill(b"Subject: 4\r\n\r\nfour\r\n")
    other = world.store().open("INBOX")
    other.expunge([other.uids[0]], deleted_only=False)
    assert peer.say("STAT")[0].startswith("+OK 3 ")
    assert peer.say("LIST")[1:4] == [f"{n + 1} {len(MESSAGES[n])}" for n in range(3)]
    assert peer.say("RETR 1")[0].startswith("-ERR [SYS/TEMP] ")
    assert peer.say("RETR 2")[0].startswith("+OK ")
    peer.say("DELE 1", "DELE 2", "QUIT")
    assert subjects(world) == "34", "numbers mean the messages that the client has seen"


def test_unique_ids_stay_the_same_from_session_to_session(world):
    """RFC 1939 7."""
    first = world.connect().login().say("UIDL")
    again = world.connect().login()
    again.say("DELE 1", "QUIT")
    third = world.connect().login().say("UIDL")
    assert [line.split()[1] for line in first[2:4]] == [line.split()[1] for line in third[1:3]]


def test_an_exclusive_maildrop_is_for_one_session_at_a_time(world, tmp_path):
    """RFC 1939 4, RFC 2449 8.1.2."""
    world.locks = tmp_path / "locks"
    first = world.connect().login()
    second = world.connect()
    assert second.say(f"USER {ACCOUNT}", "PASS secret")[-1].startswith("-ERR [IN-USE] ")
    first.drop()
    assert second.say(f"USER {ACCOUNT}", "PASS secret")[-1].startswith("+OK 3 ")


def test_a_shared_maildrop_takes_what_is_there_of_what_is_marked(world):
    one, two = world.connect().login(), world.connect().login()
    one.say("DELE 1", "DELE 2", "QUIT")
    assert two.say("DELE 2", "DELE 3", "QUIT")[-1] == "+OK Goodbye"
    assert subjects(world) == ""
    assert two.session.report.removed == 1


@pytest.mark.parametrize("trouble", [Trouble.THROTTLED, Trouble.BUSY])
def test_what_may_be_right_later_is_no_matter_of_the_password(world, trouble):
    """RFC 3206: SYS/TEMP, so that clients do not ask for another password."""
    world.logins.trouble = trouble
    assert world.connect().say(f"USER {ACCOUNT}", "PASS secret")[-1].startswith("-ERR [SYS/TEMP] ")


def test_a_large_message_is_sent_in_pieces(world):
    world.fill(b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 50_000)
    peer = world.connect().login()
    said = peer.send(b"RETR 4\r\n")
    assert len(said) > 800_000
    assert max(peer.pieces) <= 2 * PIECE


def test_while_an_answer_is_made_little_input_is_taken(world):
    peer = world.connect().login()
    peer.session.receive(b"RETR 1\r\n", 0)
    assert peer.session.may_read()
    peer.session.receive(b"NOOP\r\n" * 12_000, 0)
    assert not peer.session.may_read()


def test_what_comes_in_the_clear_behind_stls_is_thrown_away(world):
    """RFC 2595 4."""
    peer = world.connect(offers_tls=True, allows_plaintext=False)
    assert peer.send(b"STLS\r\nUSER anna@local.test\r\n") == b"+OK Begin TLS\r\n"
    assert peer.session.wants_tls

    peer.session.wants_tls = False
    peer.session.secured(SimpleNamespace(bindings={}))
    assert peer.say("PASS secret") == ["-ERR Say USER first"]
    assert "STLS" not in peer.say("CAPA")


def test_a_fault_in_the_middle_of_an_answer_does_not_look_like_its_end(world):
    world.fill(b"Subject: 4\r\n\r\n" + b"a line\r\n" * PIECE)
    peer = world.connect().login()
    peer.session.receive(b"RETR 4\r\n", 0)
    peer.session.job_done(peer.session.take_job().run(), None, 0)
    peer.session.take_job()
    peer.session.job_done(None, OSError("the disk"), 0)
    assert peer.session.is_over
    assert b".\r\n" not in peer.session.take_output()
    peer.drop()


def test_a_fault_before_an_answer_is_told(world):
    """RFC 3206 4."""
    peer = world.connect().login()
    peer.session.receive(b"RETR 1\r\n", 0)
    peer.session.take_job()
    peer.session.job_done(None, OSError("the disk"), 0)
    assert peer.session.take_output().startswith(b"-ERR [SYS/TEMP] ")
    assert peer.say("STAT")[-1].startswith("+OK 3 ")


def test_an_answer_that_fits_a_piece_is_made_in_one_job(world):
    """More jobs cost more than the message."""
    peer = world.connect().login()
    peer.session.receive(b"RETR 2\r\n", 0)
    peer.session.job_done(peer.session.take_job().run(), None, 0)
    assert peer.session.take_job() is None
    assert unstuffed(peer.session.take_output()) == MESSAGES[1]


def test_messages_that_are_asked_for_together_are_made_together_and_answered_in_order(world):
    """RFC 2449 6.6. What is no RETR of a message that is there has its turn behind them."""
    world.fill(b"Subject: 4\r\n\r\n" + b"..\r\n" * TOGETHER)
    peer = world.connect().login()
    lines = [
        b"RETR 2",
        b"retr 1",
        b"RETR 3",
        b"RETR 9",
        b"RETR 1",
        b"RETR 4",
        b"DELE 1",
        b"RETR 2",
        b"RETR 1",
        b"RETR 3",
    ]
    slow = world.connect().login()
    expected = b"".join(slow.send(line + b"\r\n") for line in lines)
    assert peer.send(b"".join(line + b"\r\n" for line in lines)) == expected
    assert peer.session.report.fetched == slow.session.report.fetched == 7
    assert peer.session.report.commands == slow.session.report.commands


def test_a_message_that_has_gone_does_not_keep_back_those_beside_it(world):
    peer = world.connect().login()
    world.connect().login().say("DELE 2", "QUIT")
    answer = peer.send(b"RETR 1\r\nRETR 2\r\nRETR 3\r\n")
    assert [line for line in answer.split(b"\r\n") if line[:3] in {b"+OK", b"-ER"}] == [
        b"+OK 19 octets",
        b"-ERR [SYS/TEMP] This message has been removed by another session",
        b"+OK 21 octets",
    ]


def unstuffed(answer: bytes) -> bytes:
    first, _, rest = answer.partition(b"\r\n")
    assert first.startswith(b"+OK")
    assert rest.endswith(b".\r\n")
    return b"".join(line[1:] if line.startswith(b".") else line for line in rest[:-3].splitlines(keepends=True))


def test_random_contents_come_out_as_they_are_and_top_is_their_beginning():
    """Against the obvious way to do it, with dots and line ends around the borders of pieces."""
    source = random.Random(1)
    for _ in range(60):
        lines = [source.choice([b"", b".", b"..", b".a", b"a.", b"x" * source.choice([1, 500, 30_000, PIECE - 2])])
                 for _ in range(source.randrange(1, 12))]  # fmt: skip
        header = [b"A: " + b"h" * source.choice([1, 1000, PIECE - 20]) for _ in range(source.randrange(3))]
        content = b"".join(line + b"\r\n" for line in [*header, b"", *lines])
        world = World()
        world.fill(content)
        peer = world.connect().login()
        assert unstuffed(peer.send(b"RETR 1\r\n")) == content
        wanted = source.randrange(0, len(lines) + 2)
        expected = b"".join(line + b"\r\n" for line in [*header, b"", *lines[:wanted]])
        assert unstuffed(peer.send(b"TOP 1 %d\r\n" % wanted)) == expected, (header, lines, wanted)


def test_an_account_whose_name_is_a_word_of_imap_is_no_client_of_imap() -> None:
    peer = World().connect()
    assert peer.send(b"USER login\r\n").startswith(b"+OK")
    assert not peer.session.report.mixup
