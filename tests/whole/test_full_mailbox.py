"""``over_quota = "reject"``: the sender is told of a full mailbox while the message comes in, not by a bounce."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

LIMITS = '[mailbox]\nquota = "64KiB"\nquota_warning = 0\nover_quota = "{choice}"\n'


def send(relay: Appliance, size: int, *recipients: str, announces: bool = True) -> dict[str, tuple[int, bytes]]:
    """The recipients that were refused. With ``announces`` the client says SIZE, as most do."""
    content = "Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * (size // 72)
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
        client.ehlo("source.test")
        if not announces:
            client.esmtp_features.pop("size")
        return client.sendmail("sender@relay.test", recipients, content)


def test_who_has_no_room_is_refused_and_no_bounce_is_made(tmp_path: Path) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port, more=LIMITS.format(choice="reject"))
        for name in ("anna", "bert"):
            relay.add_account(f"{name}@local.test")
        with relay:
            send(relay, 40_000, "anna@local.test")
            wait_for(lambda: relay.stored("anna@local.test"), 10, lambda: f"stored\n{relay.tail()}")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                send(relay, 40_000, "anna@local.test")
            assert refused.value.recipients["anna@local.test"][0] == 552
            with pytest.raises(smtplib.SMTPDataError) as at_the_end:
                send(relay, 40_000, "anna@local.test", announces=False)
            assert (at_the_end.value.smtp_code, at_the_end.value.smtp_error[:6]) == (552, b"5.2.2 ")
            told = send(relay, 40_000, "anna@local.test", "bert@local.test")
            assert [(name, code) for name, (code, _) in told.items()] == [("anna@local.test", 552)]
            wait_for(lambda: relay.stored("bert@local.test"), 10, lambda: f"stored\n{relay.tail()}")
            assert send(relay, 1000, "anna@local.test") == {}
            wait_for(lambda: len(relay.stored("anna@local.test")) == 2, 10, lambda: f"stored\n{relay.tail()}")
            assert not relay.queue()
            assert not sink.messages, "no bounce"


def test_where_mail_is_deferred_it_is_taken(tmp_path: Path) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port, more=LIMITS.format(choice="defer"))
        relay.add_account("anna@local.test")
        with relay:
            send(relay, 1000, "anna@local.test")
            wait_for(lambda: relay.stored("anna@local.test"), 10, lambda: f"stored\n{relay.tail()}")
            assert send(relay, 70_000, "anna@local.test") == {}
            wait_for(lambda: "4.2.2" in str(relay.queue()), 10, lambda: str(relay.queue()))
