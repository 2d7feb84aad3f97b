"""Limits and deadlines: every wait ends, and nothing that a peer does makes us grow (I5, I10). The clock is fake."""

import pytest

from tests.smtp.stand import MESSAGE, SECOND, Peer, Stand

MINUTE = 60


# ---- connections ----------------------------------------------------------------------------------------------------


def test_connections_above_the_limit_are_greeted_with_421() -> None:
    stand = Stand(max_connections=2)
    peers = [stand.connect(f"192.0.2.{number}") for number in range(3)]
    assert [peer.greeting[:9] for peer in peers] == [b"220 mx.re", b"220 mx.re", b"421 4.3.2"]
    assert peers[2].session.is_over
    peers[2].session.lost()
    peers[0].session.lost()
    assert stand.connect("192.0.2.9").greeting.startswith(b"220 ")


def test_each_worker_has_its_share_of_the_connections() -> None:
    stand = Stand(max_connections=5, smtp_workers=2)
    greetings = [stand.connect(f"192.0.2.{number}").greeting[:3] for number in range(4)]
    assert greetings == [b"220", b"220", b"220", b"421"]


@pytest.mark.parametrize(
    ("addresses", "other"),
    [
        (["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
        (["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:f::"], "2001:db8:0:2::1"),
    ],
)
def test_connections_of_one_client_are_limited(addresses: list[str], other: str) -> None:
    """An IPv6 host has a /64 to choose from."""
    stand = Stand(max_connections_per_client=2)
    peers = [stand.connect(address) for address in addresses]
    assert peers[2].greeting.startswith(b"421 4.7.0 ")
    assert stand.connect(other).greeting.startswith(b"220 ")
    peers[0].session.lost()
    peers[2].session.lost()
    assert stand.connect(addresses[2]).greeting.startswith(b"220 ")


def test_a_refused_connection_is_not_listened_to() -> None:
    stand = Stand(max_connections=1)
    stand.connect("192.0.2.1")
    refused = stand.connect("192.0.2.2")
    assert refused.say("EHLO client.example", "NOOP") == []
    assert stand.count("relay_smtp_connections_refused_total", "limit") == 1
    assert stand.count("relay_smtp_sessions_closed_total", "refused") == 1


# ---- commands and errors --------------------------------------------------------------------------------------------


def test_an_accepted_message_forgives_earlier_errors() -> None:
    stand = Stand(early_talk="everybody", max_errors=3)
    peer = stand.connect().hello()
    for _ in range(5):
        assert peer.say("XYZZY", "XYZZY")[-1].startswith("500 ")
        replies = peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "DATA", "x", ".")
        assert replies[-1].startswith("250 2.0.0 ")


def test_a_hundred_thousand_recipients_meet_their_bound() -> None:
    stand = Stand(max_recipients=1000)
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<a@b.example>")
    octets = b"".join(b"RCPT TO:<user%d@relay.test>\r\n" % number for number in range(100_000))
    out = b"".join(peer.send(octets[at : at + 60_000]) for at in range(0, len(octets), 60_000))
    codes = [line[:3] for line in out.splitlines()]
    assert codes == [b"250"] * 1000 + [b"452"] * (1000 + stand.config.smtp.max_errors) + [b"421"]
    assert stand.context.buffered == 0


def test_unknown_recipients_count_as_errors() -> None:
    """Or one session could try all names."""
    stand = Stand(max_errors=5)
    peer = stand.connect().hello()
    out = peer.say("MAIL FROM:<a@b.example>", *(f"RCPT TO:<guess{number}@local.test>" for number in range(9)))
    assert [line[:3] for line in out] == ["250"] + ["550"] * 5 + ["421"]


def test_an_endless_line_is_answered_and_then_ended() -> None:
    stand = Stand()
    peer = stand.connect()
    out = b"".join(peer.send(b"A" * 1000) for _ in range(100))
    assert out == b"500 5.5.2 Line too long\r\n421 4.7.0 Too many errors in one session\r\n"
    assert stand.context.buffered == 0


def test_an_overlong_line_that_ends_is_skipped_without_being_held() -> None:
    stand = Stand()
    peer = stand.connect()
    out = b"".join(peer.send(b"A" * 1000) for _ in range(60))
    assert stand.context.buffered == 0
    assert out + peer.send(b"\r") + peer.send(b"\nNOOP\r\n") == b"500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n"


# ---- time -----------------------------------------------------------------------------------------------------------


def test_a_silent_peer_is_told_421_and_let_go() -> None:
    """RFC 5321 4.5.3.2.7: at least five minutes."""
    stand = Stand()
    peer = stand.connect()
    stand.pass_time(5 * MINUTE - 1)
    assert not peer.session.is_over
    stand.pass_time(2)
    assert peer.take() == b"421 4.4.2 Timeout waiting for a command\r\n"
    assert peer.session.is_over
    assert stand.count("relay_smtp_sessions_closed_total", "command_timeout") == 1


def test_each_command_gives_time_for_the_next() -> None:
    stand = Stand()
    peer = stand.connect()
    for _ in range(10):
        stand.pass_time(4 * MINUTE)
        assert peer.say("NOOP") == ["250 2.0.0 Ok"]
    stand.pass_time(5 * MINUTE + 1)
    assert peer.session.is_over


def test_half_a_command_gives_no_more_time() -> None:
    stand = Stand()
    peer = stand.connect()
    for _ in range(6):
        stand.pass_time(50)
        peer.send(b"N")
    stand.pass_time(10)
    assert peer.session.is_over


def test_a_peer_that_does_not_take_its_last_reply_is_cut_off() -> None:
    stand = Stand()
    peer = stand.connect()
    stand.pass_time(5 * MINUTE + 1)
    assert peer.session.is_over
    assert stand.context.open_sessions == 1
    stand.pass_time(11)
    assert stand.context.open_sessions == 0
    assert len(stand.wheel) == 0


def test_content_that_stops_is_timed_out() -> None:
    """RFC 5321 4.5.3.2.5: three minutes."""
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.send(b"x" * 100_000)
    stand.pass_time(3 * MINUTE - 1)
    assert not peer.session.is_over
    stand.pass_time(2)
    assert peer.take() == b"421 4.4.2 Timeout waiting for more content\r\n"
    assert stand.context.buffered == 0
    line = stand.log.lines[-1]
    assert (line["result"], line["stage"], line["reason"]) == ("aborted", "content", "content_timeout")


def test_content_may_be_slow_only_for_a_while() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    for _ in range(30):
        stand.pass_time(1)
        assert peer.send(b"slow") == b""
    stand.pass_time(1)
    assert peer.send(b"slow").startswith(b"421 4.4.2 Content arrives too slowly")
    assert stand.count("relay_smtp_sessions_closed_total", "slow") == 1


def test_content_at_the_minimum_rate_may_take_its_time() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    for _ in range(2 * 3600):
        stand.pass_time(1)
        assert peer.send(b"y" * 99 + b"\r\n") == b""
    assert peer.send(b".\r\n").endswith(b"\r\n")


def test_a_session_ends_after_its_time_but_not_inside_a_transaction() -> None:
    stand = Stand(early_talk="everybody")
    peer = stand.connect().begin()
    for _ in range(20):
        stand.pass_time(4 * MINUTE)
        assert peer.say("NOOP") == ["250 2.0.0 Ok"]
    replies = peer.say("DATA", "x", ".", "NOOP")
    assert [reply[:9] for reply in replies] == ["354 End d", "250 2.0.0", "421 4.4.2"]
    assert replies[2] == "421 4.4.2 Session has lasted too long"


def test_a_transaction_is_no_way_to_stay_for_ever() -> None:
    """I10."""
    stand = Stand()
    peer = stand.connect().begin()
    for _ in range(29):
        stand.pass_time(4 * MINUTE)
        assert peer.say("NOOP") == ["250 2.0.0 Ok"]
    stand.pass_time(4 * MINUTE)
    assert peer.say("NOOP") == ["250 2.0.0 Ok", "421 4.4.2 Session has lasted too long"]


def test_an_idle_session_ends_after_its_time() -> None:
    stand = Stand(session_timeout=600.0)
    peer = stand.connect()
    for _ in range(9):
        stand.pass_time(MINUTE)
        peer.say("NOOP")
    stand.pass_time(MINUTE + 1)
    assert peer.take() == b"421 4.4.2 Session has lasted too long\r\n"


def test_the_wait_for_the_spool_is_not_held_against_the_peer() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.session.receive(MESSAGE + b".\r\n", stand.now)
    stand.pass_time(20 * MINUTE)
    assert not peer.session.is_over
    stand.spool.sync()
    assert peer.take().startswith(b"250 ")
    stand.pass_time(4 * MINUTE)
    assert not peer.session.is_over
    stand.pass_time(2 * MINUTE)
    assert peer.session.is_over


def test_a_timer_moves_without_being_touched() -> None:
    stand = Stand()
    peer = stand.connect()
    before = peer.session.deadline
    stand.now += 60 * SECOND
    peer.say("NOOP")
    assert peer.session.deadline == before + 60 * SECOND
    assert len(stand.wheel) == 1


# ---- the greeting ---------------------------------------------------------------------------------------------------


def test_who_speaks_before_a_delayed_greeting_is_refused() -> None:
    stand = Stand(banner_delay=2.0)
    peer = stand.connect()
    assert peer.greeting == b""
    assert peer.say("EHLO client.example") == ["554 5.5.1 You spoke before the greeting"]
    assert peer.session.is_over
    assert stand.log.lines[-1]["stage"] == "connect"


def test_who_waits_for_a_delayed_greeting_gets_it() -> None:
    stand = Stand(banner_delay=2.0)
    peer = stand.connect()
    stand.pass_time(1)
    assert peer.take() == b""
    stand.pass_time(1.5)
    assert peer.take().startswith(b"220 ")
    peer.hello()
    stand.pass_time(4 * MINUTE)
    assert not peer.session.is_over


# ---- drain ----------------------------------------------------------------------------------------------------------


def test_drain_ends_sessions_between_transactions_at_once() -> None:
    stand = Stand()
    fresh, greeted = stand.connect(), stand.connect().hello()
    left: list[bool] = []
    stand.context.drain(lambda: left.append(True))
    for peer in (fresh, greeted):
        assert peer.take() == b"421 4.3.2 Shutting down for maintenance, try again\r\n"
        assert peer.session.is_over
        assert not left
        peer.session.lost()
    assert left == [True]


def test_drain_lets_transactions_finish() -> None:
    stand = Stand(early_talk="everybody")
    talking, waiting = stand.connect().begin(), stand.connect().begin()
    waiting.say("DATA")
    waiting.session.receive(MESSAGE + b".\r\n", stand.now)
    stand.context.drain(lambda: None)
    assert talking.take() == waiting.take() == b""
    assert talking.say("RCPT TO:<bert@local.test>") == ["250 2.1.5 Recipient ok"]
    stand.spool.sync()
    assert [line[:9] for line in waiting.take().splitlines()] == [b"250 2.0.0", b"421 4.3.2"]
    replies = talking.say("DATA", "x", ".", "MAIL FROM:<late@b.example>")
    assert [line[:9] for line in replies] == ["354 End d", "250 2.0.0", "421 4.3.2"]


@pytest.mark.parametrize("command", ["RSET", "EHLO again.example"])
def test_drain_ends_a_session_whose_transaction_is_given_up(command: str) -> None:
    stand = Stand(early_talk="everybody")
    peer = stand.connect().begin()
    stand.context.drain(lambda: None)
    assert peer.say(command, "NOOP")[-1].startswith("421 4.3.2 ")


def test_connections_during_drain_are_refused() -> None:
    stand = Stand()
    first = stand.connect().begin()
    stand.context.drain(lambda: None)
    assert stand.connect().greeting.startswith(b"421 4.3.2 ")
    assert not first.session.is_over


def test_drain_of_an_empty_worker_is_done_at_once() -> None:
    left: list[bool] = []
    Stand().context.drain(lambda: left.append(True))
    assert left == [True]


def test_abort_ends_everything() -> None:
    stand = Stand()
    peers = [stand.connect(), stand.connect().begin()]
    stand.context.abort()
    assert all(peer.session.is_over for peer in peers)
    assert stand.context.open_sessions == 0
    assert stand.log.lines[-1]["result"] == "aborted"


# ---- input and output -----------------------------------------------------------------------------------------------


def waiting_peer(stand: Stand) -> Peer:
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.session.receive(MESSAGE + b".\r\n", stand.now)
    return peer


def test_commands_are_obeyed_during_a_sync_and_answered_after_it() -> None:
    stand = Stand()
    peer = waiting_peer(stand)
    assert peer.session.receive(b"NOOP\r\n" * 50, stand.now) == b""
    assert peer.session.wants_input
    assert stand.count("relay_smtp_commands_total", "NOOP") == 50
    assert stand.context.buffered < 200
    stand.spool.sync()
    assert peer.take().count(b"250 2.0.0 Ok") == 51


def test_reading_stops_when_a_peer_sends_on_and_on_during_a_sync() -> None:
    stand = Stand()
    peer = waiting_peer(stand)
    assert peer.session.receive(b"NOOP\r\n" * 10_000, stand.now) == b""
    assert not peer.session.wants_input
    assert stand.context.buffered >= 6000
    stand.spool.sync()
    assert peer.take().count(b"\r\n") == 10_001
    assert peer.session.wants_input
    assert stand.context.buffered == 0
