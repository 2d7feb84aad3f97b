"""Addresses that RFC 5321 does not know and large providers have, from RCPT to the next hop and back in a bounce."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

ADDRESSES = ("a..b@relay.test", "a.@relay.test", ".a@relay.test", "x@relay.test.")


def test_they_reach_the_next_hop_as_written_and_bounces_come_back(tmp_path: Path) -> None:
    def answer(stage: str, argument: str) -> str | None:
        return "550 5.1.1 no" if stage == "rcpt" and "bad" in argument else None

    with Sink(answer=answer) as sink, Appliance(tmp_path, sink.port) as relay:
        for address in ADDRESSES:
            relay.send(address, sender=address)
        wait_for(lambda: len(sink.messages) == len(ADDRESSES), 20, lambda: f"there\n{relay.tail()}")
        assert {message.recipients for message in sink.messages} == {(address,) for address in ADDRESSES}
        assert {message.reverse_path for message in sink.messages} == set(ADDRESSES)
        relay.send("bad..one@relay.test", sender="a..b@relay.test")
        wait_for(lambda: len(sink.messages) == len(ADDRESSES) + 1, 20, lambda: f"a bounce\n{relay.tail()}")
        bounce = sink.messages[-1]
        assert (bounce.reverse_path, bounce.recipients) == ("", ("a..b@relay.test",))
        assert b"Final-Recipient: rfc822; bad..one@relay.test" in bounce.content
