"""Postfix as the next hop: a private instance takes everything, octet for octet, in chunks (RFC 3030) and by DATA.

The way: Relay, Postfix's smtpd, its queue, its smtp client, the tests' sink. Postfix itself says at the end of each
session which commands it was sent.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.servers.base import Site
from benchmarks.servers.postfix import Postfix
from tests.support.appliance import Appliance, free_port, open_to_all, wait_for
from tests.support.needs import need
from tests.support.sink import Sink

pytestmark = pytest.mark.timeout(180)

ANNA = "anna@local.test"
UNWANTED, LATE = "unwanted@local.test", "late@local.test"
GONE, BUSY = "gone@relay.test", "busy@relay.test"
SETTINGS = {
    # Postfix as a relay may complete and wrap what it takes; here it must not touch it.
    "local_header_rewrite_clients": "",
    "disable_mime_output_conversion": "yes",
    "smtp_line_length_limit": "0",
    "smtpd_error_sleep_time": "0",
    "smtpd_delay_reject": "no",
    "smtpd_sender_restrictions": f"check_sender_access inline:{{ {{ {UNWANTED} = 550 5.7.1 not from you }} }}",
    "smtpd_recipient_restrictions": (
        f"check_recipient_access inline:{{ {{ {GONE} = 550 5.1.1 gone }}, {{ {BUSY} = 450 4.2.1 busy }} }}"
    ),
    "smtpd_end_of_data_restrictions": f"check_sender_access inline:{{ {{ {LATE} = 554 5.7.1 not this }} }}",
}
TOLD = ("taken", "refused")
LATER = '[queue]\nretry_first = "1h"\nretry_max = "1h"\n'
RECEIVED = re.compile(rb"(?:Received: .*\r\n(?:[ \t].*\r\n)*){2}")
"""What Relay and Postfix put on top (RFC 5321 4.4)."""


@contextmanager
def postfix(root: Path, sink: Sink, port: int, way: str) -> Iterator[Postfix]:
    """A Postfix on ``port`` that hands all mail for relay.test to the sink; for the way DATA it offers no CHUNKING.

    The tests start it when all mail waits in Relay's queue, so that many transactions go out behind each other.
    """
    refused = {"smtpd_discard_ehlo_keywords": "chunking"} if way == "DATA" else {}
    open_to_all(root)
    with Postfix(Site(root, port, {"relay.test": sink.port}, settings=SETTINGS | refused)) as server:
        yield server


@pytest.fixture(autouse=True)
def _installed() -> None:
    why = Postfix.missing()
    need(why is None, f"Postfix: {why}")


def contents() -> list[bytes]:
    """Small and large, and every kind of line that could be taken for something else or be changed on the way."""
    octets = random.Random(3030)
    alphabet = bytes(set(range(1, 256)) - {10, 13})
    bodies = [
        b"",
        b".\r\n",
        b".\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n",
        b"\r\n\r\n\r\n",
        b"no dot\r\n.RSET\r\nQUIT\r\nBDAT 5 LAST\r\nDATA\r\n \t \r\n",
        b"x" * 998 + b"\r\n",
        b"." + b"y" * 5000 + b"\r\n" + b"z" * 2047 + b"\r\n",
        "Grüße aus Köln\r\n".encode() * 50,
        b"." * 70 + b"\r\n" + (b"." + b"k" * 70 + b"\r\n") * 4000,
        b"m" * 76 + b"\r\n" + (b"m" * 76 + b"\r\n") * 5000,
        (b".large\r\n" + b"n" * 64 + b"\r\n") * 30_000,
    ]
    for _ in range(60):
        sizes = [octets.choice((0, 1, 30, 76, 500)) for _ in range(octets.choice((1, 5, 40, 400)))]
        bodies.append(b"".join(bytes(octets.choices(alphabet, k=size)) + b"\r\n" for size in sizes))
    return [b"Mark: %d\r\nSubject: x\r\n\r\n%s" % (number, body) for number, body in enumerate(bodies)]


def stopped(relay: Appliance, server: Postfix) -> Counter[str]:
    """Stops Relay. How often Postfix was sent each command, when all sessions are over."""
    assert relay.terminate() == 0
    wait_for(
        lambda: log_of(server).count(" disconnect from ") == log_of(server).count(": connect from "), 20, server.tail
    )
    sent = commands(server)
    assert sent["unknown"] == 0
    assert "killed by signal" not in log_of(server)
    return sent


def log_of(server: Postfix) -> str:
    return server.logs()[-1].read_text()


def commands(server: Postfix) -> Counter[str]:
    """How often Postfix was sent each command, in the sessions that are over, refused ones included."""
    counts: Counter[str] = Counter()
    for line in log_of(server).splitlines():
        if "postfix/smtpd[" in line and " disconnect from " in line:
            for name, _, text in (word.partition("=") for word in line.split(" disconnect from ")[1].split()[1:]):
                counts[name] += int(text.rpartition("/")[2])
    return counts


def arrived(sink: Sink) -> dict[int, bytes]:
    """What came out at the end, by its mark, without the two Received fields."""
    found: dict[int, bytes] = {}
    for message in sink.messages:
        content = RECEIVED.sub(b"", message.content, count=1)
        number = int(content.split(b"\r\n")[0].removeprefix(b"Mark: "))
        assert number not in found, f"{number} came twice"
        found[number] = content
    return found


def check_arrived(sink: Sink, wanted: Mapping[int, bytes]) -> None:
    """Waits until all have come; each must be unaltered, and nothing else may come."""
    wait_for(lambda: len(sink.messages) >= len(wanted), 60, lambda: f"{len(sink.messages)} of {len(wanted)} came")
    found = arrived(sink)
    assert found.keys() == wanted.keys()
    altered = [number for number, content in wanted.items() if found[number] != content]
    assert not altered, [(number, wanted[number][:200], found[number][:200]) for number in altered]


@pytest.mark.parametrize("way", ["chunks", "DATA"])
def test_every_content_arrives_octet_for_octet(tmp_path: Path, way: str) -> None:
    port, wanted = free_port(), dict(enumerate(contents()))
    with Sink() as sink, Appliance(tmp_path, port, more=LATER) as relay:
        for number, content in wanted.items():
            relay.send(f"r{number}@relay.test", content=content, options=("BODY=8BITMIME",))
        with postfix(tmp_path, sink, port, way) as server:
            relay.run("queue", "retry", "--all")
            check_arrived(sink, wanted)
            wait_for(lambda: not relay.queue(), 20, "an empty queue")
            told = relay.metrics()
            sent = stopped(relay, server)
    assert {message.recipients for message in sink.messages} == {(f"r{number}@relay.test",) for number in wanted}
    took = {result: told[f'relay_delivery_chunking_connections_total{{result="{result}"}}'] for result in TOLD}
    assert (took["taken"] > 0, took["refused"]) == (way == "chunks", 0)
    assert sent["data"] == (1 if way == "chunks" else len(wanted)), "in chunks all but the content in a file"
    assert (sent["bdat"] >= len(wanted)) == (way == "chunks"), "one more for each connection"


@pytest.mark.parametrize("way", ["chunks", "DATA"])
def test_what_postfix_refuses_does_not_touch_its_neighbours(tmp_path: Path, way: str) -> None:
    """MAIL, one recipient or all, for good or for now, and the content: each between messages that are taken."""
    kinds = [
        (ANNA, ("r@relay.test",)),
        (ANNA, ("r@relay.test", GONE, BUSY)),
        (UNWANTED, ("r@relay.test",)),
        (ANNA, (GONE,)),
        (LATE, ("r@relay.test",)),
        (ANNA, (BUSY,)),
    ]
    messages = list(enumerate(kinds * 20))
    contents = {number: b"Mark: %d\r\n\r\n.text\r\n" % number for number, _ in messages}
    wanted = {number: contents[number] for number, kind in messages if kind in kinds[:2]}
    bounces, port = {ANNA: 40, UNWANTED: 20, LATE: 20}, free_port()
    relay = Appliance(tmp_path, port, more=LATER)
    for account in bounces:
        relay.add_account(account)
    with Sink() as sink, relay:
        for number, (sender, recipients) in messages:
            relay.send(*recipients, sender=sender, content=contents[number])
        with postfix(tmp_path, sink, port, way) as server:
            relay.run("queue", "retry", "--all")
            check_arrived(sink, wanted)
            wait_for(lambda: len(relay.queue()) == 40, 20, lambda: f"{len(relay.queue())} wait, not 40")
            stored = lambda: {account: len(relay.stored(account)) for account in bounces}  # noqa: E731 - one word for it
            wait_for(lambda: stored() == bounces, 20, lambda: f"bounces: {stored()}")
            waiting = {(*entry["recipients"], entry["status"], entry["attempts"]) for entry in relay.queue()}
            sent = stopped(relay, server)
    assert waiting == {(BUSY, "4.2.1", 1)}
    for account, reason in ((ANNA, b"gone"), (UNWANTED, b"not from you"), (LATE, b"not this")):
        assert all(reason in bounce for bounce in relay.stored(account))
    assert {message.recipients for message in sink.messages} == {("r@relay.test",)}
    assert (sent["bdat"] > 0, sent["data"] > 0) == (way == "chunks", way == "DATA")
