"""What people's programs and large providers do although RFC 5321 does not have it: taken, and made safe."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.smtp.stand import MESSAGE, Stand

ODD_NAMES = (
    "127.0.0.1",
    "[::1]",
    "[300.1.2.3]",
    "my phone",
    "Anna's iPhone (2)",
    "printer.local.",
    "-",
    "*",
    "<script>",
    "a)\\ (b",
    "x;y",
    "bücher drucker",
    "käse",
    "büro.example",
    "büro-\udcff",
    "\x7f\t\x01",
    "n" * 300,
    "(" * 300,
)
RECEIVED = re.compile(
    rb"Received: from \[192\.0\.2\.1\]\r\n\t\(HELO [^()\\\x00-\x1f\x7f-\xff]+\)\r\n\tby mx\.relay\.example \(Relay\) "
    rb"with ESMTP id \w{13}\r\n\tfor <anna@local\.test>;\r\n\t[^\r\n]+\r\n"
)
LENIENT: tuple[dict[str, Any], ...] = (
    {"kind": "submission", "trusted_networks": ("192.0.2.0/24",)},
    {"strict_helo": False},
    {"trusted_networks": ("192.0.2.0/24",)},
)


@pytest.mark.parametrize("settings", LENIENT)
@pytest.mark.parametrize("name", ODD_NAMES)
def test_whatever_a_phone_or_a_printer_says_is_taken_and_made_safe(name: str, settings: dict[str, Any]) -> None:
    """RFC 5321 4.1.4: a name that is wrong is no reason to refuse mail; 4.4: what stands behind "from"."""
    stand = Stand(**settings)
    peer = stand.connect()
    octets = name.encode(errors="surrogateescape")
    assert peer.send(b"EHLO " + octets + b"\r\n").startswith(b"250-")
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>", "DATA")
    assert peer.send(MESSAGE + b".\r\n").startswith(b"250 ")
    (record,) = stand.spool.records
    assert RECEIVED.match(record.received), record.received
    assert max(map(len, record.received.split(b"\r\n"))) < 300
    assert record.envelope.client.helo == octets[:255].decode("utf-8", "replace")
    assert stand.log.lines[-1]["helo"]


def test_a_host_name_stands_in_received_as_ever() -> None:
    stand = Stand(kind="submission", trusted_networks=("192.0.2.0/24",))
    assert stand.connect().transmit(MESSAGE).startswith("250 ")
    assert stand.spool.records[0].received.startswith(b"Received: from client.example ([192.0.2.1])\r\n\tby mx")


def test_an_odd_name_is_forgotten_with_the_next_one() -> None:
    stand = Stand(strict_helo=False)
    peer = stand.connect()
    peer.say("EHLO my phone")
    assert peer.transmit(MESSAGE).startswith("250 ")
    assert stand.spool.records[0].received.startswith(b"Received: from client.example (")


@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]", "my phone", "printer.local.", "bücher drucker"])
def test_another_server_has_to_know_its_name(name: str) -> None:
    for hello in ("EHLO", "HELO"):
        assert Stand().connect().say(f"{hello} {name}")[0][:3] in {"501", "500"}


@pytest.mark.parametrize("settings", LENIENT)
def test_no_name_at_all_is_none(settings: dict[str, Any]) -> None:
    for line in ("EHLO", "EHLO  ", "HELO"):
        assert Stand(**settings).connect().say(line) == ["501 5.5.4 An argument is needed"]


ADDRESSES = ("a..b@elsewhere.example", "a.@elsewhere.example", ".a@elsewhere.example", "a@elsewhere.example.")


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_of_large_providers_are_kept_as_written(address: str) -> None:
    stand = Stand(trusted_networks=("192.0.2.0/24",))
    peer = stand.connect().begin(address, sender=address)
    peer.say("DATA")
    assert peer.send(MESSAGE + b".\r\n").startswith(b"250 ")
    envelope = stand.spool.records[0].envelope
    assert (envelope.reverse_path, envelope.recipients) == (address.encode(), (address.encode(),))


@pytest.mark.parametrize("address", ADDRESSES)
def test_they_are_refused_where_that_is_wanted(address: str) -> None:
    stand = Stand(trusted_networks=("192.0.2.0/24",), lenient_addresses=False)
    peer = stand.connect().hello()
    assert peer.say(f"MAIL FROM:<{address}>")[0].startswith("501 5.1.7 ")
    peer.say("MAIL FROM:<>")
    assert peer.say(f"RCPT TO:<{address}>")[0].startswith("501 5.1.3 ")


def test_our_own_mailboxes_have_no_other_names() -> None:
    stand = Stand()
    peer = stand.connect().hello()
    peer.say("MAIL FROM:<>")
    for address in ("an..na@local.test", "anna.@local.test", ".anna@local.test"):
        assert peer.say(f"RCPT TO:<{address}>") == [f"550 5.1.1 No such address here: <{address}>"]
    assert peer.say("RCPT TO:<anna@local.test.>") == ["250 2.1.5 Recipient ok"]
    peer.say("DATA")
    peer.send(b".\r\n")
    assert stand.spool.records[0].envelope.recipients == (b"anna@local.test",)
