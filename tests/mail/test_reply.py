"""The table of replies."""

from __future__ import annotations

import re

import pytest

from relay import _fastparse
from relay.delivery import _replies
from relay.mail import _paths, reply
from relay.mail.reply import COMMAND_FAULTS, CONTENT_FAULTS, PATH_REPLIES, REPLIES, Reply

ALL = [
    *REPLIES.items(),
    *[(f"{verb} {error}", value) for verb in PATH_REPLIES for error, value in PATH_REPLIES[verb].items()],
]


@pytest.mark.parametrize(("name", "value"), ALL, ids=[name for name, _ in ALL])
def test_a_reply_has_a_code_a_status_of_its_class_and_a_text(name: str, value: Reply) -> None:
    """RFC 5321 4.2, RFC 2034 4: every 2yz, 4yz and 5yz has a status of its class; 3yz has none."""
    assert re.fullmatch(r"[2345][0-5][0-9]", str(value.code))
    if value.code // 100 == 3:
        assert value.status == ""
    else:
        assert re.fullmatch(rf"{value.code // 100}\.[0-7]\.[0-9]{{1,2}}", value.status)
    assert value.text
    assert value.text.isascii()
    assert value.is_permanent == (value.code >= 500)


@pytest.mark.parametrize(("name", "value"), ALL, ids=[name for name, _ in ALL])
def test_our_own_client_reads_what_the_server_says(name: str, value: Reply) -> None:
    wire = value.wire()
    after, fault, code, status, text, _ = _replies.parse_reply(wire)
    assert (after, fault) == (len(wire), "")
    assert (code, status, text.decode()) == (value.code, value.status, value.text)


@pytest.mark.parametrize("hostile", ["a\r\n250 2.0.0 Ok", "\0", "é\x80", "x" * 5000, "\x1b[2J"])
def test_a_reply_is_one_line_whatever_its_text_holds(hostile: str) -> None:
    """A peer's words in a text must not become replies of ours; RFC 5321 4.5.3.1.5: 512 octets."""
    wire = Reply(550, "5.1.1", hostile).wire()
    assert wire.startswith(b"550 5.1.1 ")
    assert wire.endswith(b"\r\n")
    assert wire.count(b"\r") == wire.count(b"\n") == 1
    assert len(wire) <= 512
    assert all(32 <= octet <= 126 for octet in wire[:-2])


def test_every_fault_of_the_parsers_has_its_reply() -> None:
    assert set(COMMAND_FAULTS) == set(_fastparse.FAULTS) - {""}
    assert set(CONTENT_FAULTS) == set(_fastparse.FAULTS) - {"", "not-ascii"}
    for verb in ("MAIL", "RCPT"):
        assert set(PATH_REPLIES[verb]) == set(_paths.PATH_ERRORS) - {""}


def test_what_is_our_own_trouble_is_temporary() -> None:
    """Invariant I9 and issue 2: disk low is 452 4.3.1, a spool failure 451 4.3.0."""
    assert reply.NO_ROOM[:2] == (452, "4.3.1")
    assert reply.NOT_SPOOLED[:2] == (451, "4.3.0")
    assert reply.DRAINING[:2] == (421, "4.3.2")
