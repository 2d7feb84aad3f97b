"""Lines, commands, replies and log text, example by example."""

from __future__ import annotations

import pytest

from relay import _fastparse
from relay.delivery import _replies
from relay.mail import _paths
from relay.smtp import _parameters


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"NOOP\r\nQUIT\r\n", (6, "")),
        (b"NOOP", (-1, "")),
        (b"NOOP\r", (-1, "")),
        (b"NO\rOP", (-1, "bare-cr")),
        (b"NO\0OP", (-1, "nul")),
        (b"NOOP\n", (5, "bare-lf")),
        (b"\n", (1, "bare-lf")),
        (b"\r\n", (2, "")),
        (b"\r\r\n", (3, "bare-cr")),
        (b"A\rB\n", (4, "bare-cr")),
        (b"A\0\r\r\n", (5, "nul")),
        (b"", (-1, "")),
    ],
)
def test_a_line_ends_at_crlf_and_faults_are_told(octets: bytes, expected: tuple[int, str]) -> None:
    """RFC 5321 2.3.8."""
    assert _fastparse.split_line(octets) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"MAIL FROM:<a@b>", ("MAIL", b"FROM:<a@b>")),
        (b"mail  FROM:<a@b> \t", ("MAIL", b"FROM:<a@b>")),
        (b"quit", ("QUIT", b"")),
        (b"QUIT \t ", ("QUIT", b"")),
        (b"StartTLS", ("STARTTLS", b"")),
        (b"MAILFROM:<a@b>", ("", b"")),
        (b" MAIL FROM:<a@b>", ("", b"MAIL FROM:<a@b>")),
        (b"", ("", b"")),
        (b"MAIK", ("", b"")),
        (b"\xcdAIL x", ("", b"x")),
        (b"\rAIL", ("", b"")),
        (b"MA\x09L", ("", b"")),
        (b"GET / HTTP/1.1", ("HTTP", b"/ HTTP/1.1")),
        (b"POST /x HTTP/1.0", ("HTTP", b"/x HTTP/1.0")),
        (b"PRI * HTTP/2.0", ("HTTP", b"* HTTP/2.0")),
        (b"CONNECT a:25 HTTP/1.1", ("HTTP", b"a:25 HTTP/1.1")),
        (b"GETS", ("", b"")),
        (b"get / HTTP/1.1", ("", b"/ HTTP/1.1")),
        (b"\x16\x03\x01\x02\x00", ("TLS", b"")),
    ],
)
def test_commands_are_told_apart(line: bytes, expected: tuple[str, bytes]) -> None:
    """RFC 5321 2.4: verbs in any letter case."""
    assert _fastparse.parse_command(line) == expected


@pytest.mark.parametrize("verb", _fastparse.VERBS[1:-2])
def test_every_verb_is_known_alone_and_with_an_argument(verb: str) -> None:
    assert _fastparse.parse_command(verb.lower().encode()) == (verb, b"")
    assert _fastparse.parse_command(verb.encode() + b" x") == (verb, b"x")
    assert _fastparse.parse_command(verb.encode() + b"x")[0] == ""


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        (b"mail.example.org", "domain"),
        (b"localhost", "domain"),
        (b"DESKTOP_1", "domain"),
        (b"[192.0.2.1]", "literal"),
        (b"[IPv6:::1]", "literal"),
        (b"192.0.2.1", ""),
        (b"", ""),
        (b"a b", ""),
        (b"a.", ""),
        (b"x" * 64, ""),
        (b".".join([b"x" * 63] * 4), "domain"),
        (b".".join([b"x" * 63] * 4) + b".y", ""),
    ],
)
def test_host_names_and_literals_are_told_apart(host: bytes, kind: str) -> None:
    """RFC 5321 4.1.1.1."""
    assert _paths.parse_host(host) == kind


def test_a_reply_of_several_lines_is_one_reply() -> None:
    """RFC 5321 4.2.1."""
    reply = b"250-mx.example.org greets you\r\n250-SIZE 1000\r\n250 PIPELINING\r\n"
    assert _replies.parse_reply(reply + b"354 go\r\n") == (
        len(reply), "", 250, "", b"PIPELINING", b"mx.example.org greets you SIZE 1000 PIPELINING",
    )  # fmt: skip
    assert _replies.reply_lines(reply) == [b"mx.example.org greets you", b"SIZE 1000", b"PIPELINING"]


@pytest.mark.parametrize(
    ("reply", "status", "text"),
    [
        (b"550 5.1.1 no such user\r\n", "5.1.1", b"no such user"),
        (b"550 5.1.1\r\n", "5.1.1", b""),
        (b"550\r\n", "", b""),
        (b"550 \r\n", "", b""),
        (b"550 4.1.1 class differs\r\n", "4.1.1", b"class differs"),
        (b"450 5.1.1 class differs\r\n", "5.1.1", b"class differs"),
        (b"250 5.1.1 no success\r\n", "", b"5.1.1 no success"),
        (b"550 2.1.5 no failure\r\n", "", b"2.1.5 no failure"),
        (b"550 5.0.0 said\r\n", "5.0.0", b"5.0.0 said"),
        (b"250 2.0.0 said\r\n", "2.0.0", b"said"),
        (b"354 3.0.0 no such class\r\n", "", b"3.0.0 no such class"),
        (b"550 5.1.1x\r\n", "", b"5.1.1x"),
        (b"550 5.1000.1 x\r\n", "", b"5.1000.1 x"),
        (b"550 5.007.001 x\r\n", "5.7.1", b"x"),
        (b"550-5.7.1 first\r\n550 last\r\n", "5.7.1", b"last"),
    ],
)
def test_the_enhanced_status_is_told_from_the_text(reply: bytes, status: str, text: bytes) -> None:
    """RFC 2034 4. The class should be that of the code; of refusals what was said counts. 5.0.0 stands for none."""
    assert _replies.parse_reply(reply)[3:5] == (status, text)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "syntax"),
        (b"25\r\n", "syntax"),
        (b"2500 x\r\n", "syntax"),
        (b"199 x\r\n", "syntax"),
        (b"600 x\r\n", "syntax"),
        (b"250_x\r\n", "syntax"),
        (b"\r\n", "syntax"),
        (b"250-a\r\n550 b\r\n", "code-changed"),
        (b"250 a\n250 b\r\n", "bare-lf"),
        (b"250 a\0b\r\n", "bare-lf"),
        (b"250 " + b"x" * 40_000, "too-long"),
        (b"250-x\r\n" * 5_000, "too-long"),
    ],
)
def test_what_is_no_reply_is_told(octets: bytes, fault: str) -> None:
    """A server whose replies cannot be told apart must not be taken to have accepted anything."""
    assert _replies.parse_reply(octets)[:2] == (-2, fault)


def test_xtext_is_read_strictly() -> None:
    """RFC 3461 4."""
    assert _parameters.has_only_xtext(b"a+2Bb+3Dc+20d+FF")
    assert not any(_parameters.has_only_xtext(octets) for octets in (b"+2b", b"+2", b"+", b"a b", b"a=b", b"+GG"))
