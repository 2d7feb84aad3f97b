"""Kinds of next hops and what they may do to us: LMTP, a smarthost, peers that lack an extension or hang up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import CUT, SILENT, Sink
from tests.support.source import Source, name_of

SOON = '[queue]\nretry_first = "500ms"\nretry_max = "500ms"\n'


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_lmtp_gives_each_recipient_its_own_outcome(tmp_path: Path, transport: str) -> None:
    """RFC 2033 4.2."""
    said = {"full@lmtp.test": ["452 4.2.2 full", "250 2.1.5 has room again"], "gone@lmtp.test": ["550 5.1.1 gone"]}

    def answer(stage: str, argument: str) -> str | None:
        if stage == "rcpt" and argument == "nobody@lmtp.test":
            return "550 5.1.1 nobody"
        return said[argument].pop(0) if stage == "content" and said.get(argument) else None

    path = tmp_path / "lmtp.sock" if transport == "unix" else None
    with Sink(lmtp=True, answer=answer, path=path) as store:
        hop = f"lmtp://{path}" if path else f"lmtp://127.0.0.1:{store.port}"
        relay = Appliance(tmp_path, 1, more=f'{SOON}\n[[relay_domain]]\ndomain = "lmtp.test"\nnext_hop = "{hop}"\n')
        relay.add_account("alice@local.test")
        with relay:
            relay.send(
                "ok@lmtp.test",
                "full@lmtp.test",
                "gone@lmtp.test",
                "nobody@lmtp.test",
                "two@lmtp.test",
                sender="alice@local.test",
            )
            wait_for(lambda: len(store.messages) == 2, 15, lambda: f"both times\n{relay.tail()}")
            assert [message.recipients for message in store.messages] == [
                ("ok@lmtp.test", "two@lmtp.test"),
                ("full@lmtp.test",),
            ]
            wait_for(lambda: relay.stored("alice@local.test"), 10, "the bounce")
            wait_for(lambda: not relay.queue(), 10, "an empty queue")
            (bounce,) = relay.stored("alice@local.test")
            assert b"gone@lmtp.test" in bounce
            assert b"nobody@lmtp.test" in bounce
            assert b"Final-Recipient: rfc822;full@lmtp.test" not in bounce.replace(b"; ", b";")
            assert relay.metrics()['relay_delivery_attempts_total{transport="lmtp"}'] == 2


def test_everything_else_goes_to_the_smarthost(tmp_path: Path) -> None:
    with (
        Sink() as near,
        Sink() as smart,
        Appliance(tmp_path, near.port, top=f'smarthost = "smtp://127.0.0.1:{smart.port}"') as relay,
    ):
        relay.send("b@relay.test", "x@one.example", "y@two.example")
        wait_for(lambda: near.messages and smart.messages, 10, "both")
        assert near.messages[0].recipients == ("b@relay.test",)
        assert smart.messages[0].recipients == ("x@one.example", "y@two.example"), "one transaction for both domains"


def test_eight_bit_content_for_a_peer_without_8bitmime_fails_with_5_6_3(tmp_path: Path) -> None:
    """RFC 6152 3: it must not be sent; nothing else is the matter with the peer."""
    with Sink(extensions=("PIPELINING",)) as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            relay.send(
                "b@relay.test",
                sender="alice@local.test",
                content="Subject: 8\r\n\r\nm\u00fc\r\n".encode(),
                options=("BODY=8BITMIME",),
            )
            wait_for(lambda: relay.stored("alice@local.test"), 10, lambda: f"the bounce\n{relay.tail()}")
            assert b"5.6.3" in relay.stored("alice@local.test")[0]
            relay.send("b@relay.test")
            wait_for(lambda: sink.messages, 10, "an ordinary message goes")
            assert len(sink.messages) == 1


def test_smtputf8_for_a_peer_without_it_fails_with_5_6_7(tmp_path: Path) -> None:
    """RFC 6531 3.6."""
    with Sink(extensions=("PIPELINING", "8BITMIME")) as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            relay.send(
                "b@relay.test",
                sender="alice@local.test",
                options=("SMTPUTF8", "BODY=8BITMIME"),
                content="Subject: gr\u00fc\u00dfe\r\n\r\nhello\r\n".encode(),
            )
            wait_for(lambda: relay.stored("alice@local.test"), 10, lambda: f"the bounce\n{relay.tail()}")
            assert b"5.6.7" in relay.stored("alice@local.test")[0]
            assert not sink.messages


@pytest.mark.parametrize(
    ("extensions", "content", "options", "said"),
    [
        (("SIZE 600",), "Subject: s\r\n\r\n" + "y" * 70 + "\r\n", (), "takes messages of up to 600 octets"),
        (("PIPELINING",), "Subject: s\r\n\r\nm\u00fc\r\n", ("BODY=8BITMIME",), "this message has 8-bit content"),
    ],
)
def test_a_bounce_says_what_the_answer_to_ehlo_ruled_out(
    tmp_path: Path, extensions: tuple[str, ...], content: str, options: tuple[str, ...], said: str
) -> None:
    """RFC 6522 3: the server was reached, and was told no sender."""
    with Sink(extensions=extensions) as sink:
        relay = Appliance(tmp_path, sink.port)
        relay.add_account("alice@local.test")
        with relay:
            octets = (content + 10 * ("x" * 70 + "\r\n")).encode()
            relay.send("b@relay.test", sender="alice@local.test", content=octets, options=options)
            wait_for(lambda: relay.stored("alice@local.test"), 10, relay.tail)
            words = " ".join(relay.stored("alice@local.test")[0].decode().split())
            assert "The mail server 127.0.0.1 was reached, and takes no messages of this kind" in words
            assert said in words
            assert "could not be reached" not in words
            assert not sink.messages


@pytest.mark.parametrize(
    ("reply", "status"), [("552 5.2.2 This mailbox is full", "5.2.2"), ("550 4.2.2 Full", "4.2.2")]
)
def test_a_refusal_for_good_bounces_at_once_as_it_was_said(tmp_path: Path, reply: str, status: str) -> None:
    """RFC 5321 4.2.1: by its code, whatever its enhanced status; 552 to the only recipient is a full mailbox."""
    asked: list[str] = []

    def answer(stage: str, argument: str) -> str | None:
        if stage == "rcpt":
            asked.append(argument)
        return reply if stage == "rcpt" else None

    with Sink(answer=answer) as sink:
        relay = Appliance(tmp_path, sink.port, more=SOON)
        relay.add_account("alice@local.test")
        with relay:
            relay.send("b@relay.test", sender="alice@local.test")
            wait_for(lambda: relay.stored("alice@local.test"), 10, relay.tail)
            (bounce,) = relay.stored("alice@local.test")
            for line in ("Action: failed", f"Status: {status}", f"Diagnostic-Code: smtp; {reply}"):
                assert line.encode() in bounce
            wait_for(lambda: relay.deliveries("b@relay.test"), 10, relay.tail)
            (line,) = relay.deliveries("b@relay.test")
            assert (line["outcome"], line["code"], line["status"]) == ("failed", int(reply[:3]), status)
            assert asked == ["b@relay.test"]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "content"])
def test_a_next_hop_that_hangs_up_midway_gets_the_message_again(tmp_path: Path, stage: str) -> None:
    cuts = [stage, stage]

    def answer(now: str, argument: str) -> str | None:
        if cuts and now == stage:
            cuts.pop()
            return CUT
        return None

    with Sink(answer=answer) as sink, Appliance(tmp_path, sink.port, more=SOON) as relay:
        relay.send("b@relay.test", "c@relay.test")
        wait_for(lambda: sink.messages, 15, lambda: f"the message\n{relay.tail()}")
        wait_for(lambda: not relay.queue(), 10, "an empty queue")
        assert not cuts
        assert [message.recipients for message in sink.messages] == [("b@relay.test", "c@relay.test")]


def test_a_next_hop_that_hangs_up_now_and_then_loses_nothing(tmp_path: Path) -> None:
    """Each hundredth end of data ends the connection before its reply: sent twice by what SMTP can know, never lost."""
    count = [0]

    def answer(stage: str, argument: str) -> str | None:
        if stage == "content":
            count[0] += 1
            return CUT if count[0] % 100 == 0 else None
        return None

    with Sink(answer=answer) as sink, Appliance(tmp_path, sink.port, more=SOON) as relay:
        source = Source(relay.smtp_port, sessions=8, messages=1000)
        source.start()
        source.join(30)
        wait_for(
            lambda: source.acknowledged <= {name_of(message.content) for message in sink.messages},
            20,
            lambda: f"{len(sink.messages)} of {len(source.acknowledged)}\n{relay.tail(10)}",
        )
        names = [name_of(message.content) for message in sink.messages]
        assert len(names) == len(set(names)), "what was cut had not been taken"
        wait_for(lambda: relay.metrics()['relay_queue_entries{state="deferred"}'] == 0, 10, "nothing left")


def test_a_silent_next_hop_meets_the_timeouts(tmp_path: Path) -> None:
    """RFC 5321 4.5.3.2; the stage is named in the queue."""

    def answer(stage: str, argument: str) -> str | None:
        return SILENT if stage == "rcpt" else None

    more = '[delivery]\nrcpt_timeout = "500ms"\n[queue]\nretry_first = "1h"\n'
    with Sink(answer=answer, extensions=()) as sink, Appliance(tmp_path, sink.port, more=more) as relay:
        relay.send("b@relay.test")
        wait_for(lambda: relay.deliveries("b@relay.test"), 10, "deferred")
        (line,) = relay.deliveries("b@relay.test")
        assert (line["outcome"], line["stage"]) == ("deferred", "rcpt")
        assert line["status"] == "4.4.2"
