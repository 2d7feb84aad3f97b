"""Envelopes as octets: what is packed comes back, by the compiled reader and by the slow, obvious one alike."""

from __future__ import annotations

import random

import msgpack
import pytest

from relay.mail._envelope import unpack_plain
from relay.mail.envelope import Carried, Client, Envelope, unpack

ID = "01HV3Z0000000"
PLAIN = Envelope(
    ID, 1_700_000_000_000_000, b"a@b.test", (b"c@d.test", b"e@f.test"), 4, 70_000, "S1",
    Client("192.0.2.7", "client.test", "ESMTP", "TLSv1.3", "somebody", "mx"),
)  # fmt: skip


@pytest.mark.parametrize(
    "envelope",
    [
        PLAIN,
        PLAIN._replace(reverse_path=b""),
        PLAIN._replace(recipients=()),
        PLAIN._replace(recipients=tuple(b"r%d@relay.test" % number for number in range(1000))),
        PLAIN._replace(reverse_path=b"x" * 300, session_id="s" * 300),
        PLAIN._replace(client=Client()),
        PLAIN._replace(client=Client(helo="\u00fcber." * 20)),
        PLAIN._replace(received_at=0, size=2**63, flags=127),
    ],
)
def test_an_ordinary_envelope_comes_back(envelope: Envelope) -> None:
    found = unpack_plain(envelope.pack())
    assert found == unpack(envelope.pack()) == envelope
    assert isinstance(found, Envelope)
    assert isinstance(found.client, Client)


def test_another_client_is_not_taken_for_the_last_one() -> None:
    other = PLAIN._replace(client=PLAIN.client._replace(listener="my"))
    longer = PLAIN._replace(client=PLAIN.client._replace(listener="mxx"))
    for envelope in (PLAIN, other, PLAIN, longer, PLAIN, PLAIN):
        assert unpack_plain(envelope.pack()) == envelope


@pytest.mark.parametrize(
    "octets",
    [
        PLAIN._replace(carried=Carried(1, 2, 3, (0, 1), 4, 5, False, False, "4.0.0", "later")).pack(),
        msgpack.packb(tuple(PLAIN[:6])),
        msgpack.packb((*PLAIN, "of a later version")),
        msgpack.packb((*PLAIN[:7], (*PLAIN.client, "of a later version"), None)),
        msgpack.packb((ID, -1, *PLAIN[2:])),
    ],
)
def test_what_is_not_ordinary_is_left_to_the_other_reader(octets: bytes) -> None:
    assert unpack_plain(octets) is None


def test_why_a_message_is_held_comes_back_and_costs_others_nothing() -> None:
    held = PLAIN._replace(held="quarantined: a virus")
    assert unpack(held.pack()) == held
    assert unpack_plain(held.pack()) is None
    assert len(msgpack.unpackb(PLAIN.pack())) == 9, "as earlier versions wrote it"


@pytest.mark.parametrize("octets", [b"", b"\x99", PLAIN.pack() + b"\0", PLAIN.pack().replace(b"client", b"cl\xffent")])
def test_what_is_no_envelope_is_none_for_either_reader(octets: bytes) -> None:
    assert unpack_plain(octets) is None
    with pytest.raises(ValueError, match="not an envelope"):
        unpack(octets)


def test_damaged_octets_mean_the_same_to_both_readers() -> None:
    """Cut anywhere, or with some octets changed: what the compiled reader takes, the other takes for the same."""
    draw = random.Random(7)
    whole = PLAIN.pack()
    damaged = [whole[:size] for size in range(len(whole))]
    for _ in range(20_000):
        changed = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        damaged.append(bytes(changed))
    for octets in damaged:
        found = unpack_plain(octets)
        if found is not None:
            assert found == unpack(octets)
