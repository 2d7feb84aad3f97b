"""SMTPUTF8 on MAIL says that a message may need it; envelope and header sections decide (RFC 6531 3.2).

The next hop offers 8BITMIME and no SMTPUTF8.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Received, Sink

BOTH = ("BODY=8BITMIME", "SMTPUTF8")
PLAIN = "From: <alice@local.test>\r\nTo: <b@relay.test>\r\nSubject: alert\r\n\r\nDisk is 91 % full.\r\n"
IN_BODY = (
    "From: <alice@local.test>\r\nSubject: cheese\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nkäse\r\n"
)
IN_PART = (
    "From: <alice@local.test>\r\nSubject: two\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: käse\r\n\r\nx\r\n--b--\r\n"
)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(extensions=("PIPELINING", "8BITMIME")) as started:
        yield started


@pytest.fixture
def relay(tmp_path: Path, sink: Sink) -> Iterator[Appliance]:
    more = "".join(
        f'\n[[relay_domain]]\ndomain = "{domain}"\nnext_hop = "smtp://127.0.0.1:{sink.port}"\n'
        for domain in ("bü.test", "ä.test")
    )
    appliance = Appliance(tmp_path, sink.port, more=more)
    appliance.add_account("alice@local.test")
    with appliance:
        yield appliance


def sent(
    relay: Appliance, sink: Sink, *recipients: str, content: str = PLAIN, sender: str = "alice@local.test"
) -> Received:
    relay.send(*recipients, sender=sender, options=BOTH, content=content.encode())
    wait_for(lambda: sink.messages, 10, relay.tail)
    return sink.messages.pop()


def test_ascii_mail_and_utf8_in_the_body_are_delivered(relay: Appliance, sink: Sink) -> None:
    sent(relay, sink, "b@relay.test")
    assert "käse".encode() in sent(relay, sink, "b@relay.test", content=IN_BODY).content
    assert relay.stored("alice@local.test") == []


def test_a_domain_in_utf8_goes_as_a_labels(relay: Appliance, sink: Sink) -> None:
    message = sent(relay, sink, "b@bü.test")
    assert message.recipients == ("b@xn--b-eha.test",)
    assert message.content.partition(b"\r\n\r\n")[0].isascii()


def test_a_utf8_local_part_fails_alone(relay: Appliance, sink: Sink) -> None:
    message = sent(relay, sink, "jö@relay.test", "b@relay.test")
    assert message.recipients == ("b@relay.test",)
    wait_for(lambda: relay.stored("alice@local.test"), 10, relay.tail)
    (bounce,) = relay.stored("alice@local.test")
    assert b"Status: 5.6.7" in bounce
    words = " ".join(bounce.decode().split())
    assert "was reached, and takes no messages of this kind" in words
    assert "the address <jö@relay.test> has non-ASCII characters" in words


@pytest.mark.parametrize("content", ["Subject: käse\r\n\r\nx\r\n", IN_PART])
def test_a_utf8_header_section_at_any_level_fails_and_the_bounce_says_so(relay: Appliance, content: str) -> None:
    relay.send("b@relay.test", sender="alice@local.test", options=BOTH, content=content.encode())
    wait_for(lambda: relay.stored("alice@local.test"), 10, relay.tail)
    (bounce,) = relay.stored("alice@local.test")
    words = " ".join(bounce.decode().split())
    assert "Status: 5.6.7" in words
    assert "this message has non-ASCII characters in its header section" in words
    for wrong in ("could not be reached", "an address", "MAIL FROM"):
        assert wrong not in words.partition("Reporting-MTA")[0]
    wait_for(lambda: relay.deliveries("b@relay.test"), 10, relay.tail)
    assert relay.deliveries("b@relay.test")[-1]["stage"] == "helo"


def test_what_a_script_redirects_and_answers_needs_it_no_more_than_the_message(relay: Appliance, sink: Sink) -> None:
    folder = relay.data / "mail" / "local.test" / "alice" / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.sieve").write_text(
        'require ["vacation"];\nredirect "elsewhere@relay.test";\nvacation :addresses "alice@local.test" "käse";\n'
    )
    (folder / "active").symlink_to("x.sieve")
    content = IN_BODY.replace("From: <alice@local.test>", "From: <s@xn--4ca.test>\r\nTo: <alice@local.test>")
    relay.send("alice@local.test", sender="s@ä.test", options=BOTH, content=content.encode())
    wait_for(lambda: len(sink.messages) == 2, 10, relay.tail)
    assert {message.recipients for message in sink.messages} == {("elsewhere@relay.test",), ("s@xn--4ca.test",)}


def test_the_bounce_to_a_sender_with_a_utf8_domain_reaches_him(relay: Appliance, sink: Sink) -> None:
    bounce = sent(relay, sink, "jö@relay.test", sender="s@ä.test")
    assert bounce.recipients == ("s@xn--4ca.test",)
    assert b"Status: 5.6.7" in bounce.content
