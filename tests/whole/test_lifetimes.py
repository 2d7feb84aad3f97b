"""Messages that wait: the one delay notice and the end of the lifetime (more in tests/dispatch/test_lifetimes.py)."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

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
