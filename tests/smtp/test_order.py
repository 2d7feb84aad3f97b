"""Every command in every situation: one table of the reply codes (RFC 5321 4.1.4, 4.3.2)."""

import pytest

from tests.smtp.stand import Peer, Stand

SITUATIONS = {
    "connected": (),
    "greeted": ("EHLO client.example",),
    "open": ("EHLO client.example", "MAIL FROM:<a@b.example>"),
    "refused": ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<nobody@local.test>"),
    "addressed": ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>"),
    "done": ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "DATA", "x", "."),
    "reset": ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "RSET"),
}
#                              connected greeted open refused addressed done reset
TABLE = {
    "EHLO again.example":         (250,    250,   250,   250,    250,   250,  250),
    "HELO again.example":         (250,    250,   250,   250,    250,   250,  250),
    "EHLO":                       (501,    501,   501,   501,    501,   501,  501),
    "MAIL FROM:<c@d.example>":    (503,    250,   503,   503,    503,   250,  250),
    "MAIL FROM:<broken":          (503,    501,   503,   503,    503,   501,  501),
    "RCPT TO:<bert@local.test>":  (503,    503,   250,   250,    250,   503,  503),
    "RCPT TO:<x@elsewhere.test>": (503,    503,   550,   550,    550,   503,  503),
    "DATA":                       (503,    503,   503,   554,    354,   503,  503),
    "BDAT 0":                     (503,    503,   503,   554,    250,   503,  503),
    "BDAT":                       (501,    501,   501,   501,    501,   501,  501),
    "RSET":                       (250,    250,   250,   250,    250,   250,  250),
    "NOOP":                       (250,    250,   250,   250,    250,   250,  250),
    "VRFY anna":                  (252,    252,   252,   252,    252,   252,  252),
    "EXPN list":                  (502,    502,   502,   502,    502,   502,  502),
    "HELP":                       (214,    214,   214,   214,    214,   214,  214),
    "QUIT":                       (221,    221,   221,   221,    221,   221,  221),
    "STARTTLS":                   (502,    502,   502,   502,    502,   502,  502),
    "AUTH LOGIN":                 (502,    502,   502,   502,    502,   502,  502),
    "LHLO client.example":        (500,    500,   500,   500,    500,   500,  500),
    "XYZZY":                      (500,    500,   500,   500,    500,   500,  500),
    "":                           (500,    500,   500,   500,    500,   500,  500),
    "GET / HTTP/1.1":             (421,    421,   421,   421,    421,   421,  421),
}  # fmt: skip
NO_DATA_AFTER = {"EHLO again.example", "HELO again.example", "RSET", "BDAT 0"}


def situation(name: str) -> tuple[Stand, Peer]:
    stand = Stand()
    peer = stand.connect()
    for line in SITUATIONS[name]:
        peer.say(line)
    return stand, peer


@pytest.mark.parametrize("command", TABLE)
@pytest.mark.parametrize("name", SITUATIONS)
def test_each_command_in_each_situation_has_its_reply(name: str, command: str) -> None:
    _, peer = situation(name)
    replies = peer.say(command)
    assert int(replies[-1][:3]) == TABLE[command][list(SITUATIONS).index(name)]
    assert all(line[:3] == replies[0][:3] for line in replies)


@pytest.mark.parametrize("command", TABLE)
def test_data_goes_on_after_all_commands_but_these(command: str) -> None:
    stand, peer = situation("addressed")
    replies = peer.say(command)
    if peer.session.is_over:
        return
    if replies == ["354 End data with <CR><LF>.<CR><LF>"]:
        assert peer.say("x", ".")[0].startswith("250 2.0.0 ")
        return
    assert peer.say("DATA")[0][:3] == ("503" if command in NO_DATA_AFTER else "354")
    assert stand.spool.records == []


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_refusal_has_an_enhanced_status_of_its_class(name: str) -> None:
    """RFC 2034 4: all but 220, 250 for HELO, 354 and the lines of EHLO."""
    for command in TABLE:
        _, peer = situation(name)
        reply = peer.say(command)[-1]
        if reply[0] in "45":
            assert reply[4:6] == f"{reply[0]}."


def test_a_command_behind_quit_is_not_answered() -> None:
    peer = Stand().connect()
    assert peer.say("QUIT", "NOOP") == ["221 2.0.0 Bye"]
    assert peer.say("NOOP") == []


def test_the_second_transaction_begins_with_nothing_of_the_first() -> None:
    stand = Stand(early_talk="everybody")
    peer = stand.connect()
    peer.begin("anna@local.test", sender="first@b.example")
    peer.say("RSET")
    peer.say("MAIL FROM:<second@b.example> BODY=8BITMIME", "RCPT TO:<bert@local.test>", "DATA", "x", ".")
    envelope = stand.spool.records[0].envelope
    assert envelope.reverse_path == b"second@b.example"
    assert envelope.recipients == (b"bert@local.test",)
