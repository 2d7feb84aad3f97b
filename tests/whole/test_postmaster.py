"""Mail for postmaster is always taken and always ends somewhere (RFC 5321 4.5.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink


@pytest.mark.parametrize("recipient", ["postmaster@local.test", "PostMaster@local.test", "postmaster"])
def test_with_an_account_the_first_one_gets_it(tmp_path: Path, recipient: str) -> None:
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            relay.send(recipient)
            wait_for(lambda: relay.stored("alice@local.test"), 10, lambda: f"stored\n{relay.tail()}")


def test_without_any_account_it_is_kept_in_a_mailbox_of_its_own(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        relay.send("postmaster@local.test")
        relay.send("postmaster", sender="")
        wait_for(lambda: len(relay.stored("postmaster@local.test")) == 2, 10, lambda: f"stored\n{relay.tail()}")
        assert not relay.queue()


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
