"""What the session does with the answers of a policy: values at once, awaitables when they come."""

from collections.abc import Generator
from typing import Any

import pytest

from relay.mail.reply import Reply
from relay.policy.assembly import checks_of
from relay.policy.content import Content
from relay.policy.edits import Add
from relay.policy.verdict import ANNOTATE, Answer, Verdict, View, defer, reject
from tests.smtp.stand import ACCOUNTS, MESSAGE, Peer, Stand, configured
from tests.support.directories import directory_of

STAGES = ("connect", "helo", "mail", "rcpt", "content")
NO = Reply(550, "5.7.9", "Because")
LATER = Reply(451, "4.7.1", "Come again")
LEAVE = Reply(421, "4.7.0", "Go away")


class Scripted:
    """A policy that has one answer for one stage and goes along with everything else."""

    def __init__(self, stage: str = "", answer: Any = None) -> None:
        self.stage = stage
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    def _say(self, stage: str, thing: object) -> Answer:
        self.asked.append((stage, thing))
        if stage != self.stage:
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: Answer = self.answer
        return answer

    def connect(self, session: View) -> Answer:
        return self._say("connect", session.client_address)

    def helo(self, session: View, name: bytes) -> Answer:
        return self._say("helo", name)

    def mail(self, session: View, reverse_path: bytes) -> Answer:
        return self._say("mail", reverse_path)

    def rcpt(self, session: View, recipient: bytes) -> Answer:
        return self._say("rcpt", (session.reverse_path, recipient))

    def content(self, session: View, content: Content) -> Answer:
        return self._say("content", content.header)


class Mailboxes:
    """Knows who has how much room."""

    def __init__(self, **left: int) -> None:
        self.left = left
        self.asked: list[tuple[tuple[bytes, ...], int]] = []

    def judge(self, accounts: Any, octets: int) -> Answer:
        self.asked.append((tuple(accounts), octets))
        if any(octets <= self.left.get(each.partition(b"@")[0].decode(), 1 << 40) for each in accounts):
            return None
        return reject(Reply(552, "5.2.2", "The mailbox is full"), "mailbox_full")


def asking(mailboxes: Mailboxes, **settings: Any) -> Stand:
    config = configured(**settings)
    checks = checks_of(config.listeners[0], config, directory_of(config, *ACCOUNTS), mailboxes)
    return Stand(checks=checks, **settings)


def test_a_full_mailbox_is_told_at_rcpt_when_the_size_is_announced() -> None:
    mailboxes = Mailboxes(anna=500)
    stand = asking(mailboxes)
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<a@b.example> SIZE=1000")
    assert peer.say("RCPT TO:<Anna+x@local.test>") == ["552 5.2.2 The mailbox is full"]
    assert peer.say("RCPT TO:<bert@local.test>") == ["250 2.1.5 Recipient ok"]
    assert mailboxes.asked == [((b"anna@local.test",), 1000), ((b"bert@local.test",), 1000)]
    assert stand.count("relay_smtp_refusals_total", "mailbox_full") == 1


@pytest.mark.parametrize("large_content", [1 << 20, 64 << 10])
def test_a_full_mailbox_is_told_at_the_end_of_the_content_when_nobody_has_room(large_content: int) -> None:
    for recipients, code in ((("anna",), "552"), (("anna", "bert"), "250")):
        mailboxes = Mailboxes(anna=500)
        stand = asking(mailboxes, large_content=large_content)
        peer = stand.connect()
        content = b"Subject: x\r\n\r\n" + b"line\r\n" * 20_000
        said = peer.transmit(content, *(f"{each}@local.test" for each in recipients))
        assert said.startswith(code)
        accounts = tuple(f"{each}@local.test".encode() for each in recipients)
        assert mailboxes.asked[-1] == (accounts, len(content))
        assert len(stand.spool.records) == (code == "250")


def test_mail_that_goes_on_as_well_is_not_refused_for_a_full_mailbox() -> None:
    stand = asking(Mailboxes(anna=0))
    assert stand.connect().transmit(MESSAGE, "anna@local.test", "x@relay.test").startswith("250 ")


LINES = ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "DATA", "Subject: x", "", ".")


def talk(stand: Stand) -> tuple[Peer, list[str]]:
    """The last line of each reply of a whole transaction, the greeting first."""
    peer = stand.connect()
    said = peer.greeting.decode().splitlines()
    for line in ("\r\n".join(LINES[:1]), LINES[1], LINES[2], LINES[3], "\r\n".join(LINES[4:])):
        said += peer.say(line)[-1:]
    return peer, said


def test_each_stage_is_asked_with_its_thing() -> None:
    policy = Scripted()
    talk(Stand(policy=policy))
    assert policy.asked == [
        ("connect", "192.0.2.1"),
        ("helo", b"client.example"),
        ("mail", b"a@b.example"),
        ("rcpt", (b"a@b.example", b"anna@local.test")),
        ("content", b"Subject: x\r\n"),
    ]


@pytest.mark.parametrize("reply", [NO, LATER])
@pytest.mark.parametrize(("number", "stage"), list(enumerate(STAGES)))
def test_a_refusal_at_each_stage_is_said_and_logged(number: int, stage: str, reply: Reply) -> None:
    verdict = reject(reply) if reply.code >= 500 else defer(reply)
    stand = Stand(policy=Scripted(stage, verdict))
    peer, said = talk(stand)
    # The content is answered one reply later than DATA.
    assert said[number + (stage == "content")] == f"{reply.code} {reply.status} {reply.text}"
    assert stand.spool.records == []
    assert peer.session.is_over == (stage == "connect")
    peer.say("RSET")
    line = next(line for line in stand.log.lines if line.get("code") == reply.code)
    assert line["result"] == ("refused" if reply.code >= 500 else "deferred")
    assert line["stage"] == stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_421_of_policy_ends_the_session(stage: str) -> None:
    stand = Stand(policy=Scripted(stage, defer(LEAVE)))
    peer, said = talk(stand)
    assert "421 4.7.0 Go away" in said
    assert peer.session.is_over
    assert said[-1].startswith("421 ")


@pytest.mark.parametrize("stage", STAGES)
def test_a_policy_that_fails_defers(stage: str) -> None:
    """Unknown failure is temporary, and the peer is not told the cause (I8)."""
    stand = Stand(policy=Scripted(stage, ZeroDivisionError("secret")))
    _, said = talk(stand)
    assert "451 4.3.0 A check could not be made, try again later" in said
    assert "secret" not in "".join(said)
    assert stand.log.events[0][2]["cause"] == "ZeroDivisionError: secret"
    assert stand.spool.records == []


def test_annotations_are_taken_over() -> None:
    stand = Stand(policy=Scripted("rcpt", Verdict(ANNOTATE, instead=(b"other@local.test",))))
    talk(stand)
    assert stand.spool.records[0].envelope.recipients == (b"other@local.test",)
    stand = Stand(policy=Scripted("content", Verdict(ANNOTATE, edits=(Add(b"X-Checked: yes\r\n"),))))
    talk(stand)
    assert stand.spool.records[0].content.endswith(b"+0000\r\nX-Checked: yes\r\nSubject: x\r\n\r\n")
    stand = Stand(policy=Scripted("connect", Verdict(ANNOTATE, is_trusted=True)))
    peer, _ = talk(stand)
    assert peer.session.is_trusted


# ---- awaitables -----------------------------------------------------------------------------------------------------


class Pending:
    """An awaitable that the test answers in the session's place."""

    def __await__(self) -> Generator[Any, None, Verdict | None]:
        yield
        return None


pending = Pending


@pytest.mark.parametrize("verdict", [None, reject(NO), Verdict(ANNOTATE)])
@pytest.mark.parametrize("stage", STAGES)
def test_an_awaitable_pauses_the_session_and_nothing_is_lost(stage: str, verdict: Verdict | None) -> None:
    octets = "".join(f"{line}\r\n" for line in LINES).encode()
    expected = Stand(early_talk="everybody", policy=Scripted(stage, verdict)).connect()
    replies = expected.greeting + expected.send(octets)

    stand = Stand(early_talk="everybody", policy=Scripted(stage, pending()))
    peer = stand.connect()
    out = peer.greeting + peer.send(octets[:70])
    out += peer.send(octets[70:])
    assert peer.session.question is not None
    peer.session.answered(verdict)
    stand.policy.answer = verdict
    stand.spool.sync()
    out += peer.take()
    assert [line[:20] for line in out.splitlines()] == [line[:20] for line in replies.splitlines()]
    assert peer.session.question is None


def test_an_awaitable_that_fails_defers() -> None:
    stand = Stand(policy=Scripted("mail", pending()))
    peer = stand.connect().hello()
    assert peer.say("MAIL FROM:<a@b.example>", "NOOP") == []
    peer.session.answered(TimeoutError("resolver"))
    assert [line[:9] for line in peer.take().splitlines()] == [b"451 4.3.0", b"250 2.0.0"]


def test_an_answer_for_a_peer_that_has_gone_is_dropped() -> None:
    for stage in STAGES:
        stand = Stand(policy=Scripted(stage, pending()))
        peer = stand.connect()
        peer.send("".join(f"{line}\r\n" for line in LINES).encode())
        peer.session.lost()
        peer.session.answered(None)
        assert peer.take() == b""
        assert stand.context.open_sessions == 0
        assert stand.context.buffered == 0
        assert stand.spool.records == []


def test_drain_waits_for_an_answer() -> None:
    stand = Stand(policy=Scripted("helo", pending()))
    peer = stand.connect()
    peer.say("EHLO client.example")
    stand.context.drain(lambda: None)
    assert not peer.session.is_over
    peer.session.answered(None)
    assert peer.take().splitlines()[-1].startswith(b"421 4.3.2 ")


def test_the_content_of_a_large_message_is_shown_to_policy_by_its_header_section() -> None:
    policy = Scripted()
    stand = Stand(policy=policy, large_content=64 << 10)
    stand.connect().transmit(MESSAGE + b"x" * 900 + (b"y" * 900 + b"\r\n") * 100)
    assert policy.asked[-1] == ("content", MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 2])
