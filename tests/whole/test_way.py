"""The way of a message through the real appliance: in over SMTP, out at a next hop, a mailbox, or back as a DSN."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Received, Sink
from tests.support.source import Source, name_of


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as started:
        yield started


@pytest.fixture
def relay(tmp_path: Path, sink: Sink) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path, sink.port)
    appliance.run("account", "add", "alice@local.test", "--password-stdin", text="correct horse battery\n")
    with appliance:
        yield appliance


def body_after_received(message: Received) -> bytes:
    """The content without the Received field that Relay put in front."""
    assert message.content.startswith(b"Received: from ")
    position = message.content.index(b"\r\n")
    while message.content[position + 2 : position + 3] in (b" ", b"\t"):
        position = message.content.index(b"\r\n", position + 2)
    return message.content[position + 2 :]


def maildir_messages(relay: Appliance, account: str) -> list[bytes]:
    """Every message in the account's Maildir."""
    local, _, domain = account.partition("@")
    folder = relay.data / "mail" / domain / local / "new"
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []


def test_two_thousand_messages_arrive_byte_identical_and_none_twice(relay: Appliance, sink: Sink) -> None:
    source = Source(relay.smtp_port, sessions=20, messages=2000, size=1024)
    source.start()
    source.join(60)
    wait_for(lambda: len(sink.messages) >= len(source.acknowledged), 30, lambda: f"{len(sink.messages)} arrived")
    counts = Counter(name_of(message.content) for message in sink.messages)
    assert set(counts) == source.acknowledged
    assert max(counts.values()) == 1
    for message in sink.messages:
        assert body_after_received(message) == source.content(name_of(message.content))
        assert message.recipients == ("someone@relay.test",)
        assert message.reverse_path == "sender@source.test"


def test_lines_that_begin_with_dots_arrive_as_they_were_sent(relay: Appliance, sink: Sink) -> None:
    """RFC 5321 4.5.2."""
    content = "Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nend.\r\n"
    with smtplib.SMTP("127.0.0.1", relay.smtp_port) as client:
        client.sendmail("a@source.test", ["b@relay.test"], content)
    wait_for(lambda: sink.messages, 10, "the message at the sink")
    assert body_after_received(sink.messages[0]) == content.encode()


def test_large_contents_go_through_their_own_file(relay: Appliance, sink: Sink) -> None:
    content = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n.y\r\n") * 60_000
    with smtplib.SMTP("127.0.0.1", relay.smtp_port) as client:
        client.sendmail("a@source.test", ["b@relay.test", "alice@local.test"], content)
    wait_for(lambda: sink.messages, 20, "the message at the sink")
    wait_for(lambda: maildir_messages(relay, "alice@local.test"), 20, "the message in the Maildir")
    assert body_after_received(sink.messages[0]) == content.encode()
    assert maildir_messages(relay, "alice@local.test")[0].endswith(content.encode().replace(b"\r\n", b"\n"))


def test_one_message_reaches_a_mailbox_and_a_next_hop(relay: Appliance, sink: Sink) -> None:
    with smtplib.SMTP("127.0.0.1", relay.smtp_port) as client:
        client.sendmail(
            "a@source.test", ["alice+tag@local.test", "b@relay.test", "c@relay.test"], "Subject: both\r\n\r\nhello\r\n"
        )
    wait_for(lambda: sink.messages and maildir_messages(relay, "alice@local.test"), 10, "both copies")
    assert sink.messages[0].recipients == ("b@relay.test", "c@relay.test")
    stored = maildir_messages(relay, "alice@local.test")[0]
    assert stored.startswith(b"Return-Path: <a@source.test>\n")
    assert b"Delivered-To: alice" in stored
    assert len(sink.messages) == 1


def test_a_refused_recipient_comes_back_as_one_dsn(tmp_path: Path) -> None:
    """RFC 3464: one bounce to the reverse-path, never for the null reverse-path."""

    def answer(stage: str, argument: str) -> str | None:
        return "550 5.1.1 nobody here" if stage == "rcpt" and argument.startswith("nobody") else None

    with Sink(answer=answer) as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.run("account", "add", "alice@local.test", "--password-stdin", text="correct horse battery\n")
        with relay, smtplib.SMTP("127.0.0.1", relay.smtp_port) as client:
            client.sendmail(
                "alice@local.test",
                ["nobody1@relay.test", "nobody2@relay.test", "b@relay.test"],
                "Subject: bounce me\r\n\r\nhello\r\n",
            )
            client.sendmail("", ["nobody3@relay.test"], "Subject: never\r\n\r\nhello\r\n")
            wait_for(lambda: maildir_messages(relay, "alice@local.test"), 10, "the bounce")
            wait_for(lambda: relay.metrics()['relay_queue_entries{state="active"}'] == 0, 10, "an empty queue")
            stored = maildir_messages(relay, "alice@local.test")
            assert len(stored) == 1
            report = email.message_from_bytes(stored[0], policy=email.policy.default)
            assert report.get_content_type() == "multipart/report"
            text = stored[0].decode()
            for part in ("nobody1@relay.test", "nobody2@relay.test", "550 5.1.1 nobody here"):
                assert part in text
            assert "\nFinal-Recipient: rfc822;b@relay.test" not in text
            assert stored[0].startswith(b"Return-Path: <>\n")


def test_a_deferred_message_waits_on_disk_and_goes_out_when_the_next_hop_is_back(tmp_path: Path) -> None:
    with Sink() as sink:
        port = sink.port
    relay = Appliance(tmp_path, port, more='[queue]\nretry_first = "1s"\nretry_max = "1s"')
    with relay:
        with smtplib.SMTP("127.0.0.1", relay.smtp_port) as client:
            client.sendmail("a@source.test", ["b@relay.test"], "Subject: later\r\n\r\nhello\r\n")
        wait_for(
            lambda: '"deferred"' in relay.run("queue", "list", "--json", check=False),
            15,
            lambda: "deferred in the list: " + relay.run("queue", "list", check=False),
        )
        relay.kill()
        assert "b@relay.test" in relay.run("queue", "list")
        relay.start()
        with Sink(port=port) as sink:
            wait_for(lambda: sink.messages, 20, "the message after a restart")
        wait_for(lambda: "b@relay.test" not in relay.run("queue", "list", check=False), 10, "an empty queue")
        assert relay.terminate() == 0
