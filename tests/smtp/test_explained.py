"""Every refusal that the log has a line of ends with the id that finds it (docs/operations/troubleshooting.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from relay.mail.reply import Reply
from relay.policy.verdict import Verdict, defer, reject
from relay.telemetry.journey import Search
from tests.smtp.stand import MESSAGE, Peer, Stand
from tests.support.explained import EXPLAIN_ID

NO = Reply(550, "5.7.1", "No")


class Refusing:
    """A policy that refuses at one stage."""

    def __init__(self, stage: str, reply: Reply = NO) -> None:
        self.stage = stage
        self.verdict = reject(reply) if reply.code >= 500 else defer(reply)

    def __getattr__(self, stage: str) -> Callable[..., Verdict | None]:
        return lambda *_: self.verdict if stage == self.stage else None


def found(stand: Stand, name: str) -> list[dict[str, Any]]:
    """The lines that ``relay trace NAME`` shows."""
    search = Search([name])
    lines = [json.dumps(line).encode() for line in stand.log.lines]
    for step in (search.see, search.gather):
        for line in lines:
            step(line)
    return [step for journey in search.journeys() for step in journey.steps]


def at_stage(stage: str, talk: Callable[[Peer], object], **settings: Any) -> tuple[Stand, Peer]:
    stand = Stand(policy=Refusing(stage), **settings)
    peer = stand.connect()
    talk(peer)
    return stand, peer


def transmit(peer: Peer) -> None:
    peer.begin()
    peer.say("DATA")
    peer.send(MESSAGE + b".\r\n")


def large(peer: Peer) -> None:
    peer.hello()
    peer.say("MAIL FROM:<a@b.example> SIZE=99999999")


def broken(peer: Peer) -> None:
    peer.begin()
    peer.say("DATA")
    peer.send(b"Subject: x\ry\r\n\r\n.\r\n")


def no_spool(peer: Peer) -> None:
    peer.stand.spool.error = OSError("no disk")
    transmit(peer)


def late(peer: Peer) -> None:
    peer.begin()
    peer.stand.pass_time(10_000)
    peer.session.expired(peer.stand.now)
    peer.take()


REFUSED_RCPT = ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "RSET")
CASES: list[tuple[str, Callable[[Peer], object], str, int, bool]] = [
    ("connect", lambda peer: None, "connect", 550, False),
    ("helo", lambda peer: peer.say("HELO a.example"), "helo", 550, False),
    ("mail", lambda peer: peer.hello().say("MAIL FROM:<a@b.example>"), "mail", 550, False),
    ("rcpt", lambda peer: peer.hello().say(*REFUSED_RCPT), "rcpt", 550, True),
    ("content", transmit, "content", 550, True),
    ("none", large, "mail", 552, False),
    ("none", broken, "content", 554, True),
    ("none", no_spool, "spool", 451, True),
    ("none", late, "rcpt", 421, True),
    ("none", lambda peer: peer.say("GET / HTTP/1.1"), "session", 421, False),
]


@pytest.mark.parametrize(
    ("stage", "talk", "where", "code", "has_number"),
    CASES,
    ids=[f"{stage}-{code}-{where}" for stage, _, where, code, _ in CASES],
)
def test_the_id_finds_the_line(
    stage: str, talk: Callable[[Peer], object], where: str, code: int, has_number: bool
) -> None:
    stand, peer = at_stage(stage, talk)
    (name,) = peer.ids
    assert name == peer.session.session_id + ("-1" if has_number else "")
    (line,) = found(stand, name)
    assert name not in json.dumps(line).replace(peer.session.session_id, "", 1) or not has_number
    assert line["stage"] == where
    if code != 421:
        assert line["code"] == code


def test_each_transaction_of_a_session_has_a_number_of_its_own() -> None:
    peer = Stand(policy=Refusing("rcpt")).connect().hello()
    for _ in range(3):
        peer.say(*REFUSED_RCPT)
    assert [name.partition("-")[2] for name in peer.ids] == ["1", "2", "3"]


@pytest.mark.parametrize("lines", [["FOO"], ["EHLO"], ["RCPT TO:<a@b.example>"], ["VRFY"]])
def test_what_has_no_line_has_no_id(lines: list[str]) -> None:
    """Commands that are wrong or out of order are counted, but not logged one by one."""
    stand = Stand()
    peer = stand.connect()
    *_, last = peer.say(*lines)
    assert last[0] == "5"
    assert not peer.ids
    assert not stand.log.lines


def test_a_long_reply_is_cut_before_its_id() -> None:
    """RFC 5321 4.5.3.1.5: 512 octets with CRLF."""
    stand = Stand(policy=Refusing("mail", Reply(550, "5.7.1", "x" * 600)))
    peer = stand.connect().hello()
    octets = peer.session.receive(b"MAIL FROM:<a@b.example>\r\n", stand.now)
    assert len(octets) == 512
    assert EXPLAIN_ID.fullmatch(octets)


def test_accepted_commands_have_none() -> None:
    stand = Stand()
    peer = stand.connect()
    transmit(peer)
    assert not peer.ids


def test_a_refused_login_has_the_id_of_its_session() -> None:
    """The Authenticator's event has the session's id, too."""
    peer = Stand(kind="submission", plaintext_login=True).connect().hello()
    assert peer.say("AUTH PLAIN AGFubmEAd3Jvbmc=")[0].startswith("535 5.7.8 ")
    assert peer.ids == [peer.session.session_id]
