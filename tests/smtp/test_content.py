"""What is stored of a content, what is added, what is refused, and where it is kept meanwhile."""

import email
import email.utils
import re

import pytest

from relay.mail import envelope as flags
from relay.mail.envelope import Client, Envelope
from relay.mail.queue_id import QueueIds, encode, is_queue_id
from relay.smtp._context import rfc5322_date
from relay.spool import SpoolError
from tests.smtp.stand import MESSAGE, WALL, Peer, Stand

KIB = 1024


def sent(stand: Stand, content: bytes, *recipients: str) -> bytes:
    """Transmits ``content`` as it is after the dots are removed; what was stored."""
    reply = stand.connect().transmit(content, *recipients)
    assert reply.startswith("250 2.0.0 "), reply
    stored = stand.spool.records[-1].content
    assert isinstance(stored, bytes)
    return stored


# ---- what is added --------------------------------------------------------------------------------------------------


def test_the_received_field_says_from_whom_by_whom_how_for_whom_and_when() -> None:
    """RFC 5321 4.4."""
    stand = Stand()
    stored = sent(stand, MESSAGE)
    queue_id = stand.spool.records[0].envelope.queue_id
    assert stored == (
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mx.relay.example (Relay) with ESMTP id " + queue_id.encode() + b"\r\n"
        b"\tfor <anna@local.test>;\r\n"
        b"\tWed, 18 Nov 2026 11:06:40 +0000\r\n" + MESSAGE
    )


def test_the_for_clause_is_left_out_for_several_recipients() -> None:
    """RFC 5321 7.6: it would tell each of the others."""
    stored = sent(Stand(), MESSAGE, "anna@local.test", "bert@local.test")
    assert b"anna@" not in stored.removesuffix(MESSAGE)
    assert stored.splitlines()[1].endswith(b";")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.1", b"([192.0.2.1])"),
        ("2001:db8::25", b"([IPv6:2001:db8::25])"),
        ("::ffff:192.0.2.9", b"([192.0.2.9])"),
        ("fe80::1%eth0", b"([IPv6:fe80::1])"),
    ],
)
def test_the_received_field_shows_the_address_as_a_literal(address: str, shown: bytes) -> None:
    """RFC 5321 4.1.3."""
    stand = Stand()
    stand.connect(address).transmit(MESSAGE)
    assert shown in stand.spool.records[0].received.splitlines()[0]


@pytest.mark.parametrize(
    ("hello", "parameters", "protocol"),
    [
        ("HELO client.example", "", "SMTP"),
        ("EHLO client.example", "", "ESMTP"),
        ("EHLO client.example", " SMTPUTF8", "UTF8SMTP"),
    ],
)
def test_the_with_keyword_names_the_protocol(hello: str, parameters: str, protocol: str) -> None:
    """RFC 3848, RFC 6531 4.3."""
    stand = Stand(early_talk="everybody")
    peer = stand.connect()
    peer.say(hello, f"MAIL FROM:<a@b.example>{parameters}", "RCPT TO:<anna@local.test>", "DATA", "Subject: x", "", ".")
    record = stand.spool.records[0]
    assert f"with {protocol} id ".encode() in record.received
    assert record.envelope.client.protocol == protocol


def test_date_and_message_id_are_added_to_submissions_that_lack_them() -> None:
    """RFC 6409 8.1, 8.2."""
    stand = Stand(kind="submission", trusted_networks=("192.0.2.0/24",))
    stored = email.message_from_bytes(sent(stand, MESSAGE))
    assert stored["Message-ID"] == f"<{stand.spool.records[0].envelope.queue_id}@mx.relay.example>"
    assert stored["Date"] == "Wed, 18 Nov 2026 11:06:40 +0000"


def test_date_and_message_id_of_a_submission_are_kept() -> None:
    stand = Stand(kind="submission", trusted_networks=("192.0.2.0/24",))
    content = b"date: today\r\nMESSAGE-ID: <1@x>\r\n" + MESSAGE
    assert sent(stand, content).endswith(b"+0000\r\n" + content)
    assert stand.spool.records[0].received.count(b"\r\n") == 4


def test_nothing_but_received_is_added_to_mail_from_others() -> None:
    assert sent(Stand(), b"Subject: x\r\n\r\n").count(b"\r\n") == 6


@pytest.mark.parametrize("body", [b"Hello, no header here.\r\n", b"", b"..dot first\r\n", b" folded\r\n"])
def test_a_content_without_header_section_stays_a_body(body: bytes) -> None:
    """RFC 5322 2.1: without the empty line its first line would become part of our header section."""
    stand = Stand()
    parsed = email.message_from_bytes(sent(stand, body))
    assert parsed.keys() == ["Received"]
    assert parsed.get_payload() == body.replace(b"..", b".").decode()


def test_a_content_that_begins_with_the_empty_line_is_left_as_it_is() -> None:
    stored = sent(Stand(), b"\r\nbody\r\n")
    assert stored.endswith(b"+0000\r\n\r\nbody\r\n")


def test_date_is_written_as_the_library_writes_it() -> None:
    for day in range(0, 60_000, 13):
        second = day * 86_400 + day % 86_400
        assert rfc5322_date(second).decode() == email.utils.formatdate(second).replace("-0000", "+0000")
    assert rfc5322_date(951_782_399).decode() == "Mon, 28 Feb 2000 23:59:59 +0000"
    assert rfc5322_date(951_782_400).decode() == "Tue, 29 Feb 2000 00:00:00 +0000"


# ---- the envelope ---------------------------------------------------------------------------------------------------


def test_the_record_holds_the_envelope() -> None:
    stand = Stand()
    stand.connect().transmit(MESSAGE)
    record = stand.spool.records[0]
    assert record.envelope == Envelope(
        queue_id=record.envelope.queue_id,
        received_at=WALL,
        reverse_path=b"sender@elsewhere.example",
        recipients=(b"anna@local.test",),
        flags=0,
        size=len(record.content),
        session_id=record.envelope.session_id,
        client=Client("192.0.2.1", "client.example", "ESMTP", "", "", "mx"),
        carried=None,
    )


def test_addresses_keep_their_local_part_and_have_the_domain_in_lower_case() -> None:
    """RFC 5321 2.4."""
    stand = Stand(early_talk="everybody")
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<@x.example:Some.One@ELSEWHERE.Example>", 'RCPT TO:<"Anna"@LOCAL.test>', "DATA", "x", ".")
    envelope = stand.spool.records[0].envelope
    assert envelope.reverse_path == b"Some.One@elsewhere.example"
    assert envelope.recipients == (b"Anna@local.test",)


def test_a_recipient_given_twice_is_kept_once() -> None:
    stand = Stand()
    stand.connect().transmit(MESSAGE, "anna@local.test", "bert@local.test", "anna@LOCAL.TEST")
    assert stand.spool.records[0].envelope.recipients == (b"anna@local.test", b"bert@local.test")


def test_postmaster_is_delivered_to_the_configured_address() -> None:
    """RFC 5321 4.5.1."""
    stand = Stand()
    stand.connect().transmit(MESSAGE, "Postmaster")
    assert stand.spool.records[0].envelope.recipients == (b"anna@local.test",)


@pytest.mark.parametrize(
    ("parameters", "content", "expected"),
    [
        ("", b"plain\r\n", 0),
        ("", b"\xe4\r\n", flags.BODY_8BIT),
        (" BODY=8BITMIME", b"plain\r\n", 0),
        (" BODY=8BITMIME", b"\xe4\r\n", flags.BODY_8BIT),
        (" SMTPUTF8", b"plain\r\n", flags.SMTPUTF8),
        ("", b"x\r\n..\r\n", flags.DOTS),
        ("", b"x\r\n.y\r\n", 0),
        ("", b"..x\r\n", flags.DOTS),
    ],
)
def test_flags_say_what_the_next_hop_must_know(parameters: str, content: bytes, expected: int) -> None:
    stand = Stand()
    peer = stand.connect().hello()
    peer.say(f"MAIL FROM:<a@b.example>{parameters}", "RCPT TO:<anna@local.test>", "DATA")
    peer.send(content + b".\r\n")
    assert stand.spool.records[0].envelope.flags == expected


def test_ids_are_those_that_queue_ids_would_make() -> None:
    stand = Stand()
    ids = QueueIds(stand.spool.number)
    peers = [stand.connect(port=number) for number in range(5000)]
    assert [peer.session.session_id for peer in peers[:4096]] == [ids.next(WALL) for _ in range(4096)]
    assert len({peer.session.session_id for peer in peers}) == 5000
    assert all(is_queue_id(peer.session.session_id) for peer in peers)
    assert peers[4096].session.session_id == ids.next(WALL) == encode(((WALL // 1000 + 1) << 22) | (7 << 12))


# ---- dots and buffers -----------------------------------------------------------------------------------------------


def test_stuffed_dots_are_removed_however_the_content_is_cut() -> None:
    """RFC 5321 4.5.2."""
    as_sent = b"Subject: x\r\n\r\n..\r\n...\r\n.\r\r\n".replace(b"\r\r", b"x\r") + b"text\r\n..end\r\n.\r\n"
    plain = b"Subject: x\r\n\r\n.\r\n..\r\nx\r\ntext\r\n.end\r\n"
    for cut in range(1, len(as_sent)):
        stand = Stand()
        peer = stand.connect().begin()
        peer.say("DATA")
        assert peer.send(as_sent[:cut]) + peer.send(as_sent[cut:])
        assert stand.spool.records[0].content.endswith(b"+0000\r\n" + plain)


def test_octets_that_come_one_by_one_are_not_kept_one_by_one() -> None:
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    for _ in range(10_000):
        assert peer.send(b"x") == b""
    assert peer.send(b"\r\n.\r\n").startswith(b"250 ")
    assert stand.spool.records[0].content.endswith(b"x" * 10_000 + b"\r\n")
    assert stand.context.buffered == 0


# ---- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dots", "limit"), [(0, 2000), (100, 2000), (500, 2000)])
def test_the_limit_counts_the_content_without_stuffed_dots(dots: int, limit: int) -> None:
    """RFC 1870 5."""
    for excess in (0, 1):
        content = b".\r\n" * dots
        content += b"x" * (limit + excess - len(content) - 2) + b"\r\n"
        stuffed = re.sub(rb"(?m)^\.", b"..", content)
        assert len(content) == limit + excess
        for step in (100_000, 700, 1):
            stand = Stand(max_message_size=limit)
            peer = stand.connect().begin()
            peer.say("DATA")
            octets = stuffed + b".\r\n"
            out = b"".join(peer.send(octets[at : at + step]) for at in range(0, len(octets), step))
            assert out.startswith(b"552 5.3.4 " if excess else b"250 2.0.0 ")


def test_a_content_above_the_limit_is_not_kept_while_it_comes_in() -> None:
    stand = Stand(max_message_size=1 << 20)
    peer = stand.connect().begin()
    peer.say("DATA")
    for _ in range(40):
        assert peer.send(b"y" * 62 * KIB + b"\r\n") == b""
        assert stand.context.buffered <= 1.4 * (1 << 20) + 64 * KIB
    assert stand.context.buffered == 0


def test_a_content_that_does_not_end_is_cut_off() -> None:
    stand = Stand(max_message_size=1 << 20)
    peer = stand.connect().begin()
    peer.say("DATA")
    out = b""
    for _ in range(80):
        out += peer.send(b"y" * 62 * KIB + b"\r\n")
    assert out == b"552 5.3.4 Message is larger than this server accepts\r\n"
    assert peer.session.is_over


# ---- spool ----------------------------------------------------------------------------------------------------------


def test_nobody_is_told_250_before_the_sync() -> None:
    """I1."""
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    assert peer.session.receive(MESSAGE + b".\r\nNOOP\r\n", stand.now) == b""
    assert peer.session.receive(b"QUIT\r\n", stand.now) == b""
    stand.spool.sync()
    replies = peer.take().splitlines()
    assert [reply[:3] for reply in replies] == [b"250", b"250", b"221"]
    assert replies[0].startswith(b"250 2.0.0 Ok: queued as ")


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (SpoolError("sync: /var/spool: Input/output error"), b"451 4.3.0 "),
        (SpoolError("no space", is_full=True), b"452 4.3.1 "),
        (RuntimeError("anything"), b"451 4.3.0 "),
    ],
)
@pytest.mark.parametrize("raises", [False, True])
def test_a_spool_failure_is_answered_45x_without_telling_why(error: Exception, reply: bytes, raises: bool) -> None:
    """I1, I8."""
    stand = Stand()
    if raises:
        stand.spool.raises = error
    else:
        stand.spool.error = error
    peer = stand.connect().begin()
    peer.say("DATA")
    out = peer.send(MESSAGE + b".\r\nNOOP\r\n")
    assert out.startswith(reply)
    assert out.endswith(b"\r\n250 2.0.0 Ok\r\n")
    assert b"/var" not in out
    assert str(error) in stand.log.events[0][2]["cause"]
    assert stand.context.buffered == 0
    assert stand.log.lines[-1]["result"] == "deferred"


def test_no_mail_is_taken_while_the_disk_is_low() -> None:
    """I9."""
    stand = Stand()
    stand.spool.room = False
    peer = stand.connect().hello()
    assert peer.say("MAIL FROM:<a@b.example>")[0].startswith("452 4.3.1 ")
    stand.spool.room = True
    assert peer.say("MAIL FROM:<a@b.example>")[0].startswith("250 ")


def test_a_message_whose_peer_vanished_during_the_sync_is_still_accounted_for() -> None:
    """I2: it is on disk, and will be delivered."""
    stand = Stand()
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.session.receive(MESSAGE + b".\r\n", stand.now)
    peer.session.lost()
    assert stand.context.open_sessions == 1
    stand.spool.sync()
    assert stand.context.open_sessions == 0
    assert stand.context.buffered == 0
    assert stand.log.lines[-1]["result"] == "accepted"


@pytest.mark.parametrize("tail", [1, 2, 3, 4, 5000])
@pytest.mark.parametrize("first", [40, 5000, 70_000])
def test_a_long_content_reaches_the_spool_as_it_came_wherever_its_pieces_end(first: int, tail: int) -> None:
    """The end of data may be spread over the last pieces, the header section over the first."""
    stand = Stand()
    octets = b"Subject: long\r\nTo: <x@y.example>\r\n\r\n" + b"z" * 900 + b"\r\n" + (b"line\r\n" * 30_000)
    wire = octets + b".\r\n"
    peer = stand.connect().begin()
    peer.say("DATA")
    assert peer.send(wire[:first]) == b""
    peer.send(wire[first:-tail])
    assert peer.send(wire[-tail:]).startswith(b"250 2.0.0 ")
    record = stand.spool.records[0]
    assert record.large is None
    assert record.content == record.received + octets
    assert record.envelope.size == len(record.content)
    assert stand.context.buffered == 0


def test_half_of_its_budget_is_for_contents_that_are_not_small() -> None:
    """I5: many peers with contents below smtp.large_content do not fill a worker's memory."""
    stand = Stand(memory_budget=16 << 20)
    peers = crowd(stand, 50, large_content(900 * KIB))
    assert stand.context.buffered <= (8 << 20) + 50 * 2 * KIB + 900 * KIB
    assert 40 <= len(stand.spool.larges) < 50
    for peer in peers:
        assert peer.send(b".\r\n").startswith(b"250 2.0.0 ")
    assert stand.context.buffered == 0


# ---- large contents -------------------------------------------------------------------------------------------------


def large_content(size: int) -> bytes:
    lines = [b"Subject: large\r\n", b"\r\n"]
    while sum(map(len, lines)) < size:
        lines.append(b"..stuffed\r\n" if len(lines) % 50 == 0 else b"z" * 2000 + b"\r\n")
    return b"".join(lines)


def unstuffed(content: bytes) -> bytes:
    return re.sub(rb"(?m)^\.\.", b".", content)


@pytest.mark.parametrize("step", [1 << 20, 60 * KIB, 4099])
def test_a_large_content_goes_to_a_file_while_it_arrives(step: int) -> None:
    stand = Stand(large_content=64 * KIB)
    peer = stand.connect().begin()
    peer.say("DATA")
    octets = large_content(500 * KIB) + b".\r\n"
    out = b""
    for at in range(0, len(octets), step):
        out = peer.send(octets[at : at + step])
        if at + step < len(octets) and at > 128 * KIB:
            assert stand.context.buffered < KIB
    assert out.startswith(b"250 2.0.0 ")
    record = stand.spool.records[0]
    assert record.large is not None
    assert record.large.queue_id == record.envelope.queue_id
    assert bytes(record.parts[1] + record.large.octets) == unstuffed(octets[:-3])
    assert record.content == record.received + unstuffed(octets[:-3])
    assert record.envelope.size == len(record.content)
    assert record.envelope.flags == flags.LARGE | flags.DOTS
    assert stand.context.buffered == 0


@pytest.mark.parametrize("step", [1, 2, 3, 7, 4099])
def test_dots_that_begin_late_in_a_file_are_unstuffed_wherever_the_buffers_end(step: int) -> None:
    """RFC 5321 4.5.2. Buffers go to the file as they are until the first line that begins with a dot."""
    stand = Stand(large_content=64 * KIB)
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.send(b"Subject: large\r\n\r\n" + b"z" * 900 + b"\r\n" + b"line\r\n" * 12_000)
    assert len(stand.spool.larges) == 1
    late = b"none\r\n..one\r\n\r\nnone.\r\n...\r\n..\r\n.x\r\nlast\r\n"
    wire = late + b".\r\n"
    out = b"".join(peer.send(wire[at : at + step]) for at in range(0, len(wire), step))
    assert out.startswith(b"250 2.0.0 ")
    large = stand.spool.records[0].large
    assert large is not None
    assert bytes(large.octets).endswith(b"line\r\n" + b"none\r\n.one\r\n\r\nnone.\r\n..\r\n.\r\nx\r\nlast\r\n")


def test_a_large_submission_gets_its_missing_fields_too() -> None:
    stand = Stand(kind="submission", trusted_networks=("192.0.2.0/24",), large_content=64 * KIB)
    stand.connect().transmit(large_content(100 * KIB))
    record = stand.spool.records[0]
    assert record.large
    header = b"".join(record.parts)
    assert b"Message-ID: <" in header
    assert b"Date: " in header


def test_a_large_content_in_a_loop_is_refused() -> None:
    stand = Stand(large_content=64 * KIB, max_hops=3)
    content = b"Received: x\r\n" * 4 + large_content(100 * KIB)
    assert stand.connect().transmit(content).startswith("554 5.4.6 ")
    assert stand.spool.larges[0].state == "aborted"


def test_a_header_section_as_large_as_a_large_content_is_refused() -> None:
    stand = Stand(large_content=64 * KIB)
    content = b"X-Field: " + b"y" * 100 + b"\r\n"
    assert stand.connect().transmit(content * 800).startswith("552 5.3.4 Header section")
    assert stand.spool.larges == []


def test_a_large_content_that_is_broken_or_too_large_leaves_no_file() -> None:
    for tail, reply in ((b"bare\nLF\r\n", "554 5.6.0 "), (b"x" * 998 + b"\r\n", "552 5.3.4 ")):
        stand = Stand(large_content=64 * KIB, max_message_size=200 * KIB)
        content = large_content(150 * KIB) + tail * (100 if b"x" in tail else 1)
        peer = stand.connect().begin()
        peer.say("DATA")
        peer.send(content[: 100 * KIB])
        assert len(stand.spool.larges) == 1
        assert peer.send(content[100 * KIB :] + b".\r\n").decode().startswith(reply)
        assert stand.spool.larges[0].state == "aborted"
        assert stand.context.buffered == 0


def test_reading_stops_while_the_file_cannot_keep_up() -> None:
    stand = Stand(large_content=64 * KIB)
    stand.spool.is_behind = True
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.send(large_content(100 * KIB))
    assert not peer.session.wants_input
    stand.spool.is_behind = False
    stand.spool.larges[0].on_drained()
    assert peer.session.wants_input


def test_reading_goes_on_when_the_file_that_was_behind_is_given_up() -> None:
    stand = Stand(large_content=64 * KIB)
    stand.spool.is_behind = True
    peer = stand.connect().begin()
    peer.say("DATA")
    peer.send(large_content(100 * KIB))
    assert not peer.session.wants_input
    peer.send(b"bare\nLF")
    assert peer.session.wants_input


def test_a_file_that_cannot_be_opened_or_published_is_a_spool_failure() -> None:
    for attribute in ("raises", "error"):
        stand = Stand(large_content=64 * KIB)
        peer = stand.connect().begin()
        peer.say("DATA")
        setattr(stand.spool, attribute, SpoolError("broken"))
        assert peer.send(large_content(100 * KIB) + b".\r\n").startswith(b"451 4.3.0 ")
        assert not stand.spool.records
        assert stand.context.buffered == 0


def test_the_file_of_a_vanished_peer_is_removed() -> None:
    stand = Stand(large_content=64 * KIB)
    for ending in (b"", b".\r\n"):
        peer = stand.connect().begin()
        peer.say("DATA")
        peer.session.receive(large_content(100 * KIB) + ending, stand.now)
        peer.session.lost()
        stand.spool.sync()
        assert stand.spool.larges[-1].state == "aborted"
        assert stand.context.open_sessions == 0
    assert not stand.spool.records


# ---- the worker's memory --------------------------------------------------------------------------------------------


def crowd(stand: Stand, count: int, octets: bytes) -> list[Peer]:
    peers = []
    for number in range(count):
        peer = stand.connect(f"192.0.2.{number}").begin()
        peer.say("DATA")
        peer.send(octets)
        peers.append(peer)
    return peers


def test_above_its_budget_a_worker_keeps_contents_in_files_and_defers_new_mail() -> None:
    """I5."""
    stand = Stand(memory_budget=16 << 20)
    crowd(stand, 19, b"Subject: x\r\n" + b"no end of header: " + b"y" * 830 * KIB)
    crowd(stand, 3, large_content(200 * KIB))
    assert stand.spool.larges == []
    crowd(stand, 2, large_content(900 * KIB))
    assert len(stand.spool.larges) == 2
    assert stand.context.buffered <= 17 << 20
    late = stand.connect("198.51.100.1").begin()
    late.say("DATA")
    idle = stand.connect("198.51.100.2").hello()
    crowded = crowd(stand, 1, b"Subject: x\r\n" + b"no end of header: " + b"y" * 900 * KIB)
    assert stand.context.buffered > 16 << 20
    assert idle.say("MAIL FROM:<a@b.example>")[0].startswith("452 4.3.1 ")
    assert stand.connect("198.51.100.3").greeting.startswith(b"421 4.3.1 ")
    assert stand.count("relay_smtp_connections_refused_total", "memory") == 1
    assert late.send(MESSAGE + b".\r\n").startswith(b"250 "), "small contents still fit in"
    crowded[0].session.lost()
    assert stand.connect("198.51.100.3").greeting.startswith(b"220 ")


def test_far_above_its_budget_a_worker_gives_contents_up() -> None:
    """I5: contents whose header section does not end cannot go to a file."""
    stand = Stand(memory_budget=16 << 20)
    endless = b"Subject: " + b"y" * 1000 * KIB
    peers = [stand.connect(f"192.0.2.{number}").begin() for number in range(30)]
    for peer in peers:
        peer.say("DATA")
    for peer in peers:
        peer.send(endless)
        assert stand.context.buffered < (20 << 20) + (1 << 20)
    assert peers[-1].send(b"\r\n\r\n.\r\n").startswith(b"452 4.3.1 ")
