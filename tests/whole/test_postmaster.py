"""Mail for postmaster is taken and ends where somebody reads it (RFC 5321 4.5.1); or it is not taken."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink


@pytest.mark.parametrize(
    "recipient",
    [
        "postmaster@local.test",
        "PostMaster@local.test",
        "postmaster",
        "postmaster@mx.relay.example",
        "Postmaster@MX.relay.example",
        "MAILER-DAEMON@mx.relay.example",
        "mailer-daemon@local.test",
    ],
)
def test_with_an_account_the_first_one_gets_it(tmp_path: Path, recipient: str) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            relay.send(recipient)
            wait_for(lambda: relay.stored("alice@local.test"), 10, lambda: f"stored\n{relay.tail()}")


def test_without_any_account_it_is_refused_until_there_is_one(tmp_path: Path) -> None:
    """Kept where nobody can open it, it would be lost."""
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        for recipient in ("postmaster@local.test", "postmaster", "MAILER-DAEMON@mx.relay.example"):
            with pytest.raises(AssertionError, match=r"4\.3\.5 No mailbox"):
                relay.send(recipient, sender="")
        assert not (relay.data / "mail").exists()
        relay.add_account("alice@local.test")

        def is_taken() -> bool:
            with contextlib.suppress(AssertionError):
                relay.send("postmaster@local.test")
                return True
            return False

        wait_for(is_taken, 10, "taken once there is an account")
        wait_for(lambda: relay.stored("alice@local.test"), 10, lambda: f"stored\n{relay.tail()}")


def test_the_configured_one_wins(tmp_path: Path) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port, top='postmaster = "boss@relay.test"')
        relay.add_account("alice@local.test")
        with relay:
            relay.send("postmaster@local.test")
            wait_for(lambda: sink.messages, 10, lambda: f"there\n{relay.tail()}")
            assert [message.recipients for message in sink.messages] == [("boss@relay.test",)]


def test_an_account_named_postmaster_is_the_postmaster(tmp_path: Path) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        relay.add_account("postmaster@local.test")
        with relay:
            relay.send("Postmaster@local.test")
            wait_for(lambda: relay.stored("postmaster@local.test"), 10, lambda: f"stored\n{relay.tail()}")
            assert not relay.stored("alice@local.test")
