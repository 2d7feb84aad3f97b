"""What the spool costs: append on the loop's thread, and append to commit on the disk.

    python benchmarks/micro_spool.py [--folder DIR] [--seconds 3] [--size 1024]

Prints records/s and commit latency for 1, 10, 50 and 200 waiters that each append again as soon as they are told that
their record is synced; then what one append, one record of a tail and one load cost in microseconds. The folder must
be on the disk that is to be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import uvloop

from relay.mail.envelope import Client, Envelope
from relay.spool import LogReader, LogWriter, SpoolError, Tail, lock_data_dir


class Settings(NamedTuple):
    """Stands for config.spool."""

    segment_size: int = 64 << 20
    spare_segments: int = 2
    min_free_bytes: int = 0
    min_free_inodes: int = 0


class Session:
    """Appends, waits, appends again."""

    def __init__(self, writer: LogWriter, envelope: bytes, content: list[bytes], latencies: list[float]) -> None:
        self.writer = writer
        self.envelope = envelope
        self.content = content
        self.latencies = latencies
        self.is_running = True
        self.started = 0.0

    def go(self) -> None:
        self.started = time.perf_counter()
        self.writer.append(self.envelope, self.content, self)

    def spooled(self, error: SpoolError | None) -> None:
        if error is not None:
            raise error
        self.latencies.append(time.perf_counter() - self.started)
        if self.is_running:
            self.go()


def envelope() -> bytes:
    client = Client("192.0.2.7", "client.example.org", "ESMTP", "", "", "mx")
    recipients = (b"somebody@relay.test",)
    return Envelope(
        "0123456789ABC", 1_700_000_000_000_000, b"someone@example.org", recipients, 0, 1200, "S123", client
    ).pack()


class Reports:
    """Plays a delivery worker that has finished everything it is told of, so that segments are recycled."""

    def __init__(self) -> None:
        self.writer: LogWriter | None = None
        self.records = 0
        self.batches = 0

    def committed(self, segment: int, start: int, end: int, count: int, closed: bool) -> None:
        self.records += count
        self.batches += not closed
        if closed and self.writer is not None:
            self.writer.finished(0, (segment + 1, 0), {}, shards=1, generation=1)


async def run(spool_dir: Path, waiters: int, seconds: float, size: int) -> None:
    reports = Reports()
    writer = LogWriter(spool_dir, Settings(), asyncio.get_running_loop(), reports.committed)
    reports.writer = writer
    latencies: list[float] = []
    content = [b"Received: " + b"r" * 140 + b"\r\n", b"c" * size]
    sessions = [Session(writer, envelope(), content, latencies) for _ in range(waiters)]
    await asyncio.sleep(0.3)
    cpu, started = time.process_time(), time.perf_counter()
    for session in sessions:
        session.go()
    await asyncio.sleep(seconds)
    for session in sessions:
        session.is_running = False
    await writer.close()
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    latencies.sort()
    count = len(latencies)
    print(
        f"{waiters:4d} waiters  {count / wall:9,.0f} records/s  p50 {latencies[count // 2] * 1e3:.3f} ms"
        f"  p99 {latencies[count * 99 // 100] * 1e3:.3f} ms  worst {latencies[-1] * 1e3:.1f} ms"
        f"  {count / max(1, reports.batches):.1f} records/sync  {cpu / count * 1e6:.1f} us cpu/record"
    )


class Nobody:
    """Waits for nothing."""

    def spooled(self, error: SpoolError | None) -> None:
        pass


def each(label: str, count: int, call: Callable[[], object]) -> None:
    started = time.perf_counter()
    call()
    print(f"{label:32s} {(time.perf_counter() - started) / count * 1e6:.2f} us")


async def parts(spool_dir: Path, size: int) -> None:
    ends: dict[int, int] = {}

    def committed(segment: int, _start: int, end: int, _count: int, _closed: bool) -> None:
        ends[segment] = end

    writer = LogWriter(spool_dir, Settings(), asyncio.get_running_loop(), committed)
    packed, content, nobody, count = envelope(), [b"r" * 150, b"c" * size], Nobody(), 20_000

    def append() -> None:
        for _ in range(count):
            writer.append(packed, content, nobody)

    each("append (writing thread beside)", count, append)
    await writer.close()
    tail = Tail(spool_dir, writer.number, print)
    records = []

    def read() -> None:
        for segment, end in sorted(ends.items()):
            records.extend(tail.advance(segment, end, True))

    each("tail, per record", count, read)
    reader = LogReader(spool_dir)

    def load() -> None:
        for record in records:
            reader.load(record.log, record.segment, record.offset)

    each("load, per record", count, load)
    tail.close()
    reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=1024)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="spool-", dir=options.folder))
    try:
        lock = lock_data_dir(folder)
        for waiters in (1, 10, 50, 200):
            uvloop.run(run(lock.spool_dir, waiters, options.seconds, options.size))
        uvloop.run(parts(lock.spool_dir, options.size))
        lock.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
