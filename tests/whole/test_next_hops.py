"""Next hops: LMTP, and one that hangs up under load (more in tests/dispatch/test_next_hops.py)."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import CUT, Sink
from tests.support.source import Source, name_of

SOON = '[queue]\nretry_first = "500ms"\nretry_max = "500ms"\n'


def test_lmtp_gives_each_recipient_its_own_outcome(tmp_path: Path) -> None:
    """RFC 2033 4.2."""
    said = {"full@lmtp.test": ["452 4.2.2 full", "250 2.1.5 has room again"], "gone@lmtp.test": ["550 5.1.1 gone"]}

    def answer(stage: str, argument: str) -> str | None:
        if stage == "rcpt" and argument == "nobody@lmtp.test":
            return "550 5.1.1 nobody"
        return said[argument].pop(0) if stage == "content" and said.get(argument) else None

    path = tmp_path / "lmtp.sock"
    with Sink(lmtp=True, answer=answer, path=path) as store:
        hop = f"lmtp://{path}"
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
