"""Each stage x each kind of reply x each way of talking: the rules that hold for all, and the outcome of each."""

from __future__ import annotations

import itertools

import pytest

from relay.mail.outcome import DEFERRED, DELIVERED, FAILED
from tests.delivery.peer import CUT, STALL, Peer, RecordingOwner, converse, machine_for, message

REPLIES = {
    "ok": b"250 2.0.0 Ok",
    "go": b"354 go",
    "farewell": b"421 4.3.2 going down",
    "deferred": b"451 4.7.1 later",
    "refused": b"554 5.7.1 never",
    "garbage": b"hello there",
    "changed": b"250-one\r\n550 two",
    "endless": b"250-more\r\n" * 10_000,
    "early": b"250 2.0.0 Ok\r\n250 2.0.0 Ok",
    "cut": CUT,
    "stall": STALL,
}
STAGES = ["banner", "ehlo", "mail", "rcpt", "data", "reply", "rset"]
WAYS = {
    "pipelining": (False, (b"PIPELINING",)),
    "lock-step": (False, (b"8BITMIME",)),
    "lmtp": (True, (b"PIPELINING",)),
    "chunks": (False, (b"PIPELINING", b"CHUNKING")),
}


def talk(stage: str, count: int, reply: bytes, way: str, chop: int = 0, also: dict | None = None):
    lmtp, extensions = WAYS[way]
    script = {(stage, count): reply, **(also or {})}
    owner = RecordingOwner([message(1), message(2), message(3)])
    peer = Peer(script, lmtp=lmtp, extensions=extensions)
    machine = machine_for(owner, lmtp=lmtp)
    converse(machine, peer, chop=chop)
    if peer.is_stalled and not machine.is_closed:
        states = []
        for now in (machine.deadline - 0.001, machine.deadline):
            machine.expire(now)
            states.append(machine.is_closed)
        assert states == [False, True]
        machine.eof()
    if not machine.is_closed:
        peer_end = peer.receive(machine.quit())
        machine.receive(peer_end)
        machine.eof()
    return owner, peer, machine


CASES = list(itertools.product(STAGES, (0, 1, 3), REPLIES, WAYS))
# What counts as early depends on the reads by its nature; endless replies take long octet by octet.
CUT_CASES = [case for case in CASES[::5] if case[2] not in {"endless", "early"}]


@pytest.mark.parametrize(("stage", "count", "reply", "way"), CASES, ids=["-".join(map(str, case)) for case in CASES])
def test_whatever_happens_no_delivery_is_lost_and_none_is_reported_wrongly(stage, count, reply, way):
    also = {("rcpt", 0): b"550 5.1.1 no", ("rcpt", 1): b"550 5.1.1 no"} if stage == "rset" else {}
    owner, peer, _ = talk(stage, count, REPLIES[reply], way, also=also)
    owner.check_all_came_back()
    assert not peer.protocol_errors
    taken_by_peer = {(recipient, content) for _, recipients, content in peer.delivered for recipient in recipients}
    for delivery in owner.taken:
        for recipient, outcome in zip(delivery.recipients, owner.outcomes.get(id(delivery), []), strict=False):
            is_there = (recipient, delivery.content) in taken_by_peer
            if outcome.kind == DELIVERED:
                assert is_there, "reported as delivered, but the peer has it not"
            if outcome.kind == FAILED:
                assert not is_there, "reported as failed, but the peer has it"
                assert 500 <= outcome.code <= 599, "nobody refused it"
            if is_there and outcome.kind == DEFERRED:
                # Only what cannot be known may be sent twice.
                assert (outcome.code, outcome.stage) == (0, "reply")
    for unsent in owner.closings[0][0] if owner.closings else []:
        assert not any((recipient, unsent.content) in taken_by_peer for recipient in unsent.recipients)


@pytest.mark.parametrize("chop", [1, 7])
@pytest.mark.parametrize(
    ("stage", "count", "reply", "way"), CUT_CASES, ids=["-".join(map(str, case)) for case in CUT_CASES]
)
def test_how_the_octets_are_cut_into_reads_changes_nothing(stage, count, reply, way, chop):
    whole, _, _ = talk(stage, count, REPLIES[reply], way)
    cut, _, _ = talk(stage, count, REPLIES[reply], way, chop=chop)
    assert [delivery.tag for delivery in whole.taken] == [delivery.tag for delivery in cut.taken]
    assert [whole.outcomes.get(id(d)) for d in whole.taken] == [cut.outcomes.get(id(d)) for d in cut.taken]
    assert [why for _, why in whole.closings] == [why for _, why in cut.closings]


# What the first transaction's two recipients and the session come to.
EXPECTED = [
    ("mail", 0, "deferred", (DEFERRED, "mail"), (DEFERRED, "mail")),
    ("mail", 0, "refused", (FAILED, "mail"), (FAILED, "mail")),
    ("rcpt", 0, "deferred", (DEFERRED, "rcpt"), (DELIVERED, "reply")),
    ("rcpt", 1, "refused", (DELIVERED, "reply"), (FAILED, "rcpt")),
    ("data", 0, "deferred", (DEFERRED, "data"), (DEFERRED, "data")),
    ("data", 0, "refused", (FAILED, "data"), (FAILED, "data")),
    ("mail", 0, "farewell", (DEFERRED, "mail"), (DEFERRED, "mail")),
    ("rcpt", 1, "farewell", (DEFERRED, "rcpt"), (DEFERRED, "rcpt")),
    ("data", 0, "farewell", (DEFERRED, "data"), (DEFERRED, "data")),
    ("mail", 0, "cut", (DEFERRED, "mail"), (DEFERRED, "mail")),
    ("rcpt", 0, "cut", (DEFERRED, "rcpt"), (DEFERRED, "rcpt")),
    ("data", 0, "cut", (DEFERRED, "data"), (DEFERRED, "data")),
    ("reply", 0, "cut", (DEFERRED, "reply"), (DEFERRED, "reply")),
    ("mail", 0, "stall", (DEFERRED, "mail"), (DEFERRED, "mail")),
    ("rcpt", 0, "stall", (DEFERRED, "rcpt"), (DEFERRED, "rcpt")),
    ("data", 0, "stall", (DEFERRED, "data"), (DEFERRED, "data")),
    ("reply", 0, "stall", (DEFERRED, "reply"), (DEFERRED, "reply")),
    ("reply", 0, "garbage", (DEFERRED, "reply"), (DEFERRED, "reply")),
    ("mail", 0, "go", (DEFERRED, "mail"), (DEFERRED, "mail")),
    ("data", 0, "ok", (DEFERRED, "data"), (DEFERRED, "data")),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("stage", "count", "reply", "first", "second"), EXPECTED)
def test_the_outcome_of_each_recipient(stage, count, reply, first, second, way):
    if (stage, way) == ("data", "chunks"):
        reply = {"ok": "go", "go": "ok"}.get(reply, reply)  # what is out of step there
    owner, _, _ = talk(stage, count, REPLIES[reply], way)
    assert [(outcome.kind, outcome.stage) for outcome in owner.of(0)] == [first, second]


@pytest.mark.parametrize(("reply", "kind"), [("deferred", DEFERRED), ("refused", FAILED)])
@pytest.mark.parametrize("way", ["pipelining", "lock-step"])
def test_a_refusal_after_the_dot_is_for_all_and_the_next_transaction_goes_on(way, reply, kind):
    owner, peer, _ = talk("reply", 0, REPLIES[reply], way)
    assert [outcome.kind for outcome in owner.of(0)] == [kind, kind]
    assert [outcome.kind for outcome in owner.of(1) + owner.of(2)] == [DELIVERED] * 4
    assert len(peer.delivered) == 2


@pytest.mark.parametrize(("reply", "kind"), [("deferred", DEFERRED), ("refused", FAILED), ("ok", DELIVERED)])
def test_lmtp_answers_for_each_recipient(reply, kind):
    """RFC 2033 4.2."""
    owner, _, _ = talk("reply", 1, REPLIES[reply], "lmtp")
    assert [outcome.kind for outcome in owner.of(0)] == [DELIVERED, kind]
    assert [outcome.kind for outcome in owner.of(1) + owner.of(2)] == [DELIVERED] * 4


def test_lmtp_keeps_the_replies_apart_when_a_recipient_was_refused():
    owner, _, _ = talk("rcpt", 0, b"550 5.1.1 no", "lmtp", also={("reply", 1): b"452 4.2.2 full"})
    assert [(o.kind, o.stage) for o in owner.of(0)] == [(FAILED, "rcpt"), (DELIVERED, "reply")]
    assert [(o.kind, o.status) for o in owner.of(1)] == [(DEFERRED, "4.2.2"), (DELIVERED, "2.0.0")]


@pytest.mark.parametrize("stage", ["banner", "ehlo"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [("deferred", DEFERRED), ("farewell", DEFERRED), ("cut", DEFERRED), ("stall", DEFERRED), ("garbage", DEFERRED)],
)
def test_a_session_that_was_never_greeted_tells_so_and_nothing_else(stage, reply, kind):
    owner, _, _ = talk(stage, 0, REPLIES[reply], "pipelining")
    assert not owner.taken
    assert not owner.closings
    (why,) = owner.greetings
    assert why is not None
    assert (why.kind, why.stage) == (kind, "banner" if stage == "banner" else "helo")


def test_a_refusing_greeting_is_permanent_for_this_host():
    """RFC 5321 3.1: 554 instead of 220."""
    owner, _, _ = talk("banner", 0, b"554 5.3.2 no mail here", "pipelining")
    (why,) = owner.greetings
    assert why is not None
    assert (why.kind, why.code, why.status) == (FAILED, 554, "5.3.2")
