"""STARTTLS and TLS from the first octet, as the session sees them: no octet of TLS itself is in here (RFC 3207)."""

from typing import Any

import pytest

from tests.smtp.stand import MESSAGE, SECOND, FakeStream, Peer, Stand

READY = "220 2.0.0 Ready to start TLS"
OFFER = "250 STARTTLS"


def starting(stand: Stand) -> Peer:
    """A session that has answered STARTTLS."""
    peer = stand.connect()
    assert OFFER in peer.say("EHLO client.example")
    assert peer.say("STARTTLS") == [READY]
    return peer


def secured(stand: Stand) -> Peer:
    """A session under TLS."""
    peer = starting(stand) if not stand.service.is_implicit else stand.connect()
    peer.session.secured(FakeStream)
    return peer


def test_starttls_is_offered_in_the_clear_and_never_under_tls() -> None:
    """RFC 3207 4.2."""
    peer = secured(Stand(tls=True))
    assert not any("STARTTLS" in line for line in peer.say("EHLO client.example"))
    assert peer.say("STARTTLS") == ["503 5.5.1 TLS is in use already"]


def test_starttls_is_not_offered_after_helo() -> None:
    assert Stand(tls=True).connect().say("HELO client.example") == ["250 mx.relay.example"]


def test_the_session_forgets_what_was_said_in_the_clear() -> None:
    """RFC 3207 4.2: the name given with EHLO does not count any more."""
    peer = secured(Stand(tls=True))
    assert peer.session.helo == b""
    assert peer.say("MAIL FROM:<a@b.example>") == ["503 5.5.1 Say HELO or EHLO first"]


@pytest.mark.parametrize(
    "behind", ["RSET", "EHLO evil.example", "MAIL FROM:<evil@evil.example>", "QUIT", "\x16\x03\x01"]
)
def test_what_stands_behind_starttls_in_the_same_buffer_ends_the_session(behind: str) -> None:
    """CVE-2011-0411: a man in the middle puts commands behind STARTTLS, to be obeyed under TLS as if the client had
    said them there."""
    stand = Stand(tls=True)
    peer = stand.connect()
    peer.say("EHLO client.example")
    said = peer.send(b"STARTTLS\r\n" + behind.encode("latin-1") + b"\r\n").decode()
    assert said == "554 5.5.1 Nothing may follow STARTTLS before TLS has begun\r\n"
    assert peer.session.is_over
    assert stand.tls.open == 0
    assert stand.context.buffered == 0


def test_what_comes_in_the_clear_after_the_reply_is_dropped() -> None:
    """The same in a buffer of its own: the transport takes it for TLS; the machine by itself hears nothing."""
    stand = Stand(tls=True)
    peer = starting(stand)
    assert peer.send(b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<anna@local.test>\r\n") == b""
    assert stand.context.buffered == 0
    peer.session.secured(FakeStream)
    assert peer.take() == b""
    assert peer.say("EHLO client.example")[0] == "250-mx.relay.example"
    assert peer.say("RCPT TO:<anna@local.test>") == ["503 5.5.1 Say MAIL first"]


def test_half_a_command_before_starttls_is_no_way_in() -> None:
    """However it is cut: only a whole STARTTLS line that ends the buffer begins TLS."""
    stand = Stand(tls=True)
    peer = stand.connect()
    peer.say("EHLO client.example")
    assert peer.send(b"STARTT") == b""
    assert b"554 5.5.1" in peer.send(b"LS\r\nNOOP\r\n")


def test_a_message_under_tls_says_so_everywhere() -> None:
    """RFC 3848: with ESMTPS. Version and cipher are in the field, the envelope and the log line."""
    stand = Stand(tls=True)
    assert secured(stand).transmit(MESSAGE).startswith("250 2.0.0 Ok")
    record = stand.spool.records[0]
    assert b"(Relay) with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id " in record.received
    assert record.envelope.client.protocol == "ESMTPS"
    assert record.envelope.client.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert stand.log.lines[-1]["tls"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"


def test_a_message_in_the_clear_does_not() -> None:
    stand = Stand(tls=True)
    assert stand.connect().transmit(MESSAGE).startswith("250 2.0.0 Ok")
    assert b"(Relay) with ESMTP id " in stand.spool.records[0].received
    assert "tls" not in stand.log.lines[-1]


def test_above_the_bound_starttls_is_for_later() -> None:
    """RFC 3207 4: 454. The session goes on in the clear."""
    stand = Stand(tls=True)
    stand.tls.has_room = False
    peer = stand.connect()
    peer.say("EHLO client.example")
    assert peer.say("STARTTLS") == ["454 4.7.0 Too many TLS handshakes at the moment, try again later"]
    assert peer.transmit(MESSAGE).startswith("250 2.0.0 Ok")


def test_a_handshake_has_one_deadline_from_its_beginning() -> None:
    stand = Stand(tls=True)
    peer = starting(stand)
    timeout = stand.config.tls.handshake_timeout
    stand.pass_time(timeout - 1)
    peer.send(b"\x16")
    assert not peer.session.is_over
    stand.pass_time(2)
    assert peer.session.is_over
    assert stand.tls.ended == ["timeout"]
    assert stand.tls.open == 0
    assert stand.count("relay_smtp_sessions_closed_total", "tls_failed") == 1
    assert peer.take() == b"", "nothing is said in the clear"


def test_after_the_handshake_the_deadlines_of_a_session_hold_again() -> None:
    stand = Stand(tls=True)
    peer = secured(stand)
    stand.pass_time(stand.config.tls.handshake_timeout + 5)
    assert not peer.session.is_over
    stand.pass_time(stand.config.smtp.command_timeout)
    assert peer.session.is_over


def test_a_handshake_that_fails_is_logged_with_its_reason() -> None:
    stand = Stand(tls=True)
    peer = starting(stand)
    peer.session.insecure("rejected", "tlsv1_alert_unknown_ca")
    assert stand.tls.ended == ["rejected"]
    [(level, event, fields)] = stand.log.events
    assert (level, event) == ("info", "tls handshake failed")
    assert (fields["client"], fields["reason"]) == ("192.0.2.1", "tlsv1_alert_unknown_ca")


@pytest.mark.parametrize("end", ["lost", "abort"])
@pytest.mark.parametrize("is_implicit", [False, True])
def test_a_connection_that_goes_in_the_handshake_is_counted_out(end: str, is_implicit: bool) -> None:
    stand = Stand(tls=True, is_implicit=is_implicit)
    peer = stand.connect() if is_implicit else starting(stand)
    assert stand.tls.open == 1
    getattr(peer.session, end)()
    peer.session.lost()
    assert stand.tls.ended == ["closed"]
    assert stand.tls.open == 0
    assert stand.context.open_sessions == 0
    assert len(stand.wheel) == 0


def test_a_drain_lets_a_handshake_finish_and_then_says_so() -> None:
    stand = Stand(tls=True)
    peer = starting(stand)
    drained: list[Any] = []
    stand.context.drain(lambda: drained.append(True))
    assert not peer.session.is_over
    peer.session.secured(FakeStream)
    assert peer.take() == b"421 4.3.2 Shutting down for maintenance, try again\r\n"
    assert peer.session.is_over


def test_a_drain_does_not_wait_long_for_a_handshake() -> None:
    """A scanner that never finishes one must not make a stop take as long as handshakes may."""
    stand = Stand(tls=True)
    peer = starting(stand)
    stand.context.drain(lambda: None)
    stand.pass_time(2)
    assert not peer.session.is_over
    stand.pass_time(2)
    assert peer.session.is_over
    assert stand.tls.ended == ["timeout"]


# ---- TLS from the first octet (RFC 8314) ----------------------------------------------------------------------------


def test_where_tls_begins_nothing_is_said_before() -> None:
    stand = Stand(tls=True, is_implicit=True)
    peer = stand.connect()
    assert peer.greeting == b""
    peer.session.secured(FakeStream)
    assert peer.take() == b"220 mx.relay.example ESMTP Relay\r\n"
    assert not any("STARTTLS" in line for line in peer.say("EHLO client.example"))
    assert peer.transmit(MESSAGE).startswith("250 2.0.0 Ok")
    assert b" with ESMTPS (" in stand.spool.records[0].received


def test_the_greeting_may_be_held_back_under_tls_as_well() -> None:
    stand = Stand(tls=True, is_implicit=True, banner_delay=3.0)
    peer = stand.connect()
    peer.session.secured(FakeStream)
    assert peer.take() == b""
    assert peer.send(b"EHLO client.example\r\n").startswith(b"554 5.5.1 ")


def test_a_client_that_waits_for_a_greeting_is_told_at_the_deadline() -> None:
    """It takes the line for the greeting and shows it to its user."""
    stand = Stand(tls=True, is_implicit=True)
    peer = stand.connect()
    stand.pass_time(stand.config.tls.handshake_timeout + 1)
    assert peer.take() == b"421 4.7.0 This port begins with TLS; STARTTLS is for the other ports\r\n"
    assert peer.session.is_over
    assert stand.tls.ended == ["timeout"]


def test_above_the_bound_a_connection_is_refused() -> None:
    stand = Stand(tls=True, is_implicit=True)
    stand.tls.has_room = False
    peer = stand.connect()
    assert peer.session.is_over
    assert stand.count("relay_smtp_connections_refused_total", "limit") == 1


def test_who_connects_while_we_drain_is_told_under_tls() -> None:
    stand = Stand(tls=True, is_implicit=True)
    peer = stand.connect()
    stand.context.drain(lambda: None)
    peer.session.secured(FakeStream)
    assert peer.take().startswith(b"421 4.3.2 ")


def test_the_session_is_counted_from_the_connection_on() -> None:
    stand = Stand(tls=True, is_implicit=True)
    peer = stand.connect()
    assert stand.count("relay_smtp_sessions_open", "mx") == 1
    peer.session.lost()
    stand.now += SECOND
    assert stand.count("relay_smtp_sessions_open", "mx") == 0
