"""Copying forward: one message that waits must not keep a whole segment (DESIGN section 4)."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink
from tests.support.source import Source

MIB = 1 << 20
BRIEF = 'copy_after = "1s"\nspare_segments = 0\n[queue]\nretry_first = "1h"\nretry_max = "1h"\n'


def later(stage: str, argument: str) -> str | None:
    return "450 4.2.0 later" if stage == "rcpt" and argument.startswith("later") else None


def test_what_waits_in_an_old_segment_is_copied_and_the_segment_goes(tmp_path: Path) -> None:
    with Sink(answer=later) as sink:
        relay = Appliance(tmp_path, sink.port, smtp_workers=1, segment_size="2MiB", more=BRIEF)
        with relay:
            small = relay.send("later1@relay.test", "later2@relay.test", "now@relay.test")
            large_content = "Subject: large\r\n\r\n" + ("x" * 76 + "\r\n") * 20_000
            relay.send("later3@relay.test", content=large_content)
            held = relay.send("later4@relay.test")
            wait_for(lambda: len(relay.queue()) == 3, 10, "three wait")
            relay.run("queue", "hold", held)
            before = relay.waiting()
            old = [path for path in (relay.data / "spool").glob("log-*/0000000001.seg") if small_is_in(path, small)]
            assert len(old) == 1
            source = Source(relay.smtp_port, sessions=2, messages=100, size=30_000)
            source.start()
            source.join(20)
            wait_for(
                lambda: relay.metrics()["relay_spool_copied_records_total"] == 3, 20, lambda: f"copied\n{relay.tail()}"
            )
            wait_for(lambda: not old[0].exists(), 10, "the old segment is gone")
            assert relay.waiting() == before, "they wait as before"
            relay.kill()
            assert relay.run("spool", "verify").endswith("no damage\n")
            assert relay.waiting() == before, "also after a crash"
            relay.start()
            sink.answer = lambda stage, argument: None
            sink.messages.clear()
            relay.run("queue", "release", held)
            relay.run("queue", "retry", "--all")
            wait_for(lambda: len(sink.messages) == 3, 10, lambda: f"delivered\n{relay.tail()}")
            wait_for(lambda: not relay.queue(), 10, "an empty queue")
            assert sorted(message.recipients for message in sink.messages) == [
                ("later1@relay.test", "later2@relay.test"),
                ("later3@relay.test",),
                ("later4@relay.test",),
            ]
            (whole,) = [message.content for message in sink.messages if len(message.content) > MIB]
            assert whole.endswith(large_content.encode())
            wait_for(lambda: not list((relay.data / "spool").glob("log-*/large/*")), 10, "no large file is left")


def small_is_in(segment: Path, queue_id: str) -> bool:
    return queue_id.encode() in segment.read_bytes()
