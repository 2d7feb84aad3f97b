"""relay trace beside a running appliance: what became of real mail."""

import smtplib
from pathlib import Path

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.sink import Sink


def test_why_was_this_mail_rejected_is_answered_in_one_command(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    busy = lambda stage, _: "450 4.2.1 Mailbox busy" if stage == "rcpt" else None  # noqa: E731 - one word for it
    with (
        Sink(answer=busy) as sink,
        Appliance(tmp_path, sink.port, more=f'[log]\ndestination = "{log}"') as relay,
    ):
        relay.send("someone@relay.test")
        relay.run("queue", "list")
        wait_for(lambda: "450" in relay.run("trace", "relay.test", check=False), 20, "a deferred delivery")
        story = relay.run("trace", "someone@relay.test")
        assert "accepted from 127.0.0.1" in story
        assert "deferred for someone@relay.test by 127.0.0.1" in story
        assert "they said:  450 4.2.1 Mailbox busy" in story
        assert "next try:" in story
        # Whoever was refused has nothing but the line that it got.
        with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
            client.ehlo()
            client.mail("eve@example.net")
            code, text = client.rcpt("nobody@local.test")
        wait_for(lambda: "example.net" in log.read_text(), 20, "the line of the refusal")
        (told,) = relay.run("trace", f"{code} {text.decode()}").splitlines()[:1]
        assert "from <eve@example.net>: refused" in told


def test_mail_behind_a_next_hop_that_is_away_is_told_with_reason_and_next_try(tmp_path: Path) -> None:
    """Only the connection failed, so no line in the log speaks of the message; also when the appliance is stopped."""
    log = tmp_path / "mail.log"
    with Appliance(tmp_path, free_port(), more=f'[log]\ndestination = "{log}"') as relay:
        relay.run("account", "add", "ann@local.test", "--generate")
        relay.send("someone@relay.test")
        wait_for(lambda: "is away" in relay.run("trace", "relay.test", check=False), 20, "a suspended next hop")
        story = relay.run("trace", "someone@relay.test")
        assert ": deferred" in story.splitlines()[0]
        assert "cannot connect: Connection refused" in story
        assert "next try:" in story
        assert "Nobody answers there" in story
        relay.send("postmaster@local.test")
        wait_for(lambda: "delivered" in relay.run("trace", "postmaster@local.test", check=False), 20, "a delivery")
        assert "redirected: postmaster@local.test: ann@local.test" in relay.run("trace", "postmaster@local.test")
        relay.end()
        assert "now " in relay.run("trace", "someone@relay.test")
