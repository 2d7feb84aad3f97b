"""Two listeners of one worker, each with its own settings of ``[smtp]``."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from relay.config.declare import Setting, declarations
from relay.config.smtp import SmtpSettings
from relay.smtp import Service
from tests.smtp.stand import SECOND, Peer, Stand


class Listeners:
    """One as the section says, and one with values of its own; both in the context of one worker."""

    def __init__(self, **own: Any) -> None:
        self.stand = Stand()
        settings = dataclasses.replace(self.stand.config.smtp, **own)
        self.services = {
            "common": self.stand.service,
            "own": Service(self.stand.context, "own", "mx", settings, self.stand.service.pipeline),
        }

    def connect(self, name: str) -> Peer:
        self.stand.service = self.services[name]
        return self.stand.connect()

    def say(self, *lines: str) -> dict[str, str]:
        """The last line of the replies at each, when each line waits for its reply."""
        peers = {name: self.connect(name) for name in self.services}
        return {name: [peer.say(line)[-1] for line in lines][-1] for name, peer in peers.items()}


class Recorded:
    """Settings that remember which of them were read."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self.settings, name)


def test_every_setting_that_a_listener_may_have_of_its_own_is_read_from_its_settings() -> None:
    """One that is added and read from the worker's would do nothing in ``[listener.smtp]``."""
    recorded = Recorded(Stand().config.smtp)
    Service(Stand().context, "own", "mx", recorded, Stand().service.pipeline)  # type: ignore[arg-type]
    able = {name for name, each in declarations(SmtpSettings) if isinstance(each, Setting) and not each.shared}
    assert recorded.read == able


@pytest.mark.parametrize(
    ("own", "lines", "common", "different"),
    [
        ({"max_recipients": 1},
         ["EHLO a.test", "MAIL FROM:<>", "RCPT TO:<anna@local.test>", "RCPT TO:<bert@local.test>"],
         "250 2.1.5", "452 4.5.3 Too many recipients in one transaction: the limit is 1"),
        ({"max_message_size": 5000}, ["EHLO a.test", "MAIL FROM:<> SIZE=5001"], "250 2.1.0", "552 5.3.4"),
        ({"max_line": 512}, [f"NOOP {'x' * 600}"], "250 2.0.0", "500 5.5.2"),
        ({"max_commands": 10}, ["NOOP"] * 11, "250 2.0.0", "421 4.7.0"),
        ({"max_errors": 2}, ["NONE", "NONE"], "500 5.5.1", "421 4.7.0"),
        ({"strict_helo": False}, ["EHLO a_b c"], "501 5.5.4", "250 "),
        ({"lenient_addresses": False}, ["EHLO a.test", "MAIL FROM:<a..b@a.test>"], "250 2.1.0", "501 5.1.7"),
    ],
)  # fmt: skip
def test_a_limit_of_one_listener_is_not_that_of_the_other(own, lines, common, different):
    found = Listeners(**own).say(*lines)
    assert found["common"].startswith(common)
    assert found["own"].startswith(different)


def test_greeting_and_size_are_the_listeners_own() -> None:
    listeners = Listeners(banner="no mail here", max_message_size=4321)
    common, own = listeners.connect("common"), listeners.connect("own")
    assert own.greeting.endswith(b" no mail here\r\n")
    assert not common.greeting.endswith(b" no mail here\r\n")
    assert "250-SIZE 4321" in own.say("EHLO a.test")
    assert f"250-SIZE {listeners.stand.config.smtp.max_message_size}" in common.say("EHLO a.test")


def test_a_content_is_judged_by_the_limits_of_its_listener() -> None:
    listeners = Listeners(max_message_size=2000, max_hops=1, max_content_line=998)
    for content, status in (
        ("x" * 100 + "\r\n", "250 2.0.0"),
        (("y" * 70 + "\r\n") * 40, "552 5.3.4"),
        ("y" * 1000 + "\r\n", "554 5.6.0"),
        ("Received: a\r\n" * 2 + "\r\n", "554 5.4.6"),
    ):
        for name, expected in (("common", "250 2.0.0"), ("own", status)):
            peer = listeners.connect(name).begin("anna@local.test")
            peer.say("DATA")
            assert peer.send(content.encode() + b".\r\n").decode().startswith(expected)


def test_waits_are_the_listeners_own() -> None:
    listeners = Listeners(command_timeout=10.0, banner_delay=2.0)
    common, own = listeners.connect("common"), listeners.connect("own")
    assert (common.greeting[:4], own.greeting) == (b"220 ", b"")
    listeners.stand.pass_time(3)
    assert own.take().startswith(b"220 ")
    assert common.session.deadline - own.session.deadline > 200 * SECOND
    listeners.stand.pass_time(20)
    assert own.take().startswith(b"421 4.4.2")
    assert not common.session.is_over


def test_connections_of_a_client_are_counted_together_and_judged_by_each_listener() -> None:
    listeners = Listeners(max_connections_per_client=2)
    assert listeners.connect("common").greeting.startswith(b"220 ")
    assert listeners.connect("own").greeting.startswith(b"220 ")
    assert listeners.connect("own").greeting.startswith(b"421 4.7.0 ")
    assert listeners.connect("common").greeting.startswith(b"220 ")
