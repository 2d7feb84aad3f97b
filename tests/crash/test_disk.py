"""The disk under a running appliance: full, failing, or changed while it was down (I1, I9).

Failing system calls are injected with ``strace -e inject``; a full disk is a small tmpfs that the test mounts. Where
neither can be had the test skips with the reason, except under RELAY_CI=1.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import ANYTHING, SMALL, Appliance, wait_for
from tests.support.needs import need
from tests.support.sink import Sink
from tests.support.source import Source, name_of
from tests.support.waiting import pause

PATIENT = f"{SMALL}max_errors = 1000\n"


def arrived(sink: Sink) -> set[str]:
    return {name_of(message.content) for message in sink.messages}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB and 400 inodes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m,nr_inodes=400", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    need(mount.returncode == 0, f"cannot mount a small file system: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_new_mail_with_452_and_keeps_what_it_has(tmp_path: Path, small_disk: Path) -> None:
    """I9; RFC 5321 4.2.2, RFC 3463 X.3.1."""
    with Sink(answer=lambda stage, _: "451 4.2.0 not now" if stage == "mail" else None) as sink:
        relay = Appliance(
            tmp_path,
            sink.port,
            data=small_disk / "data",
            smtp_workers=1,
            segment_size="2MiB",
            more='min_free_bytes = "8MiB"\nmin_free_inodes = 50\n[queue]\nretry_first = "1s"\nretry_max = "1s"',
        )
        with relay:
            source = Source(relay.smtp_port, sessions=4, messages=10**9, size=20_000)
            source.start()
            wait_for(
                lambda: any(line.startswith("452 4.3.1") for line in source.refused),
                60,
                lambda: f"a 452; {len(source.acknowledged)} accepted, {source.refused[-3:]}",
            )
            source.stop.set()
            source.join(30)
            assert all(line.startswith("452 4.3.1") for line in source.refused), set(source.refused)
            assert shutil.disk_usage(small_disk).free > 2 << 20, "room is left for what is held already"
            assert source.acknowledged
            sink.answer = lambda stage, argument: None
            wait_for(
                lambda: source.acknowledged <= arrived(sink),
                60,
                lambda: f"{len(source.acknowledged - arrived(sink))} of {len(source.acknowledged)} missing",
            )
            again = Source(relay.smtp_port, sessions=1, messages=1, prefix="again")
            again.start()
            again.join(30)
            assert again.acknowledged, "mail is taken again when there is room again"


def test_no_inodes_left_refuses_new_mail(tmp_path: Path, small_disk: Path) -> None:
    with (
        Sink() as sink,
        Appliance(
            tmp_path,
            sink.port,
            data=small_disk / "data",
            smtp_workers=1,
            segment_size="2MiB",
            more='min_free_bytes = "1MiB"\nmin_free_inodes = 50',
        ) as relay,
    ):
        for number in range(360):
            try:
                (small_disk / f"filler{number}").touch()
            except OSError:
                break
        source = Source(relay.smtp_port, sessions=1, messages=10**9)
        source.start()
        wait_for(lambda: any(line.startswith("452 4.3.1") for line in source.refused), 30, "a 452")
        source.stop.set()
        source.join(30)


@pytest.mark.parametrize("fault", [
    "pwritev2:error=EIO:when=20..22", "pwritev2:error=ENOSPC:when=10+7", "fdatasync:error=EIO:when=3+3",
    "fsync:error=EIO:when=2+3",
])  # fmt: skip
def test_what_is_acknowledged_while_system_calls_fail_is_not_lost(tmp_path: Path, fault: str) -> None:
    """DESIGN section 4: a failed sync is never retried as if it had worked."""
    need(shutil.which("strace") is not None, "strace is not installed")
    call = fault.partition(":")[0]
    with (
        Sink() as sink,
        Appliance(tmp_path, sink.port, smtp_workers=1, segment_size="2MiB", more=PATIENT, expects=ANYTHING) as relay,
    ):
        smtp = next(pid for pid, name in relay.workers().items() if "smtp" in name)
        tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}", "-p", str(smtp)],
            stderr=subprocess.DEVNULL,
        )
        try:
            pause(0.5)
            source = Source(relay.smtp_port, sessions=6, messages=10**9, size=3000)
            source.start()
            pause(2.0)
            source.stop.set()
            source.join(30)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
        assert source.acknowledged
        assert all(line[:9] in ("451 4.3.0", "452 4.3.1", "421 4.3.0") for line in source.refused), set(source.refused)
        after = Source(relay.smtp_port, sessions=2, messages=20, prefix="after")
        after.start()
        after.join(30)
        wanted = source.acknowledged | after.acknowledged
        wait_for(lambda: wanted <= arrived(sink), 30, lambda: f"missing: {len(wanted - arrived(sink))}")
        assert smtp in relay.workers(), "the worker lived on"
        if source.refused:
            wait_for(
                lambda: any(event.get("level") in ("error", "warning") for event in relay.events()),
                10,
                "it is reported",
            )


@pytest.mark.parametrize("damage", ["torn", "zeroed", "flipped", "missing"])
def test_a_damaged_segment_loses_at_most_the_damaged_records(tmp_path: Path, damage: str) -> None:
    """Records are moved to corrupt/ and reported, and the rest goes on; no crash loop."""
    with Sink() as sink:
        port = sink.port
    relay = Appliance(
        tmp_path,
        port,
        smtp_workers=1,
        segment_size="2MiB",
        expects=ANYTHING,
        more='[queue]\nretry_first = "1s"\nretry_max = "1s"',
    )
    with relay:
        source = Source(relay.smtp_port, sessions=1, messages=60, size=2000)
        source.start()
        source.join(30)
        relay.kill()
    names = sorted(source.acknowledged)
    lost = spoil(relay.data / "spool", damage)
    with Sink(port=port) as sink:
        relay.start()
        wanted = len(names) - lost
        wait_for(lambda: len(arrived(sink)) >= wanted, 30, lambda: f"{len(arrived(sink))} of {wanted}\n{relay.tail()}")
        again = Source(relay.smtp_port, sessions=1, messages=5, prefix="again")
        again.start()
        again.join(30)
        wait_for(lambda: again.acknowledged <= arrived(sink), 30, "new mail goes on")
        if damage == "flipped":
            wait_for(
                lambda: any("corrupt" in str(event.get("event")) for event in relay.events()), 10, "it is reported"
            )
        assert relay.terminate() == 0


def spoil(spool: Path, damage: str) -> int:
    """Damages the segment that holds records; returns how many whole records that may cost."""
    segments = [path for path in spool.glob("log-*/*.seg") if b"X-Name: " in path.read_bytes()]
    segment = max(segments, key=lambda path: path.read_bytes().count(b"X-Name: "))
    octets = segment.read_bytes()
    end = len(octets.rstrip(b"\0"))
    with segment.open("r+b") as file:
        if damage == "torn":
            file.truncate(end - 500)
            return 1
        if damage == "zeroed":
            file.seek(end - 700)
            file.write(bytes(700))
            return 1
        if damage == "flipped":
            place = octets.index(b"X-Name: ", end // 2) + random.randrange(100, 900)
            file.seek(place)
            file.write(bytes([octets[place] ^ 0x40]))
            return 1
    (spool / "log-9999999999").mkdir()  # a foreign folder, and a journal gone
    for journal in (spool / "journal").iterdir():
        os.truncate(journal, journal.stat().st_size // 2)
    return 0


def test_a_record_that_is_damaged_while_it_waits_is_kept_and_reported(tmp_path: Path) -> None:
    """What cannot be delivered any more is in corrupt/, in the log and in the metrics; the rest goes on."""
    with Sink() as sink:
        port = sink.port
    more = '[queue]\nretry_first = "1s"\nretry_max = "1s"'
    expects = ("corrupt record", "dsn not made")
    with Appliance(tmp_path, port, smtp_workers=1, segment_size="2MiB", more=more, expects=expects) as relay:
        source = Source(relay.smtp_port, sessions=1, messages=20, size=20_000)
        source.start()
        source.join(30)
        wait_for(lambda: '"deferred"' in relay.run("queue", "list", "--json", check=False), 15, "they wait")
        spoil(relay.data / "spool", "flipped")
        listed = relay.queue()
        assert len(listed) == 20
        assert [entry["recipients"] for entry in listed if entry["state"] == "corrupt"] == [[]], listed
        assert "its envelope cannot be read" in relay.run("queue", "list")
        with Sink(port=port) as sink:
            relay.run("queue", "retry", "--older-than", "0s", check=False)
            wait_for(lambda: len(arrived(sink)) >= 19, 30, lambda: f"{len(arrived(sink))} of 19\n{relay.tail()}")
            wait_for(lambda: relay.metrics()["relay_spool_corrupt_records_total"] == 1, 10, "counted")
        assert len(list((relay.data / "spool" / "corrupt").iterdir())) == 1
        wait_for(lambda: any(event.get("event") == "corrupt record" for event in relay.events()), 10, "it is reported")
