"""Random input: the session never fails, never says 250 to what is not stored, and does not see how input is cut."""

import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.smtp.stand import Peer, Stand, without_ids

PIECES = [
    b"EHLO a.example\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b.example>\r\n", b"MAIL FROM:<> SIZE=5 BODY=8BITMIME\r\n",
    b"RCPT TO:<anna@local.test>\r\n", b"RCPT TO:<x@relay.test>\r\n", b"RCPT TO:<no@local.test>\r\n", b"DATA\r\n",
    b"BDAT 5\r\n", b"BDAT 3\r\nabc", b"BDAT 12 LAST\r\nSubject: x\r\n", b"BDAT 70 LAST\r\n", b"BDAT 0 LAST\r\n",
    b"BDAT x\r\n",
    b".\r\n", b"\r\n.\r\n", b"\r\n", b"\n", b"\r", b".", b"\0", b"\xff", b"..\r\n",
    b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"Subject: x\r\n", b"Received: y\r\n", b"x" * 70, b"y" * 600, b" ", b"<",
    b">", b":", b"GET / HTTP/1.1\r\n", b"\x16\x03",
]  # fmt: skip
LIMITS: dict[str, Any] = {
    "max_errors": 6,
    "max_line": 512,
    "max_message_size": 1024,
    "max_recipients": 3,
    "max_hops": 1,
}

octets = st.lists(
    st.one_of(st.sampled_from(PIECES), st.sampled_from(PIECES[:10]), st.binary(max_size=5)), max_size=40
).map(b"".join)


def feed(stand: Stand, buffers: list[bytes]) -> tuple[Peer, bytes]:
    peer = stand.connect()
    return peer, peer.greeting + b"".join(peer.send(buffer) for buffer in buffers)


@given(octets=octets, cuts=st.lists(st.integers(0, 2000), max_size=12))
@settings(max_examples=600, deadline=None)
def test_how_input_is_cut_makes_no_difference(octets: bytes, cuts: list[int]) -> None:
    whole, cut = Stand(early_talk="everybody", **LIMITS), Stand(early_talk="everybody", **LIMITS)
    peer, said = feed(whole, [octets])
    places = sorted({0, len(octets), *(place % (len(octets) + 1) for place in cuts)})
    other, said_cut = feed(cut, [octets[a:b] for a, b in itertools.pairwise(places)])
    assert without_ids(said) == without_ids(said_cut)
    assert peer.session.is_over == other.session.is_over
    assert [record.content[200:] for record in whole.spool.records] == [
        record.content[200:] for record in cut.spool.records
    ]


@given(octets=octets)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_in_is_answered_in_whole_lines_and_accounted_for(octets: bytes) -> None:
    stand = Stand(**LIMITS)
    peer, said = feed(stand, [octets])
    assert re.fullmatch(rb"(?:[2345][0-5][0-9][ -][ -~]*\r\n)+", said)
    ids = re.findall(rb"250 2\.0\.0 Ok: queued as ([0-9A-Z]{13})\r\n", said)
    assert [record.envelope.queue_id.encode() for record in stand.spool.records] == ids
    for record in stand.spool.records:
        # I3: what is stored can be sent on by anybody without being taken for more than one message.
        assert re.search(rb"\r(?!\n)|(?<!\r)\n|\0", record.content) is None
        assert record.content.endswith(b"\r\n")
        assert set(record.envelope.recipients) <= {b"anna@local.test", b"x@relay.test"}
    peer.session.lost()
    assert stand.context.buffered == 0
    assert stand.context.open_sessions == 0
    assert len(stand.wheel) == 0
    counts = [
        stand.count("relay_smtp_transactions_total", result)
        for result in ("accepted", "refused", "deferred", "aborted")
    ]
    assert counts[0] == len(ids)
    logged = [line["result"] for line in stand.log.lines if "transaction" in line]
    assert sum(counts) == len(logged)
