"""Messages that wait: the one delay notice, the end of the lifetime, and nobody told about a DSN."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

# The queue keeps times of receipt in whole seconds: what is to come after an attempt has to be more than one away.
OFTEN = 'retry_first = "300ms"\nretry_max = "300ms"\njitter = 0.0\n'


def away(stage: str, argument: str) -> str | None:
    return "451 4.2.0 away" if stage == "rcpt" and not argument.startswith("alice") else None


def reports(relay: Appliance, account: str) -> list[EmailMessage]:
    """The DSNs in the account's Maildir, oldest first."""
    found = [email.message_from_bytes(octets, policy=email.policy.default) for octets in relay.stored(account)]
    return [each for each in found if each.get_content_type() == "multipart/report"]


def action(report: EmailMessage) -> str:
    """RFC 3464 2.3.3."""
    (status,) = [part for part in report.walk() if part.get_content_type() == "message/delivery-status"]
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    of_message, of_recipient, *_ = blocks
    assert "Action" not in of_message
    assert isinstance(of_recipient, EmailMessage)
    return str(of_recipient["Action"])


def test_a_message_that_expires_gives_one_delay_notice_and_one_bounce(tmp_path: Path) -> None:
    """RFC 5321 4.5.4.1, RFC 3461 5.2.7; the message's own retries go on in between."""
    with Sink(answer=away) as sink:
        relay = Appliance(tmp_path, sink.port, more=f'[queue]\nlifetime = "4s"\ndelay_notice_after = "2s"\n{OFTEN}')
        relay.add_account("alice@local.test")
        with relay:
            queue_id = relay.send("b@relay.test", "c@relay.test", sender="alice@local.test")
            wait_for(lambda: len(reports(relay, "alice@local.test")) == 2, 10, lambda: f"both reports\n{relay.tail()}")
            wait_for(lambda: not relay.queue(), 5, "an empty queue")
            late, end = sorted(reports(relay, "alice@local.test"), key=lambda each: action(each) != "delayed")
            assert (action(late), action(end)) == ("delayed", "failed")
            for report in (late, end):
                assert report["To"] == "alice@local.test"
                assert "451 4.2.0 away" in report.as_string()
                assert "Final-Recipient: rfc822;c@relay.test" in report.as_string().replace("; ", ";")
            outcomes = [line["outcome"] for line in relay.deliveries("b@relay.test")]
            assert outcomes[-1] == "expired"
            assert 4 < outcomes.count("deferred") < 16
            metrics = relay.metrics()
            assert metrics['relay_dsn_messages_total{kind="delay"}'] == 1
            assert metrics['relay_dsn_messages_total{kind="bounce"}'] == 1
            assert metrics['relay_delivery_recipients_total{outcome="expired"}'] == 2
            assert queue_id in {line.get("queue_id") for line in relay.deliveries("c@relay.test")}


def test_the_delay_notice_is_sent_once_also_over_a_crash(tmp_path: Path) -> None:
    with Sink(answer=away) as sink:
        relay = Appliance(tmp_path, sink.port, more=f'[queue]\ndelay_notice_after = "2s"\n{OFTEN}')
        relay.add_account("alice@local.test")
        with relay:
            relay.send("b@relay.test", sender="alice@local.test")
            wait_for(lambda: reports(relay, "alice@local.test"), 10, "the delay notice")
            wait_for(lambda: relay.metrics()['relay_dsn_messages_total{kind="delay"}'] == 1, 5, "counted")
            relay.kill()
            relay.start()
            tried = len(relay.deliveries("b@relay.test"))
            wait_for(lambda: len(relay.deliveries("b@relay.test")) > tried + 4, 10, "a few more attempts")
            assert len(reports(relay, "alice@local.test")) == 1
            assert relay.metrics()['relay_dsn_messages_total{kind="delay"}'] == 0, "none since the restart"


def test_a_dead_next_hop_counts_towards_the_lifetime(tmp_path: Path) -> None:
    """No connection is no attempt, but time passes all the same."""
    with Sink() as sink:
        port = sink.port
    relay = Appliance(tmp_path, port, more=f'[queue]\nlifetime = "3s"\ndelay_notice_after = "0s"\n{OFTEN}')
    relay.add_account("alice@local.test")
    with relay:
        relay.send("b@relay.test", sender="alice@local.test")
        wait_for(lambda: reports(relay, "alice@local.test"), 10, lambda: f"the bounce\n{relay.tail()}")
        (report,) = reports(relay, "alice@local.test")
        assert action(report) == "failed"
        assert "Connection refused" in report.as_string()


def test_nobody_is_told_what_became_of_a_dsn(tmp_path: Path) -> None:
    """RFC 5321 4.5.5: a bounce that bounces is the end of it."""

    def refuse(stage: str, argument: str) -> str | None:
        return "550 5.1.1 nobody here" if stage == "rcpt" else None

    with Sink(answer=refuse) as sink, Appliance(tmp_path, sink.port) as relay:
        relay.send("b@relay.test", sender="a@relay.test")
        wait_for(lambda: relay.deliveries("a@relay.test"), 10, "the bounce was tried")
        wait_for(lambda: not relay.queue(), 5, "an empty queue")
        assert [line["outcome"] for line in relay.deliveries("a@relay.test")] == ["failed"]
        metrics = relay.metrics()
        assert metrics['relay_dsn_messages_total{kind="bounce"}'] == 1
        assert metrics["relay_dsn_suppressed_total"] == 1


def test_a_bounce_returns_the_header_section_or_everything(tmp_path: Path) -> None:
    """RFC 3462 2: `bounce_content`."""

    def refuse(stage: str, argument: str) -> str | None:
        return "550 5.1.1 nobody here" if stage == "rcpt" else None

    content = "Subject: mine\r\nX-Kept: yes\r\n\r\nthe body\r\n"
    with Sink(answer=refuse) as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            relay.send("b@relay.test", sender="alice@local.test", content=content)
            wait_for(lambda: len(relay.stored("alice@local.test")) == 1, 10, "the bounce")
        (first,) = relay.stored("alice@local.test")
        assert b"X-Kept: yes" in first
        assert b"the body" not in first
        relay.write_config(more='[queue]\nbounce_content = "full"')
        with relay:
            relay.send("b@relay.test", sender="alice@local.test", content=content)
            wait_for(lambda: len(relay.stored("alice@local.test")) == 2, 10, "the other bounce")
        (second,) = set(relay.stored("alice@local.test")) - {first}
        assert b"X-Kept: yes\n\nthe body\n" in second


@pytest.mark.parametrize("ending", ["running", "drained", "killed"])
def test_recipients_that_fail_in_several_groups_within_a_moment_share_one_bounce(tmp_path: Path, ending: str) -> None:
    """Whether it is let run, drained or killed in that moment."""

    def refuse(stage: str, argument: str) -> str | None:
        return "550 5.1.1 nobody here" if stage == "rcpt" and not argument.startswith("ok") else None

    with Sink(answer=refuse) as one, Sink(answer=refuse) as other:
        more = f'\n[[relay_domain]]\ndomain = "other.test"\nnext_hop = "smtp://127.0.0.1:{other.port}"\n'
        relay = Appliance(tmp_path, one.port, more=more)
        relay.add_account("alice@local.test")
        with relay:
            relay.send("a@relay.test", "b@other.test", "ok@other.test", sender="alice@local.test")
            wait_for(lambda: relay.deliveries("a@relay.test") and relay.deliveries("b@other.test"), 10, "both refused")
            if ending == "drained":
                assert relay.terminate() == 0
            if ending == "killed":
                relay.kill()
            if ending != "running":
                relay.start()
            wait_for(lambda: reports(relay, "alice@local.test"), 10, lambda: f"the bounce\n{relay.tail()}")
            wait_for(lambda: not relay.queue(), 5, "an empty queue")
            (report,) = reports(relay, "alice@local.test")
            text = report.as_string()
            assert "Final-Recipient: rfc822; a@relay.test" in text
            assert "Final-Recipient: rfc822; b@other.test" in text
            assert "Final-Recipient: rfc822; ok@other.test" not in text
