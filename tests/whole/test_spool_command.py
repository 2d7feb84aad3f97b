"""``relay spool verify`` and ``dump`` on what a real appliance left on its disk."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink
from tests.support.source import Source


def test_verify_and_dump_read_what_a_killed_appliance_left(tmp_path: Path) -> None:
    with Sink(answer=lambda stage, argument: "450 4.2.0 later" if stage == "rcpt" else None) as sink:
        relay = Appliance(tmp_path, sink.port)
        with relay:
            source = Source(relay.smtp_port, sessions=4, messages=100)
            source.start()
            source.join(20)
            large = relay.send("b@relay.test", content="Subject: large\r\n\r\n" + ("x" * 76 + "\r\n") * 40_000)
            wait_for(lambda: relay.deliveries("b@relay.test"), 10, "tried")
            relay.kill()
        assert relay.run("spool", "verify").endswith("no damage\n")
        assert relay.run("spool", "verify", "--quiet") == ""
        records = [json.loads(line) for line in relay.run("spool", "dump").splitlines()]
        assert len(records) == len(source.acknowledged) + 1
        assert {record["reverse_path"] for record in records} == {"sender@source.test", "a@source.test"}
        (one,) = [record for record in records if record["queue_id"] == large]
        assert one["is_large"] is True
        assert one["recipients"] == ["b@relay.test"]
        assert one["client"]["helo"] == "source.test"
        log = one["log"]
        only = [json.loads(line) for line in relay.run("spool", "dump", "--log", str(log)).splitlines()]
        assert only == [record for record in records if record["log"] == log]


def test_verify_finds_damage_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    with Sink(answer=lambda stage, argument: "450 4.2.0 later" if stage == "rcpt" else None) as sink:
        relay = Appliance(tmp_path, sink.port, smtp_workers=1)
        with relay:
            source = Source(relay.smtp_port, sessions=1, messages=20)
            source.start()
            source.join(20)
            relay.kill()
    for segment in sorted((relay.data / "spool").glob("log-*/*.seg")):
        octets = bytearray(segment.read_bytes())
        place = octets.find(b"0123456789")
        if place > 0:
            octets[place] ^= 1
            segment.write_bytes(octets)
    done = relay.result("spool", "verify")
    assert done.returncode == 1
    assert "damage" in done.stdout
    assert "1 damaged" in done.stderr
    assert "damage" in relay.result("spool", "verify", "--quiet").stdout


def test_without_a_spool_there_is_nothing_to_verify(tmp_path: Path) -> None:
    relay = Appliance(tmp_path, 1)
    assert relay.result("spool", "verify").returncode == 1
    assert relay.result("spool", "dump").returncode == 1
    assert relay.result("spool", "dump", "--log", "x").returncode == 2
