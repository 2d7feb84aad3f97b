"""Whole transactions in flight (RFC 3030): octet for octet, refusals, ends, and peers that only say they can."""

from __future__ import annotations

import random

import pytest

from relay.delivery._delivery import Delivery
from relay.delivery._machine import ClientMachine
from relay.delivery.chunking import REMEMBERED, Chunking
from relay.mail.envelope import DOTS
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED
from tests.delivery.peer import CUT, Peer, RecordingOwner, converse, machine_for, message

CHUNKS = (b"PIPELINING", b"CHUNKING")
HELLO = b"250-peer.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
OK = b"250 ok\r\n"


def proven(owner: RecordingOwner, chunking: Chunking | None = None) -> tuple[ClientMachine, bytes]:
    """A machine whose peer has taken the first octet of the first message, and what it wrote on that."""
    machine = machine_for(owner, chunking=chunking)
    machine.receive(b"220 peer.test\r\n")
    out = machine.receive(HELLO)
    assert out == b"MAIL FROM:<s1@relay.test>\r\nRCPT TO:<r1-0@peer.test>\r\nBDAT 1\r\nS"
    return machine, machine.receive(OK * 3)


def whole(number: int) -> bytes:
    return (
        b"RSET\r\nMAIL FROM:<s%d@relay.test>\r\nRCPT TO:<r%d-0@peer.test>\r\nBDAT 20 LAST\r\n"
        b"Subject: %d\r\n\r\nBody\r\n"
    ) % (number, number, number)


def in_flight(count: int) -> tuple[ClientMachine, RecordingOwner, list[int]]:
    """A machine with ``count`` transactions in flight and no other, and their numbers among those taken."""
    owner = RecordingOwner(message(number, 1) for number in range(1, 8))
    machine, _ = proven(owner)
    machine.receive(OK)  # the first message
    while len(owner.taken) - len(owner.outcomes) < count:
        machine.receive(OK * 4)
    owner.waiting = []
    return machine, owner, list(range(len(owner.outcomes), len(owner.taken)))


def test_after_one_octet_was_answered_whole_transactions_follow_each_other():
    owner = RecordingOwner(message(number, 1) for number in range(1, 9))
    machine, out = proven(owner)
    assert out == b"BDAT 19 LAST\r\nubject: 1\r\n\r\nBody\r\n" + whole(2)
    assert machine.receive(OK + OK * 4) == whole(3) + whole(4), "the window has doubled"
    assert machine.receive(OK * 4) == whole(5)
    assert machine.receive(OK * 4) == whole(6) + whole(7) + whole(8)
    machine.receive(OK * 4 * 4)
    assert machine.is_idle
    assert [outcome.kind for delivery in owner.taken for outcome in owner.outcomes[id(delivery)]] == [DELIVERED] * 8


def test_the_window_is_bounded_in_messages_and_octets():
    """All that is in flight may come twice when the peer vanishes."""
    for content, bound in ((b"x\r\n", 16), (b"x" * 99_998 + b"\r\n", 3)):
        owner = RecordingOwner(message(number, 1, content=content) for number in range(200))
        peer = Peer(extensions=CHUNKS)
        machine = machine_for(owner)
        replies, most = peer.greet(), 0
        while not machine.is_idle or owner.waiting:
            replies = peer.receive(machine.receive(replies))
            most = max(most, len(owner.taken) - len(owner.outcomes))
        assert most == bound
        assert len(peer.delivered) == 200
        assert not peer.protocol_errors


def test_a_slow_peer_has_one_transaction_at_a_time():
    """What waits in one session could go over another."""
    owner = RecordingOwner(message(number, 1) for number in range(1, 100))
    machine, _ = proven(owner)
    for now in range(1, 20):
        machine.receive(OK if now == 1 else OK * 4, float(now))
        assert len(owner.taken) - len(owner.outcomes) == 1


def test_contents_are_sent_as_they_are_whatever_they_hold():
    content = b".dot\r\n.\r\nQUIT\r\nend"
    owner = RecordingOwner(
        [Delivery(b"a@b", (b"c@d",), DOTS, len(content), kind(content)) for kind in (bytes, memoryview)]
    )
    peer = Peer(extensions=CHUNKS)
    converse(machine_for(owner), peer)
    assert [content for _, _, content in peer.delivered] == [b".dot\r\n.\r\nQUIT\r\nend\r\n"] * 2


def test_a_file_and_an_empty_content_go_by_data_between_chunks():
    owner = RecordingOwner([message(1, 1), Delivery(b"a@b", (b"c@d",), 0, 3, path="/x"), message(3, 1, content=b"")])
    machine, out = proven(owner)
    assert out.endswith(b"RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    assert machine.receive(OK + OK * 3 + b"354 go\r\n") == b""
    assert machine.stream(b"x\r\n") == b"x\r\n"
    out = machine.stream(None)
    assert out == b".\r\nRSET\r\nMAIL FROM:<s3@relay.test>\r\nRCPT TO:<r3-0@peer.test>\r\nDATA\r\n"
    assert machine.receive(OK + OK * 3 + b"354 go\r\n") == b".\r\n"
    machine.receive(OK)
    assert machine.is_idle
    assert all(owner.of(index)[0].kind == DELIVERED for index in range(3))


@pytest.mark.parametrize(
    ("replies", "kind", "stage"),
    [
        (OK + b"550 no\r\n503 no\r\n503 no\r\n", FAILED, "mail"),
        (OK * 2 + b"450 no\r\n503 no\r\n", DEFERRED, "rcpt"),
        (OK * 3 + b"554 no\r\n", FAILED, "reply"),
        (OK * 3 + b"452 no\r\n", DEFERRED, "reply"),
    ],
)
def test_a_refused_transaction_does_not_touch_its_neighbours(replies, kind, stage):
    """RFC 3030 2: the octets are taken whatever becomes of the envelope."""
    machine, owner, (first, second) = in_flight(2)
    machine.receive(replies + OK * 4)
    assert [(o.kind, o.stage) for o in owner.of(first)] == [(kind, stage)]
    assert [(o.kind, o.stage) for o in owner.of(second)] == [(DELIVERED, "reply")]
    assert machine.is_idle


@pytest.mark.parametrize("end", ["lost", "421"])
def test_a_peer_that_leaves_between_transactions_gives_all_in_flight_back_without_blame(end):
    machine, owner, flight = in_flight(2)
    machine.receive(b"421 4.7.0 enough\r\n" if end == "421" else b"")
    assert not machine.is_closed, "not every peer closes, and then it takes what is in flight"
    machine.eof()
    assert owner.closings == [([owner.taken[index] for index in flight], None)]


def test_a_connection_lost_within_a_transaction_blames_that_one_only():
    machine, owner, (first, second) = in_flight(2)
    machine.receive(OK * 2)
    machine.eof()
    (outcome,) = owner.of(first)
    assert (outcome.kind, outcome.stage) == (DEFERRED, "reply")
    assert outcome.text == "connection lost at stage rcpt; the message may have been accepted, it will be sent again"
    unsent, why = owner.closings[0]
    assert unsent == [owner.taken[second]]
    assert why is not None


@pytest.mark.parametrize("how", ["silence", "nonsense", "refused reset"])
def test_what_is_given_up_on_this_side_is_not_sent_again_at_once(how):
    """The peer may still be taking all of it."""
    machine, owner, (first, second) = in_flight(2)
    if how == "silence":
        machine.expire(machine.deadline)
    else:
        machine.receive(b"nonsense\r\n" if how == "nonsense" else b"500 what\r\n")
    assert machine.is_closed
    machine.eof()
    assert owner.closings[0][0] == []
    assert {(o.kind, o.stage) for index in (first, second) for o in owner.of(index)} == {(DEFERRED, "reply")}


def test_a_drain_takes_nothing_back_that_is_in_flight_and_quits_when_it_is_answered():
    machine, owner, _ = in_flight(2)
    owner.waiting = [message(99, 1)]
    assert machine.quit() == b""
    assert machine.receive(OK * 8) == b"QUIT\r\n"
    assert len(owner.waiting) == 1


@pytest.mark.parametrize("reply", [b"500 what\r\n", b"502 5.5.1 what\r\n", b"503 5.5.1 what\r\n"])
def test_a_peer_that_does_not_know_bdat_gets_no_content_and_data_from_then_on(reply):
    """I3: it would read the content as commands."""
    told: list[str] = []
    chunking = Chunking(on_taken=lambda: told.append("taken"), on_refused=told.append)
    owner = RecordingOwner([message(1, 1)])
    machine = machine_for(owner, chunking=chunking)
    machine.receive(b"220 peer.test\r\n")
    machine.receive(HELLO)
    assert machine.receive(OK * 2 + reply) == b""
    assert machine.is_closed
    machine.eof()
    assert owner.closings == [([owner.taken[0]], None)]
    assert told == ["peer.test[192.0.2.1]:25"]
    again = machine_for(RecordingOwner([message(1, 1)]), chunking=chunking)
    again.receive(b"220 peer.test\r\n")
    assert again.receive(HELLO).endswith(b"DATA\r\n")


def test_each_connection_whose_first_chunk_was_taken_is_told_once():
    told: list[str] = []
    proven(RecordingOwner(message(number, 1) for number in (1, 2)), Chunking(on_taken=lambda: told.append("taken")))
    assert told == ["taken"]


def test_a_peer_that_forgets_bdat_later_is_left_and_the_message_is_not_bounced():
    chunking = Chunking()
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = proven(owner, chunking)
    machine.receive(OK + OK * 3 + b"500 what\r\n")
    assert machine.is_closed
    assert owner.of(1)[0].kind == DEFERRED
    assert not chunking.allows("peer.test[192.0.2.1]:25")


@pytest.mark.parametrize(("hello", "lmtp"), [(b"250-x\r\n250 CHUNKING\r\n", False), (HELLO, True)])
def test_without_pipelining_and_for_lmtp_contents_go_by_data(hello, lmtp):
    peer = Peer(lmtp=lmtp, extensions=[line[4:] for line in hello.split(b"\r\n")[1:-1]])
    owner = RecordingOwner([message(1, 1)])
    converse(machine_for(owner, lmtp=lmtp), peer)
    assert b"DATA" in peer.commands
    assert owner.of(0)[0].kind == DELIVERED


def test_next_hops_that_are_remembered_are_bounded_and_the_setting_is_obeyed():
    chunking = Chunking()
    for number in range(REMEMBERED + 1):
        chunking.refused(str(number))
    assert [chunking.allows(name) for name in ("0", "1", str(REMEMBERED), "other")] == [True, False, False, True]
    assert not Chunking(is_on=False).allows("other")


@pytest.mark.parametrize("seed", range(300))
def test_random_refusals_and_ends_lose_nothing_and_report_nothing_wrongly(seed):
    draw = random.Random(seed)
    stages = ["mail", "rcpt", "reply", "rset", "data"]
    replies = [b"550 5.1.1 no", b"451 4.0.0 later", b"421 4.3.2 bye", CUT]
    script = {(draw.choice(stages), draw.randrange(20)): draw.choice(replies[: draw.choice((2, 4))]) for _ in range(6)}
    script = {key: reply for key, reply in script.items() if key[0] != "rset" or reply in replies[2:]}
    peer = Peer(script, extensions=CHUNKS)
    owner = RecordingOwner(message(number, 1 + number % 2) for number in range(12))
    machine = machine_for(owner)
    converse(machine, peer, chop=draw.choice((0, 0, 5)))
    if not machine.is_closed:
        machine.receive(peer.receive(machine.quit()))
        machine.eof()
    owner.check_all_came_back()
    there = {(reverse_path, content) for reverse_path, _, content in peer.delivered}
    assert len(there) == len(peer.delivered)
    for delivery in owner.taken:
        is_there = (delivery.reverse_path, delivery.content) in there
        kinds = {outcome.kind for outcome in owner.outcomes.get(id(delivery), [])}
        assert is_there or DELIVERED not in kinds
        assert not (is_there and kinds == {FAILED})
