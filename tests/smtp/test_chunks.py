"""BDAT (RFC 3030), and transactions that follow each other without waiting for the sync of those before."""

from typing import Any

import pytest

from relay.mail import envelope as flags
from tests.smtp.stand import Peer, Stand, tell, without_ids

CONTENT = b"Subject: x\r\n\r\n.one line of dots\r\n..two\r\n.\r\nend\r\n"
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@local.test>\r\n"


def bdat(content: bytes, last: bytes = b" LAST") -> bytes:
    return b"BDAT %d%b\r\n%b" % (len(content), last, content)


def stored(stand: Stand) -> list[bytes]:
    return [record.content[len(record.received) :] for record in stand.spool.records]


def codes(said: bytes) -> list[int]:
    return [int(line[:3]) for line in said.splitlines()]


# ---- chunks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[48], [10, 38], [1, 1, 46], [48, 0], [0, 48], [13, 1, 1, 33]])
def test_chunks_make_the_content_as_it_is(sizes: list[int]) -> None:
    assert len(CONTENT) == 48
    octets, at = ENVELOPE, 0
    for number, size in enumerate(sizes, 1):
        octets += bdat(CONTENT[at : at + size], b" last " if number == len(sizes) else b"")
        at += size
    for cut in range(len(octets)):
        stand = Stand()
        peer = stand.connect().hello()
        said = peer.send(octets[:cut]) + peer.send(octets[cut:])
        assert codes(said) == [250] * (2 + len(sizes)), cut
        assert stored(stand) == [CONTENT]
        assert stand.spool.records[0].envelope.flags == flags.DOTS
        assert stand.context.buffered == 0


def test_a_content_without_a_dot_at_the_start_of_a_line_is_not_marked() -> None:
    stand = Stand()
    stand.connect().hello().send(ENVELOPE + bdat(b"Subject: x\r\n\r\na.\r\n" * 20))
    assert stand.spool.records[0].envelope.flags == 0


@pytest.mark.parametrize("filler", [0, 50, 64, 127, 500])
def test_dots_and_octets_above_127_are_seen_wherever_they_stand(filler: int) -> None:
    stand = Stand()
    content = b"Subject: x\r\n\r\n" + b"y" * filler + b"\r\n.dot\r\n\xe4\r\n" + b"z" * 100 + b"\r\n"
    stand.connect().hello().send(ENVELOPE + bdat(content))
    assert stand.spool.records[0].envelope.flags == flags.DOTS | flags.BODY_8BIT
    assert stored(stand) == [content]


@pytest.mark.parametrize("content", [b"Subject: x\r\n\r\nno line end", b"x", b"Subject: x"])
def test_a_last_line_without_an_end_gets_one(content: bytes) -> None:
    stand = Stand()
    peer = stand.connect().hello()
    assert codes(peer.send(ENVELOPE + bdat(content))) == [250, 250, 250]
    assert stand.spool.records[0].content.endswith(content + b"\r\n")


def test_a_content_may_be_empty() -> None:
    stand = Stand()
    assert codes(stand.connect().hello().send(ENVELOPE + b"BDAT 0 LAST\r\n")) == [250, 250, 250]
    assert stand.spool.records[0].content.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"a\nb\r\n", "bare LF"), (b"a\rb\r\n", "bare CR"), (b"a\0\r\n", "NUL"), (b"a\r\nb\r", "bare CR")],
)
def test_lines_are_as_strict_as_after_data(content: bytes, reason: str) -> None:
    stand = Stand()
    said = stand.connect().hello().send(ENVELOPE + bdat(content) + ENVELOPE + bdat(b"Subject: ok\r\n"))
    assert codes(said) == [250, 250, 554, 250, 250, 250]
    assert reason in said.decode()
    assert stored(stand) == [b"Subject: ok\r\n"]


def test_after_a_refused_chunk_the_others_are_skipped() -> None:
    stand = Stand()
    octets = ENVELOPE + bdat(b"a\nb\r\n", b"") + bdat(b"QUIT\r\n", b"") + bdat(b"RSET\r\n") + b"NOOP\r\n"
    assert codes(stand.connect().hello().send(octets)) == [250, 250, 554, 503, 503, 250]
    assert stand.spool.records == []


def test_the_octets_of_a_chunk_are_never_commands() -> None:
    """Neither of one that is refused: what an upstream server took for content stays content."""
    inner = b"\r\n.\r\nRSET\r\n" + ENVELOPE + b"BDAT 3 LAST\r\nabc"
    octets = bdat(inner) + b"MAIL FROM:<>\r\n" + bdat(inner) + b"RCPT TO:<no@local.test>\r\n" + bdat(inner)
    stand = Stand()
    assert codes(stand.connect().send(octets)) == [503, 503, 503, 503, 503]
    stand = Stand()
    assert codes(stand.connect().hello().send(octets)) == [503, 250, 503, 550, 554]
    assert stand.spool.records == []


@pytest.mark.parametrize(
    "line", ["BDAT", "BDAT x", "BDAT -5", "BDAT 5x LAST", "BDAT 5 LAST x", "BDAT 5 LÄST", "BDAT 5\nLAST", "BDAT 5 L"]
)
def test_a_size_that_cannot_be_told_ends_the_session(line: str) -> None:
    """Else the content would be read as commands."""
    peer = Stand().connect().hello()
    peer.send(ENVELOPE)
    assert codes(peer.say(line, "RSET", "NOOP")[0].encode()) == [501]
    assert peer.session.is_over


@pytest.mark.parametrize("command", ["MAIL FROM:<>", "RCPT TO:<bert@local.test>", "DATA"])
def test_between_chunks_only_chunks_may_come(command: str) -> None:
    stand = Stand(early_talk="everybody")
    peer = stand.connect().hello()
    peer.send(ENVELOPE + bdat(b"Subject: x\r\n", b""))
    assert peer.say(command, "NOOP") == [
        "503 5.5.1 The content has begun with BDAT; go on with BDAT, or say RSET",
        "250 2.0.0 Ok",
    ]
    assert codes(peer.send(bdat(b"\r\nx\r\n"))) == [250]
    assert stored(stand) == [b"Subject: x\r\n\r\nx\r\n"]


def test_rset_forgets_the_chunks() -> None:
    stand = Stand()
    peer = stand.connect().hello()
    peer.send(ENVELOPE + bdat(b"Subject: x\r\n", b"") + b"RSET\r\n")
    assert stand.context.buffered == 0
    assert stand.log.lines[-1]["result"] == "aborted"
    assert codes(peer.send(bdat(b"x\r\n"))) == [503]
    assert codes(peer.send(ENVELOPE + bdat(b"y\r\n"))) == [250, 250, 250]


def test_a_content_above_the_limit_is_refused_when_its_chunk_ends() -> None:
    stand = Stand(max_message_size=1000)
    peer = stand.connect().hello()
    line = b"x" * 98 + b"\r\n"
    assert codes(peer.send(ENVELOPE + bdat(line * 8, b"") + bdat(line * 8, b""))) == [250, 250, 250, 552]
    assert codes(peer.send(ENVELOPE + bdat(line * 12) + b"NOOP\r\n")) == [250, 250, 552, 250]
    assert stand.context.buffered == 0


def test_a_chunk_that_is_absurdly_large_ends_the_session() -> None:
    stand = Stand(max_message_size=1000)
    peer = stand.connect().hello()
    assert codes(peer.send(ENVELOPE + b"BDAT 99999999999999999999 LAST\r\n")) == [250, 250, 552]
    assert peer.session.is_over


@pytest.mark.parametrize("end", [b"", b"last line"])
def test_a_large_content_goes_to_a_file_chunk_by_chunk(end: bytes) -> None:
    stand = Stand(large_content=64 << 10)
    peer = stand.connect().hello()
    chunk = b"".join(b".line %d\r\n" % number for number in range(3000))
    octets = ENVELOPE + bdat(b"Subject: x\r\n\r\n" + chunk, b"") + bdat(chunk * 5, b"") + bdat(chunk + end)
    said = b"".join(peer.send(octets[at : at + 50_000]) for at in range(0, len(octets), 50_000))
    assert codes(said) == [250] * 5
    record = stand.spool.records[0]
    assert record.envelope.flags == flags.LARGE | flags.DOTS
    assert record.parts[1] == b"Subject: x\r\n\r\n"
    assert bytes(record.large.octets) == chunk * 7 + (end and end + b"\r\n")
    assert record.envelope.size == len(record.content)
    assert stand.context.buffered == 0


def test_another_name_said_behind_a_large_content_is_not_in_its_envelope() -> None:
    stand = Stand(early_talk="everybody", large_content=64 << 10)
    peer = stand.connect().hello()
    content = b"Subject: x\r\n\r\n" + b"line\r\n" * 20_000
    said = peer.send(ENVELOPE + bdat(content) + b"EHLO other.example\r\n" + ENVELOPE + bdat(b"Subject: y\r\n"))
    assert codes(said)[:3] == codes(said)[-3:] == [250, 250, 250]
    names = {record.large is not None: record.envelope.client.helo for record in stand.spool.records}
    assert names == {True: "client.example", False: "other.example"}


def test_a_chunk_that_does_not_come_ends_with_the_timeout_for_content() -> None:
    stand = Stand(data_timeout=60)
    peer = stand.connect().hello()
    peer.send(ENVELOPE + b"BDAT 100 LAST\r\nabc")
    stand.pass_time(61)
    peer.session.expired(stand.now)
    assert peer.take() == b"421 4.4.2 Timeout waiting for more content\r\n"


# ---- several contents at the spool ----------------------------------------------------------------------------------


def several(stand: Stand, count: int, more: bytes = b"") -> Peer:
    """A peer that has sent so many messages in one buffer, all of which the spool has."""
    peer = stand.connect().hello()
    said = peer.session.receive((ENVELOPE + bdat(b"Subject: x\r\n")) * count + more, stand.now)
    assert codes(said) == [250, 250]
    assert len(stand.spool.waiting) == min(count, 16)
    return peer


def answer(stand: Stand, count: int, error: Exception | None = None) -> None:
    """The spool answers for the first so many records, in one batch."""
    batch, stand.spool.waiting = stand.spool.waiting[:count], stand.spool.waiting[count:]
    stand.spool.records += [] if error else batch
    tell([record.waiter for record in batch], error)


def test_messages_in_one_buffer_share_a_batch_and_a_write() -> None:
    stand = Stand()
    peer = several(stand, 5)
    answer(stand, 3)
    assert codes(peer.take()) == [250] * 9
    answer(stand, 2)
    assert codes(peer.take()) == [250] * 4
    assert stand.context.buffered == 0
    assert [line["transaction"] for line in stand.log.lines] == [1, 2, 3, 4, 5]


def test_no_reply_overtakes_one_that_is_not_known() -> None:
    stand = Stand()
    peer = several(stand, 2, b"NOOP\r\n")
    late = stand.spool.waiting.pop(0)
    answer(stand, 1)
    assert peer.take() == b""
    tell([late.waiter])
    said = without_ids(peer.take()).splitlines()
    assert [line[:9] for line in said] == [b"250 2.0.0", b"250 2.1.0", b"250 2.1.5", b"250 2.0.0", b"250 2.0.0"]


def test_a_failed_batch_refuses_its_own_messages_only() -> None:
    stand = Stand()
    peer = several(stand, 3)
    answer(stand, 2, OSError("disk"))
    answer(stand, 1)
    assert codes(peer.take()) == [451, 250, 250, 451, 250, 250, 250]
    assert [line["result"] for line in stand.log.lines] == ["deferred", "deferred", "accepted"]


def test_above_a_number_of_messages_at_the_spool_the_peer_waits() -> None:
    stand = Stand()
    peer = several(stand, 20)
    answer(stand, 1)
    assert len(stand.spool.waiting) == 16
    answer(stand, 16)
    answer(stand, 3)
    assert codes(peer.take()) == [250] * 58
    assert len(stand.spool.records) == 20


def test_data_may_follow_while_the_content_before_it_is_being_synced() -> None:
    stand = Stand(early_talk="everybody")
    peer = several(stand, 1, ENVELOPE + b"DATA\r\n")
    assert peer.session.receive(b"Subject: y\r\n.\r\n", stand.now) == b""
    assert len(stand.spool.waiting) == 2
    answer(stand, 2)
    assert codes(peer.take()) == [250, 250, 250, 354, 250]


@pytest.mark.parametrize("command", [b"STARTTLS\r\n", b"AUTH PLAIN =\r\n"])
def test_what_begins_another_dialogue_waits(command: bytes) -> None:
    stand = Stand(tls=True)
    peer = several(stand, 1, command)
    assert stand.count("relay_smtp_commands_total", command.split()[0].decode()) == 0
    answer(stand, 1)
    assert codes(peer.take()) == [250, 220 if command == b"STARTTLS\r\n" else 502]


def test_quit_behind_contents_is_answered_after_them() -> None:
    stand = Stand()
    peer = several(stand, 2, b"QUIT\r\n")
    assert peer.session.is_over
    stand.pass_time(10)
    peer.session.expired(stand.now)
    answer(stand, 2)
    assert codes(peer.take()) == [250, 250, 250, 250, 221]


def test_a_drain_begins_when_all_that_was_taken_in_is_answered() -> None:
    stand = Stand()
    peer = several(stand, 2)
    stand.context.drain(lambda: None)
    answer(stand, 2)
    assert codes(peer.take()) == [250, 250, 250, 250, 421]


def test_a_session_is_counted_out_when_the_last_of_its_contents_is_synced() -> None:
    stand = Stand()
    peer = several(stand, 3, ENVELOPE)
    peer.session.lost()
    assert stand.context.open_sessions == 1
    answer(stand, 2)
    assert stand.context.open_sessions == 1
    answer(stand, 1)
    assert stand.context.open_sessions == 0
    assert stand.context.buffered == 0
    results: list[Any] = [line["result"] for line in stand.log.lines]
    assert results == ["aborted", "accepted", "accepted", "accepted"]


def test_a_timeout_does_not_end_a_session_that_is_owed_a_reply() -> None:
    stand = Stand()
    peer = several(stand, 1)
    stand.pass_time(3000)
    peer.session.expired(stand.now)
    assert not peer.session.is_over
    answer(stand, 1)
    assert codes(peer.take()) == [250]


def test_a_spool_that_raises_refuses_in_its_place() -> None:
    stand = Stand()
    peer = several(stand, 1)
    stand.spool.raises = OSError("closed")
    assert peer.session.receive(ENVELOPE + bdat(b"Subject: y\r\n") + b"NOOP\r\n", stand.now) == b""
    answer(stand, 1)
    assert codes(peer.take()) == [250, 250, 250, 451, 250]
