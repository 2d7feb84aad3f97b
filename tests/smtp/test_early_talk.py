"""Who does not wait for a reply that has to be waited for sends nothing here (RFC 5321 4.3.1, RFC 2920 3.1)."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
import uvloop

from relay.smtp import read_clocks
from tests.smtp.serving import serving
from tests.smtp.stand import MESSAGE, Stand
from tests.support.explained import bare
from tests.support.waiting import reached

NOT_LAST = "554 5.5.1 Wait for the reply to"
BEHIND = (
    "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "RSET", "NOOP", "QUIT", "EHLO again.example",
    "HELO x.example", "DATA", "BDAT 0 LAST", "STARTTLS", "AUTH PLAIN", "VRFY anna", "", "nonsense", "Subject: x", ".",
)  # fmt: skip
NETWORKS = ("192.0.2.0/24",)


def trusted(**settings: Any) -> Stand:
    return Stand(trusted_networks=NETWORKS, **settings)


@pytest.mark.parametrize("kind", ["mx", "submission"])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("hello", ["EHLO client.example", "HELO client.example"])
def test_nothing_stands_behind_a_hello(hello: str, behind: str, kind: str) -> None:
    stand = Stand(kind=kind)
    peer = stand.connect()
    assert peer.say(hello, behind) == [f"{NOT_LAST} HELO or EHLO before you say more"]
    assert peer.session.is_over
    assert stand.count("relay_smtp_sessions_closed_total", "early_talker") == 1
    assert stand.log.lines[-1]["reason"] == "early_talker"


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("recipients", [("anna@local.test",), ()])
def test_nothing_stands_behind_data(behind: str, recipients: tuple[str, ...]) -> None:
    """Neither when it is obeyed nor when it is refused: what follows is content, and must not be taken for commands."""
    stand = Stand()
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<a@b.example>", *(f"RCPT TO:<{each}>" for each in recipients or ("nobody@local.test",)))
    assert peer.say("DATA", behind) == [f"{NOT_LAST} DATA before you say more"]
    assert peer.session.is_over
    assert not stand.spool.records
    assert stand.context.buffered == 0
    assert stand.count("relay_smtp_sessions_closed_total", "early_talker") == 1


def test_one_octet_behind_the_line_is_enough() -> None:
    for command in ("EHLO client.example", "DATA"):
        stand = Stand()
        peer = stand.connect() if command != "DATA" else stand.connect().begin()
        assert peer.send(f"{command}\r\nx".encode()).startswith(NOT_LAST.encode())


def test_a_dialogue_cut_at_each_octet_is_taken_only_where_the_replies_were_read() -> None:
    """The first cut is somewhere in EHLO, MAIL, RCPT, DATA, content; the rest comes in one buffer."""
    hello, envelope = b"EHLO client.example\r\n", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n"
    for first in range(len(hello + envelope + MESSAGE)):
        stand = Stand()
        peer = stand.connect()
        octets = hello + envelope + MESSAGE + b".\r\n"
        peer.send(octets[:first])
        peer.send(octets[first:])
        assert not stand.spool.records, f"a cut at {first} sent a message"
        assert peer.session.is_over
    stand = Stand()
    peer = stand.connect()
    for octets in (hello, envelope, MESSAGE + b".\r\n"):
        peer.send(octets)
    assert len(stand.spool.records) == 1


def test_a_content_is_no_content_before_its_354_is_written() -> None:
    """The reply to DATA waits behind that to a content which is being synced."""
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    group = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n"
    assert peer.session.receive(MESSAGE + b".\r\n" + group, stand.now) == b""
    assert peer.session.receive(MESSAGE + b".\r\n", stand.now) == b""
    stand.spool.sync()
    said = peer.take().decode().splitlines()
    assert [line[:3] for line in said] == ["250", "250", "250", "354", "554"]
    assert said[-1].startswith(NOT_LAST)
    assert len(stand.spool.records) == 1
    assert peer.session.is_over


def test_a_content_behind_a_354_that_was_written_late_is_taken() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.session.receive(MESSAGE + b".\r\nMAIL FROM:<>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n", stand.now)
    stand.spool.sync()
    assert peer.take().endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
    assert peer.send(MESSAGE + b".\r\n").startswith(b"250 2.0.0 ")
    assert len(stand.spool.records) == 2


def test_a_hello_is_not_answered_ahead_of_a_sync() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.session.receive(MESSAGE + b".\r\nEHLO other.example\r\n", stand.now)
    assert peer.session.receive(b"MAIL FROM:<>\r\n", stand.now) == b""
    stand.spool.sync()
    assert [line[:3] for line in peer.take().splitlines()] == [b"250", b"554"]
    assert peer.session.is_over


class Slow:
    """A policy whose answer to one stage takes its time; all else is taken."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def answer(self, stage: str) -> Any:
        async def wait() -> None:
            raise AssertionError("the test answers")

        if stage != self.stage:
            return None
        waiting = wait()
        waiting.close()
        return waiting

    def connect(self, _session: Any) -> Any:
        return self.answer("connect")

    def helo(self, _session: Any, _name: bytes) -> Any:
        return self.answer("helo")

    def mail(self, _session: Any, _path: bytes) -> Any:
        return None

    def rcpt(self, _session: Any, _path: bytes) -> Any:
        return self.answer("rcpt")

    def content(self, _session: Any, _content: list[bytes]) -> Any:
        return None


def test_who_talks_while_policy_thinks_has_not_waited_either() -> None:
    for stage, sent, then, reply in (
        ("connect", b"", b"EHLO x.example\r\n", b"554 5.5.1 You spoke before the greeting\r\n"),
        ("helo", b"EHLO x.example\r\n", b"MAIL FROM:<>\r\n", b"554 5.5.1 Wait for the reply to HELO or EHLO"),
        (
            "rcpt",
            b"MAIL FROM:<>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n",
            MESSAGE,
            b"554 5.5.1 Wait for the reply to DATA",
        ),
    ):
        stand = Stand(policy=Slow(stage))
        peer = stand.connect()
        if stage == "rcpt":
            peer.hello()
        peer.send(sent)
        assert peer.send(then) == b""
        peer.session.answered(None)
        assert peer.take().splitlines()[-1].startswith(reply.rstrip())
        assert peer.session.is_over


def test_a_trusted_network_may_be_exempt() -> None:
    octets = (
        b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n"
        + MESSAGE
        + b".\r\nQUIT\r\n"
    )
    for stand, stored in (
        (Stand(), 0),
        (trusted(), 0),
        (Stand(early_talk="trusted"), 0),
        (trusted(early_talk="trusted"), 1),
        (Stand(early_talk="everybody"), 1),
    ):
        peer = stand.connect()
        peer.send(octets)
        assert len(stand.spool.records) == stored
        assert peer.session.is_over


def test_who_is_exempt_may_talk_before_a_delayed_greeting() -> None:
    stand = Stand(banner_delay=5.0, early_talk="everybody")
    peer = stand.connect()
    assert peer.send(b"EHLO x.example\r\n") == b""
    stand.pass_time(6)
    assert peer.take().startswith(b"220 ")


def test_chunks_may_follow_each_other_without_a_wait() -> None:
    """RFC 3030 4.2."""
    stand = Stand()
    peer = stand.connect().hello()
    said = peer.send(
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@local.test>\r\n"
        b"BDAT 12\r\nSubject: x\r\nBDAT 5 LAST\r\n\r\nh\r\nQUIT\r\n"
    )
    assert [line[:3] for line in said.splitlines()] == [b"250", b"250", b"250", b"250", b"221"]


# ---- before the greeting, over a socket ------------------------------------------------------------------------------


def connected(stand: Stand, octets: bytes) -> bytes:
    """What the server says to a client whose octets are there before it is accepted."""

    async def run() -> bytes:
        stand.wheel.expire(time.monotonic())
        stand.context.tick(*read_clocks())
        loop = asyncio.get_running_loop()
        said = b""
        with serving(stand.service) as address:
            client = socket.create_connection(address)
            client.sendall(octets)  # nothing is accepted before the loop turns
            client.setblocking(False)
            while not said.startswith(b"220 ") and (more := await asyncio.wait_for(loop.sock_recv(client, 4096), 10)):
                said += more
            client.close()
            await reached(lambda: not stand.context.open_sessions)
        return bare(said)

    return uvloop.run(run())


def test_another_server_waits_for_the_greeting() -> None:
    stand = Stand()
    assert connected(stand, b"EHLO client.example\r\n") == b"554 5.5.1 You spoke before the greeting\r\n"
    assert stand.count("relay_smtp_sessions_closed_total", "early_talker") == 1
    line = stand.log.lines[-1]
    assert (line["stage"], line["reason"], line["code"]) == ("connect", "early_talker", 554)


@pytest.mark.parametrize("octets", [b"x", b"\r\n", b"QUIT\r\n", b"\0" * 100, b"GETX / HTTP/1.1\r\n", b"GE"])
def test_whatever_comes_before_the_greeting_is_too_early(octets: bytes) -> None:
    assert connected(Stand(), octets).startswith(b"554 5.5.1 You spoke before the greeting")


@pytest.mark.parametrize(
    ("stand", "octets"),
    [
        (Stand(kind="submission"), b"EHLO client.example\r\n"),  # people's programs are forgiven
        (Stand(early_talk="everybody"), b"EHLO client.example\r\n"),
        (Stand(early_talk="trusted", trusted_networks=("127.0.0.0/8",)), b"EHLO client.example\r\n"),
        (Stand(), b""),
        (Stand(), b"GET / HTTP/1.1\r\n\r\n"),  # told what port this is instead
        (Stand(), b"OPTIONS * HTTP/1.1\r\n\r\n"),
        (Stand(), b"\x16\x03\x01\x02\x00\x01\x00"),
    ],
)
def test_others_are_greeted(stand: Stand, octets: bytes) -> None:
    assert connected(stand, octets).startswith(b"220 ")
