"""Questions in flight: what goes ahead of an answer, in which order answers take effect, deadlines and cancelling."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.auth import Login
from relay.mail.reply import Reply
from relay.policy.content import Content
from relay.policy.verdict import Answer, View, reject
from tests.smtp.serving import serving
from tests.smtp.stand import MESSAGE, Peer, Stand, without_ids

NO = Reply(550, "5.7.9", "Because")
FAILED = "451 4.3.0 A check could not be made, try again later"
TIMEOUT = 300


class Waiting:
    """An awaitable about one thing, which the test answers."""

    def __init__(self, thing: bytes) -> None:
        self.thing = thing
        self.is_closed = False

    def __await__(self) -> Generator[Any, None, None]:
        yield

    def close(self) -> None:
        self.is_closed = True


class Asking:
    """A policy that has to wait at some stages; what begins with ``no`` is refused."""

    def __init__(self, *stages: str, at_once: str = "") -> None:
        self.stages = stages
        self.at_once = at_once
        self.asked: list[Waiting] = []

    def _answer(self, stage: str, thing: bytes) -> Answer:
        if stage not in self.stages or (self.at_once and self.at_once.encode() in thing):
            return verdict(thing)
        self.asked.append(Waiting(thing))
        return self.asked[-1]

    def connect(self, session: View) -> Answer:
        return self._answer("connect", b"")

    def helo(self, session: View, name: bytes) -> Answer:
        return self._answer("helo", name)

    def mail(self, session: View, reverse_path: bytes) -> Answer:
        return self._answer("mail", reverse_path)

    def rcpt(self, session: View, recipient: bytes) -> Answer:
        return self._answer("rcpt", recipient)

    def content(self, session: View, content: Content) -> Answer:
        return self._answer("content", content.header[9:])


def verdict(thing: bytes) -> Answer:
    return reject(NO) if thing.startswith(b"no") else None


def answer(peer: Peer, number: int, value: Any = None) -> list[str]:
    """Answers one of the open questions; the lines that are said then."""
    question = peer.session.open_questions[number]
    question.answered(value or verdict(question.awaitable.thing))
    while peer.stand.spool.has_work:
        peer.stand.spool.sync()
    return list(peer.take().decode().splitlines())


def asking(*stages: str, **more: Any) -> tuple[Stand, Peer]:
    at_once = more.pop("at_once", "")
    stand = Stand(policy=Asking(*stages, at_once=at_once), **more)
    return stand, stand.connect()


def test_recipients_are_asked_about_at_once_and_answered_in_their_order() -> None:
    stand, peer = asking("rcpt")
    peer.hello()
    said = peer.say(
        "MAIL FROM:<a@b.example>", *(f"RCPT TO:<{each}@x.example>" for each in ("one", "no", "two")), "DATA"
    )
    assert said == ["250 2.1.0 Sender ok"]
    assert [each.thing for each in stand.policy.asked] == [b"one@x.example", b"no@x.example", b"two@x.example"]
    assert answer(peer, 2) == []
    assert answer(peer, 1) == []
    assert answer(peer, 0) == [
        "250 2.1.5 Recipient ok", "550 5.7.9 Because", "250 2.1.5 Recipient ok", "354 End data with <CR><LF>.<CR><LF>",
    ]  # fmt: skip
    peer.send(MESSAGE + b".\r\n")
    assert stand.spool.records[0].envelope.recipients == (b"one@x.example", b"two@x.example")


def test_what_is_known_at_once_keeps_its_place_behind_what_is_not() -> None:
    _, peer = asking("rcpt", at_once="fast")
    peer.hello()
    lines = ("RCPT TO:<slow@x.example>", "RCPT TO:<fast@x.example>", "RCPT TO:<no-fast@x.example>", "RCPT TO:<broken")
    assert peer.say("MAIL FROM:<a@b.example>", *lines) == ["250 2.1.0 Sender ok"]
    assert [line[:3] for line in answer(peer, 0)] == ["250", "250", "550", "501"]
    assert peer.session.recipients == (b"slow@x.example", b"fast@x.example")


@pytest.mark.parametrize(
    "command", ["RSET", "NOOP", "MAIL FROM:<x@y.example>", "EHLO x.example", "QUIT", "XYZZY", "DATA", "BDAT 0 LAST"]
)
def test_what_is_no_recipient_waits_behind_one(command: str) -> None:
    _, peer = asking("rcpt", early_talk="everybody")
    peer.hello()
    assert peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<one@x.example>", command) == ["250 2.1.0 Sender ok"]
    said = answer(peer, 0)
    assert said[0] == "250 2.1.5 Recipient ok"
    assert len(said) > 1


def test_no_more_recipients_are_asked_about_than_may_be_accepted() -> None:
    """Whether a further one is too many depends on the answers."""
    stand, peer = asking("rcpt", max_recipients=2)
    peer.hello()
    peer.say("MAIL FROM:<a@b.example>", *(f"RCPT TO:<{each}@x.example>" for each in ("one", "no", "two", "three")))
    assert len(stand.policy.asked) == 2
    assert [line[:3] for line in answer(peer, 0) + answer(peer, 0)] == ["250", "550"]
    assert len(stand.policy.asked) == 3
    assert [line[:3] for line in answer(peer, 0)] == ["250", "452"]


def test_open_questions_and_what_is_held_behind_them_have_bounds() -> None:
    """I5."""
    stand, peer = asking("rcpt", early_talk="everybody")
    peer.hello().say("MAIL FROM:<a@b.example>")
    for number in range(500):
        if peer.session.wants_input:
            peer.say(f"RCPT TO:<r{number}@x.example>")
    assert len(stand.policy.asked) == 100
    assert stand.context.buffered < 10_000
    assert not peer.session.wants_input
    peer.session.lost()
    assert stand.context.buffered == 0
    assert all(each.is_closed for each in stand.policy.asked)


def test_errors_end_the_session_in_the_order_of_the_commands() -> None:
    _, peer = asking("rcpt", max_errors=2)
    peer.hello()
    peer.say("MAIL FROM:<a@b.example>", *(f"RCPT TO:<no{each}@x.example>" for each in range(3)))
    assert answer(peer, 2) == []
    assert answer(peer, 1) == []
    assert [line[:9] for line in answer(peer, 0)] == ["550 5.7.9", "550 5.7.9", "421 4.7.0"]
    assert peer.session.is_over


def test_a_421_cancels_what_is_asked_behind_it() -> None:
    stand, peer = asking("rcpt")
    peer.hello()
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<one@x.example>", "RCPT TO:<two@x.example>")
    late = peer.session.open_questions[1]
    assert answer(peer, 0, reject(Reply(421, "4.7.0", "Go away"))) == ["421 4.7.0 Go away"]
    assert stand.policy.asked[1].is_closed
    late.answered(None)
    assert peer.take() == b""


# ---- contents -------------------------------------------------------------------------------------------------------


def content(name: str) -> str:
    return f"Subject: {name}\r\n\r\n."


def transaction(name: str) -> tuple[str, ...]:
    return "MAIL FROM:<a@b.example>", "RCPT TO:<anna@x.example>", "DATA", content(name)


def test_the_next_transaction_goes_on_while_a_content_is_asked_about() -> None:
    stand, peer = asking("content", early_talk="everybody")
    peer.hello()
    assert peer.say(*transaction("no"), *transaction("two"), *transaction("three"), "QUIT")[-1].startswith("354")
    assert len(stand.policy.asked) == 3, "QUIT waits, the contents do not"
    assert answer(peer, 1) == []
    assert answer(peer, 1) == []
    said = [line[:3] for line in answer(peer, 0)]
    assert said == ["550", "250", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert [line["result"] for line in stand.log.lines] == ["accepted", "accepted", "refused"]
    assert [line["transaction"] for line in stand.log.lines] == [2, 3, 1]
    assert peer.session.is_over


def test_a_421_about_a_content_ends_the_transaction_that_has_begun_behind_it() -> None:
    stand, peer = asking("content", early_talk="everybody")
    peer.hello().say(*transaction("one"), "MAIL FROM:<c@d.example>")
    assert answer(peer, 0, reject(Reply(421, "4.7.0", "Go away"))) == ["421 4.7.0 Go away", "250 2.1.0 Sender ok"]
    assert [line["result"] for line in stand.log.lines] == ["deferred", "aborted"]
    peer.session.lost()
    assert stand.context.buffered == 0


def test_a_session_that_ends_answers_what_was_asked_about_contents() -> None:
    """The sender may not take it for accepted, and is owed a reply before the last one."""
    stand, peer = asking("content")
    peer.hello()
    for line in transaction("one"):
        peer.say(line)
    peer.session.fail(RuntimeError("a fault of ours"))
    assert [line[:9] for line in peer.take().decode().splitlines()] == ["451 4.3.0", "421 4.3.0"]
    assert stand.policy.asked[0].is_closed
    assert stand.log.lines[-1]["result"] == "aborted"
    peer.session.lost()
    assert stand.context.buffered == 0
    assert stand.spool.records == []


# ---- deadlines ------------------------------------------------------------------------------------------------------


def in_question(stage: str) -> tuple[Stand, Peer]:
    stand, peer = asking(stage)
    for line in ("EHLO client.example", *transaction("one")):
        if peer.session.question is None:
            peer.say(line)
    assert peer.session.question is not None
    return stand, peer


@pytest.mark.parametrize("stage", ["connect", "helo", "mail", "rcpt", "content"])
def test_a_question_without_an_answer_fails_at_its_deadline(stage: str) -> None:
    """I10; and a late answer changes nothing."""
    stand, peer = in_question(stage)
    question = peer.session.open_questions[0]
    stand.pass_time(TIMEOUT - 10)
    assert peer.take() == b""
    stand.pass_time(15)
    assert peer.take().decode().splitlines() == [FAILED]
    assert stand.policy.asked[0].is_closed
    assert stand.log.events[-1][1:] == (
        "policy failed", {"cause": "TimeoutError: no answer in time", "session_id": peer.session.session_id},
    )  # fmt: skip
    question.answered(None)
    assert peer.take() == b""
    assert peer.session.is_over == (stage == "connect")
    if stage != "connect":
        assert peer.say("NOOP") == ["250 2.0.0 Ok"]
    assert stand.spool.records == []


def test_recipients_behind_one_without_an_answer_keep_theirs() -> None:
    stand, peer = asking("rcpt")
    peer.hello().say("MAIL FROM:<a@b.example>", "RCPT TO:<one@x.example>")
    stand.pass_time(TIMEOUT - 30)
    peer.say("RCPT TO:<two@x.example>")
    stand.pass_time(40)
    assert peer.take().decode().splitlines() == [FAILED]
    assert answer(peer, 0) == ["250 2.1.5 Recipient ok"]


def test_a_check_of_a_password_without_an_answer_is_given_up() -> None:
    stand = Stand(kind="submission", plaintext_login=True)
    stand.logins.waits = Waiting(b"")
    peer = stand.connect().hello()
    peer.say("AUTH PLAIN AGFubmFAbG9jYWwudGVzdABzZWNyZXQ=")
    question = peer.session.open_questions[0]
    stand.pass_time(TIMEOUT + 5)
    assert peer.take().startswith(b"454 4.7.0 ")
    question.answered(Login("anna@local.test"))
    assert peer.session.account == ""
    peer.session.lost()
    assert stand.logins.came_to == [], "the client has not left the exchange"


# ---- any order ------------------------------------------------------------------------------------------------------

COMMANDS = st.lists(
    st.sampled_from([
        "RCPT TO:<one@x.example>", "RCPT TO:<two-fast@x.example>", "RCPT TO:<no@x.example>",
        "RCPT TO:<no-fast@x.example>",
        "RCPT TO:<broken", "RSET", "NOOP", "MAIL FROM:<a@b.example>", "MAIL FROM:<no@b.example>", "EHLO x.example",
        f"DATA\r\n{content('one')}", f"DATA\r\n{content('no')}", "BDAT 20 LAST\r\nSubject: no-fast\r\n\r\n", "QUIT",
    ]),
    max_size=20,
)  # fmt: skip


@given(lines=COMMANDS, cuts=st.lists(st.integers(0, 900), max_size=8), order=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_replies_do_not_depend_on_when_answers_come_and_how_input_is_cut(
    lines: list[str], cuts: list[int], order: Any
) -> None:
    octets = "".join(f"{line}\r\n" for line in ["EHLO client.example", "MAIL FROM:<a@b.example>", *lines]).encode()
    limits: dict[str, Any] = {"early_talk": "everybody", "max_recipients": 3, "max_errors": 100}
    expected = Stand(policy=Asking(), **limits)
    other = expected.connect()
    replies = other.greeting + other.send(octets)

    stand, peer = asking("helo", "mail", "rcpt", "content", at_once="fast", **limits)
    out = peer.greeting
    places = sorted({0, len(octets), *(place % (len(octets) + 1) for place in cuts)})
    for start, stop in itertools.pairwise(places):
        out += peer.send(octets[start:stop])
        for question in order.sample(peer.session.open_questions, order.randint(0, len(peer.session.open_questions))):
            question.answered(verdict(question.awaitable.thing))
    out += peer.send(b"")  # what the spool has of a content lets the next command go on, which may be asked about
    while peer.session.open_questions:
        question = order.choice(peer.session.open_questions)
        question.answered(verdict(question.awaitable.thing))
        out += peer.send(b"")
    assert without_ids(out) == without_ids(replies)
    assert sorted(record.envelope.recipients for record in stand.spool.records) == sorted(
        record.envelope.recipients for record in expected.spool.records
    )
    assert peer.session.state_name == other.session.state_name


# ---- on a socket ----------------------------------------------------------------------------------------------------


class Slow(Asking):
    """Coroutines that never end, and know that they were cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    def rcpt(self, session: View, recipient: bytes) -> Answer:
        return self.wait()

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def hang_up(stand: Stand) -> None:
    with serving(stand.service, socket.create_server(("127.0.0.1", 0))) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"EHLO client.example\r\n")
        await writer.drain()
        while not stand.count("relay_smtp_commands_total", "EHLO"):
            await asyncio.sleep(0)
        writer.write(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<one@x.example>\r\n")
        await asyncio.wait_for(stand.policy.begun.wait(), 10)
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        writer.transport.abort()
        await asyncio.wait_for(stand.policy.cancelled.wait(), 10)
    assert stand.context.open_sessions == 0
    assert stand.log.events == []


def test_what_was_asked_is_cancelled_when_the_peer_goes() -> None:
    asyncio.run(hang_up(Stand(policy=Slow())))
