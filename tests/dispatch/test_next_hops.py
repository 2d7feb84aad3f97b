"""Kinds of next hops and what they may do to us, on loopback: LMTP, peers that lack an extension or hang up."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.config.model import RelayDomain
from relay.config.queue import QueueSettings
from relay.delivery.connect import Connector, ConnectSettings
from relay.delivery.owner import Limits
from relay.mail.envelope import BODY_8BIT, SMTPUTF8
from relay.mail.next_hop import NextHop
from relay.net.dns import Resolver
from tests.delivery.network import turning
from tests.dispatch.world import MINUTE, World
from tests.support.sink import CUT, SILENT, Sink

LIMITS = Limits()
PATIENT = QueueSettings(retry_first=60.0, retry_max=60.0)


@contextlib.asynccontextmanager
async def delivering(folder: Path, sink: Sink, limits: Limits = LIMITS, **changes: Any) -> AsyncIterator[World]:
    """A world with client sessions of the product, which delivers mail for relay.test to ``sink``."""
    async with turning() as ground:
        connector = Connector(
            ConnectSettings("mx.relay.example", limits),
            Resolver(servers=(), timeout=1.0, cache_size=10),
            ground.wheel,
            ground.poll,
            shuffle=random.shuffle,
        )
        hop = NextHop(
            "lmtp" if sink.lmtp else "smtp", "" if sink.path else "127.0.0.1", sink.port, str(sink.path or "")
        )
        world = World(
            folder, connector=connector, relay_domains=(RelayDomain("relay.test", hop),), queue=PATIENT, **changes
        )
        async with world:
            yield world


def at_rcpt(reply: str) -> Callable[[str, str], str | None]:
    return lambda stage, _: reply if stage == "rcpt" else None


async def bounce(world: World) -> str:
    await world.until(world.reports, "the bounce")
    await world.idle()
    (octets,) = world.stored()
    return octets.decode()


@pytest.mark.parametrize("transport", ["tcp", "unix"])
async def test_lmtp_gives_each_recipient_its_own_outcome(tmp_path: Path, transport: str) -> None:
    """RFC 2033 4.2."""
    replies = {"full@relay.test": ["452 4.2.2 full", "250 2.1.5 has room again"], "gone@relay.test": ["550 5.1.1 gone"]}

    def answer(stage: str, argument: str) -> str | None:
        if stage == "rcpt" and argument == "nobody@relay.test":
            return "550 5.1.1 nobody"
        return replies[argument].pop(0) if stage == "content" and replies.get(argument) else None

    with Sink(lmtp=True, answer=answer, path=tmp_path / "lmtp.sock" if transport == "unix" else None) as store:
        async with delivering(tmp_path, store) as world:
            names = ("ok", "full", "gone", "nobody", "two")
            await world.submit(*[f"{name}@relay.test".encode() for name in names])
            await world.in_time(lambda: len(store.messages) == 2, 2 * MINUTE, "both times")
            assert [message.recipients for message in store.messages] == [
                ("ok@relay.test", "two@relay.test"),
                ("full@relay.test",),
            ]
            text = (await bounce(world)).replace("; ", ";")
            for name in ("gone", "nobody"):
                assert f"Final-Recipient: rfc822;{name}@relay.test" in text
            assert "Final-Recipient: rfc822;full@relay.test" not in text
            assert world.metric("relay_delivery_attempts_total", "lmtp") == 2


async def test_domains_without_a_next_hop_of_their_own_share_a_transaction_with_the_smarthost(tmp_path: Path) -> None:
    with Sink() as near, Sink() as smart:
        async with delivering(tmp_path, near, smarthost=NextHop("smtp", "127.0.0.1", smart.port)) as world:
            await world.submit(b"b@relay.test", b"x@one.example", b"y@two.example")
            await world.idle()
            assert [message.recipients for message in near.messages] == [("b@relay.test",)]
            assert [message.recipients for message in smart.messages] == [("x@one.example", "y@two.example")]


@pytest.mark.parametrize(
    ("extensions", "content", "flags", "status"),
    [
        (("PIPELINING",), "Subject: 8\r\n\r\nm\u00fc\r\n", BODY_8BIT, "5.6.3"),
        (("PIPELINING", "8BITMIME"), "Subject: gr\u00fc\u00dfe\r\n\r\nhello\r\n", BODY_8BIT | SMTPUTF8, "5.6.7"),
    ],
)
async def test_what_a_peer_cannot_be_sent_fails_and_nothing_else_is_the_matter_with_it(
    tmp_path: Path, extensions: tuple[str, ...], content: str, flags: int, status: str
) -> None:
    """RFC 6152 3, RFC 6531 3.6."""
    with Sink(extensions=extensions) as sink:
        async with delivering(tmp_path, sink) as world:
            await world.submit(b"b@relay.test", content=content.encode(), flags=flags)
            assert status in await bounce(world)
            assert not sink.messages
            await world.submit(b"b@relay.test")
            await world.idle()
            assert len(sink.messages) == 1, "an ordinary message goes"


@pytest.mark.parametrize(
    ("extensions", "content", "flags", "text"),
    [
        (("SIZE 600",), "Subject: s\r\n\r\n" + "y" * 70 + "\r\n", 0, "takes messages of up to 600 octets"),
        (("PIPELINING",), "Subject: s\r\n\r\nm\u00fc\r\n", BODY_8BIT, "this message has 8-bit content"),
    ],
)
async def test_a_bounce_says_what_the_answer_to_ehlo_ruled_out(
    tmp_path: Path, extensions: tuple[str, ...], content: str, flags: int, text: str
) -> None:
    """RFC 6522 3: the server was reached, and was told no sender."""
    with Sink(extensions=extensions) as sink:
        async with delivering(tmp_path, sink) as world:
            await world.submit(b"b@relay.test", content=(content + 10 * ("x" * 70 + "\r\n")).encode(), flags=flags)
            words = " ".join((await bounce(world)).split())
            assert "The mail server 127.0.0.1 was reached, and takes no messages of this kind" in words
            assert text in words
            assert "could not be reached" not in words
            assert not sink.messages


@pytest.mark.parametrize(
    ("reply", "status"), [("552 5.2.2 This mailbox is full", "5.2.2"), ("550 4.2.2 Full", "4.2.2")]
)
async def test_a_refusal_for_good_bounces_at_once_as_it_was_said(tmp_path: Path, reply: str, status: str) -> None:
    """RFC 5321 4.2.1: by its code, whatever its enhanced status; 552 to the only recipient is a full mailbox."""
    with Sink(answer=at_rcpt(reply)) as sink:
        async with delivering(tmp_path, sink) as world:
            await world.submit(b"b@relay.test")
            text = await bounce(world)
            for field in ("Action: failed", f"Status: {status}", f"Diagnostic-Code: smtp; {reply}"):
                assert field in text
            (line,) = world.deliveries("b@relay.test")
            assert (line["outcome"], line["code"], line["status"]) == ("failed", int(reply[:3]), status)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "content"])
async def test_a_next_hop_that_hangs_up_midway_gets_the_message_again(tmp_path: Path, stage: str) -> None:
    cuts = [stage, stage]

    def answer(now: str, argument: str) -> str | None:
        if cuts and now == stage:
            cuts.pop()
            return CUT
        return None

    with Sink(answer=answer) as sink:
        async with delivering(tmp_path, sink) as world:
            await world.submit(b"b@relay.test", b"c@relay.test")
            await world.in_time(lambda: sink.messages, 2 * MINUTE, "the message")
            await world.idle()
            assert not cuts
            assert [message.recipients for message in sink.messages] == [("b@relay.test", "c@relay.test")]


async def test_a_silent_next_hop_meets_the_timeouts(tmp_path: Path) -> None:
    """RFC 5321 4.5.3.2; the stage is named in the log."""
    with Sink(answer=at_rcpt(SILENT), extensions=()) as sink:
        async with delivering(tmp_path, sink, Limits(rcpt=0.1)) as world:
            await world.submit(b"b@relay.test")
            await world.until(lambda: world.deliveries("b@relay.test"), "deferred")
            (line,) = world.deliveries("b@relay.test")
            assert (line["outcome"], line["stage"], line["status"]) == ("deferred", "rcpt", "4.4.2")
