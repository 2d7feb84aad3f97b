"""The log line and the counters of each end that a transaction or a session can come to."""

from typing import Any

import pytest

from relay.telemetry import metrics
from tests.smtp.stand import MESSAGE, Stand


def total(stand: Stand, name: str) -> dict[str, int]:
    """The cells of a metric with one label that are not 0."""
    metric = next(metric for metric in metrics.TABLE if metric.name == name)
    return {value: stand.count(name, value) for (value,) in metric.combinations if stand.count(name, value)}


def last(stand: Stand) -> dict[str, Any]:
    line: dict[str, Any] = stand.log.lines[-1]
    return line


def test_an_accepted_message_has_one_line_with_everything() -> None:
    stand = Stand()
    peer = stand.connect().begin("anna@local.test", "bert@local.test")
    peer.say("RCPT TO:<nobody@local.test>")
    stand.pass_time(1)
    peer.say("DATA")
    stand.pass_time(2)
    peer.session.receive(MESSAGE + b".\r\n", stand.now)
    stand.pass_time(0.5)
    stand.spool.sync()
    envelope = stand.spool.records[0].envelope
    decisions = stand.log.lines[0].pop("decisions")
    assert all(isinstance(each.pop("us"), int) for each in decisions)
    assert decisions == [
        {"check": "relaying", "stage": "rcpt", "result": "pass", "times": 2},
        {"check": "relaying", "stage": "rcpt", "result": "reject", "why": "unknown_recipient"},
    ]
    assert stand.log.lines == [
        {
            "time": "2026-11-18T11:06:43.750Z",
            "kind": "transaction",
            "queue_id": envelope.queue_id,
            "session_id": envelope.session_id,
            "transaction": 1,
            "listener": "mx",
            "client": "192.0.2.1",
            "client_port": 4025,
            "helo": "client.example",
            "protocol": "ESMTP",
            "reverse_path": "sender@elsewhere.example",
            "recipients": ["anna@local.test", "bert@local.test"],
            "recipients_refused": 1,
            "refusals": ["nobody@local.test: 550 5.1.1"],
            "size": len(MESSAGE) + 3,
            "result": "accepted",
            "stage": "spool",
            "code": 250,
            "status": "2.0.0",
            "envelope_seconds": 1.0,
            "content_seconds": 2.0,
            "spool_seconds": 0.5,
        }
    ]
    assert total(stand, "relay_smtp_transactions_total") == {"accepted": 1}
    assert total(stand, "relay_smtp_messages_accepted_total") == {"mx": 1}
    assert total(stand, "relay_smtp_accepted_bytes_total") == {"mx": len(MESSAGE) + 3}
    assert total(stand, "relay_smtp_recipients_total") == {"accepted": 2, "refused": 1}
    assert total(stand, "relay_smtp_refusals_total") == {"unknown_recipient": 1}
    assert total(stand, "relay_smtp_replies_total") == {"220": 1, "250": 5, "354": 1, "550": 1}
    assert total(stand, "relay_smtp_commands_total") == {"EHLO": 1, "MAIL": 1, "RCPT": 3, "DATA": 1}
    wait = metrics.histogram_cells("relay_smtp_accept_seconds")
    assert stand.cells[wait.first + len(wait.bounds) + 1] == 500_000


def test_a_refused_mail_has_a_line() -> None:
    stand = Stand(max_message_size=1024)
    stand.connect().hello().say("MAIL FROM:<a@b.example> SIZE=2000")
    line = last(stand)
    assert line["reverse_path"] == "a@b.example"
    assert (line["result"], line["stage"], line["code"], line["status"]) == ("refused", "mail", 552, "5.3.4")
    assert line["reason"] == "too_large"


def test_a_transaction_that_only_met_refusals_is_logged_as_refused() -> None:
    stand = Stand()
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<x@local.test>", "RCPT TO:<y@elsewhere.example>", "QUIT")
    line = last(stand)
    assert (line["result"], line["stage"], line["code"]) == ("refused", "rcpt", 550)
    assert line["text"] == "Relaying denied: <y@elsewhere.example>"
    assert line["recipients_refused"] == 2
    assert line["refusals"] == ["x@local.test: 550 5.1.1", "y@elsewhere.example: 550 5.7.1"]
    assert line["reason"] == "relay_denied"
    assert len(stand.log.lines) == 1


def test_an_aborted_transaction_says_what_ended_it() -> None:
    for ending, reason in (("RSET", None), ("QUIT", "quit"), ("EHLO x.example", None), (None, "peer_reset")):
        stand = Stand()
        peer = stand.connect().begin()
        if ending:
            peer.say(ending)
        else:
            peer.session.lost("peer_reset")
        line = last(stand)
        assert (line["result"], line["stage"], line.get("reason")) == ("aborted", "rcpt", reason)
        assert total(stand, "relay_smtp_transactions_total") == {"aborted": 1}


def test_a_refused_content_has_a_line() -> None:
    stand = Stand()
    stand.connect().transmit(b"a\nb\r\n")
    line = last(stand)
    assert (line["result"], line["stage"], line["code"], line["reason"]) == ("refused", "content", 554, "bare_lf")
    assert line["queue_id"]
    assert stand.count("relay_smtp_messages_refused_total") == 1
    assert stand.count("relay_smtp_refused_bytes_total") == 8


def test_a_refused_connection_has_a_line() -> None:
    stand = Stand(max_connections_per_client=1)
    stand.connect()
    stand.connect()
    line = last(stand)
    assert (line["result"], line["stage"], line["code"], line["client"]) == ("deferred", "connect", 421, "192.0.2.1")


def test_a_timeout_outside_a_transaction_has_a_line() -> None:
    stand = Stand()
    stand.connect()
    stand.pass_time(400)
    assert (last(stand)["stage"], last(stand)["reason"]) == ("session", "command_timeout")


def test_a_session_without_transactions_that_ends_well_has_no_line() -> None:
    """Health checks would fill the log."""
    stand = Stand()
    stand.connect().say("QUIT")
    stand.connect().session.lost()
    assert stand.log.lines == []
    assert total(stand, "relay_smtp_sessions_closed_total") == {"quit": 1, "peer_closed": 1}


def test_what_a_peer_sends_cannot_forge_a_line() -> None:
    """I8 and plain hygiene: one line of JSON, whatever is in it (Log parses each)."""
    stand = Stand()
    stand.connect().say('EHLO client.example"},{"kind":"x', 'MAIL FROM:<"\\"},{\\"x"@b.example>', "QUIT")
    stand.connect().hello().send(b'MAIL FROM:<"a\\\\\\"b"@b.example>\r\nRCPT TO:<x@local.test>\r\nQUIT\r\n')
    assert last(stand)["reverse_path"] == '"a\\\\\\"b"@b.example'


def test_mixups_are_counted() -> None:
    stand = Stand()
    stand.connect().say("GET / HTTP/1.1")
    stand.connect().send(b"\x16\x03\x01")
    for line in ("a1 CAPABILITY", "CAPA", 'AUTHENTICATE "PLAIN"'):
        stand.connect().say(line)
    assert total(stand, "relay_smtp_mixups_total") == {"http": 1, "tls": 1, "imap": 1, "pop3": 1, "managesieve": 1}
    assert total(stand, "relay_smtp_sessions_closed_total") == {"mixup": 5}


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "\x16\x03", "a1 CAPABILITY", "USER anna"])
def test_who_is_at_the_wrong_port_is_told_the_right_one(line: str) -> None:
    stand = Stand(directions="IMAP: port 993 with TLS")
    assert stand.connect().say(line)[-1].endswith(". IMAP: port 993 with TLS")


def test_octets_read_and_written_are_counted() -> None:
    stand = Stand()
    peer = stand.connect()
    out = peer.greeting + peer.send(b"NOOP\r\nHELP\r\n")
    assert stand.count("relay_smtp_read_bytes_total") == 12
    assert stand.count("relay_smtp_written_bytes_total") == len(out)
    assert stand.count("relay_smtp_sessions_open", "mx") == 1
    assert stand.count("relay_smtp_connections_total", "mx") == 1
