"""A great many deferred messages in Relay: what they cost in memory, how a restart goes, how fast they drain.

The sink says 451 to every recipient, so that each message is tried once and deferred. Then Relay is stopped and
started, killed and started; then the sink is replaced by one that takes everything, and ``relay queue retry`` lets
them go.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from benchmarks.comparison import describe
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import Site
from benchmarks.servers.base import DOMAIN, ServerError, free_port, greets
from benchmarks.servers.relay import Relay
from benchmarks.tools import Load, OwnSink, Sink, missing, send

MIB: Final = 1 << 20
NEVER: Final = 'retry_first = "1h"\nretry_max = "4h"'
COLUMNS: Final = (
    Column("deferred", "deferred"),
    Column("accept_per_second", "accepted/s"),
    Column("deferred_per_second", "deferred/s"),
    Column("pss_bytes", "PSS MiB", 1, 1 / MIB),
    Column("delivery_pss_bytes", "delivery workers' MiB", 1, 1 / MIB),
    Column("bytes_per_entry", "octets each"),
    Column("disk_bytes", "disk MiB", 0, 1 / MIB),
    Column("accepting_seconds", "accepting after s", 2),
    Column("known_seconds", "all known after s", 2),
    Column("kill_accepting_seconds", "… after kill -9", 2),
    Column("kill_known_seconds", "… after kill -9", 2),
    Column("drained_per_second", "drained/s"),
)


def run(run: Run, settings: Settings) -> None:
    """Relay alone."""
    if why := missing("own"):
        run.note(f"backlog: {why}")
        return
    count = settings.size or 1_000_000
    repetitions = settings.repetitions or 1
    run.expect(5 * repetitions)
    for repetition in range(repetitions):
        sink_port = free_port()
        server = Relay(Site(run.folder, free_port(), {DOMAIN: sink_port}, settings={"queue": NEVER}))
        run.servers["relay"] = describe(server)
        with server:
            values = one(run, server, sink_port, count)
        run.add(Measurement(f"{count:,} deferred messages", "relay", repetition, values))


def one(run: Run, server: Relay, sink_port: int, count: int) -> dict[str, float]:
    """All steps, once."""
    server.group.settle()
    before = sum(server.group.pss().values())
    with OwnSink(sink_port, "--refuse", "rcpt=451") as sink:
        run.command(sink.argv)
        run.step(f"{count:,} messages in")
        sent = send(Load("own", "pipelined"), server.port, count, timeout=3600)
        run.command(sent.argv)
        if sent.accepted < count:
            raise ServerError(f"{sent.accepted} of {count} accepted: {sent.result.get('errors')}")
        wait_known(server, count, state="deferred")
        deferred_at = time.time()
        server.group.settle(20)
    sizes = server.group.pss()
    by_role = server.pss_by_role()
    values: dict[str, float] = {
        "delivery_pss_bytes": by_role.get("delivery", 0),
        "deferred": count,
        "accept_per_second": count / (sent.ended_at - sent.started_at),
        "deferred_per_second": count / (deferred_at - sent.started_at),
        "pss_before_bytes": before,
        "pss_bytes": sum(sizes.values()),
        "bytes_per_entry": (sum(sizes.values()) - before) / count,
        "disk_bytes": disk_use(server.root / "data"),
    }
    run.step("restart")
    began = time.time()
    server.stop(120)
    values["stop_seconds"] = time.time() - began
    values |= {f"{name}_seconds": value for name, value in restarted(server, count).items()}
    run.step("kill -9 and restart")
    server.group.kill()
    values |= {f"kill_{name}_seconds": value for name, value in restarted(server, count).items()}
    values["pss_after_restart_bytes"] = sum(server.group.pss().values())
    run.step("draining")
    with OwnSink(sink_port) as sink:
        values["drained_per_second"] = drained(server, sink, count)
    run.step()
    return values


def restarted(server: Relay, count: int) -> dict[str, float]:
    """Starts it; seconds until it greets, until /readyz is green, until the queue knows every message again."""
    began = time.monotonic()
    server.launch()
    while not greets(server.port):
        first = server.group.first
        if (first and first.poll() is not None) or time.monotonic() - began > 300:
            raise ServerError(f"Relay did not start again:\n{server.tail()}")
        time.sleep(0.01)
    found = {"accepting": time.monotonic() - began}
    server.wait_ready()
    found["ready"] = time.monotonic() - began
    wait_known(server, count)
    found["known"] = time.monotonic() - began
    return found


def wait_known(server: Relay, count: int, state: str = "", longest_silence: float = 60) -> None:
    """Returns when the queue has ``count`` entries, in ``state`` if one is named. ServerError when no more come."""
    most, since = -1, time.monotonic()
    while True:
        waiting = server.waiting()
        now = waiting[state] if state else sum(waiting.values())
        if now >= count:
            return
        if now > most:
            most, since = now, time.monotonic()
        elif time.monotonic() - since > longest_silence:
            raise ServerError(f"{waiting} of {count} in the queue, and no more come")
        time.sleep(0.1)


def drained(server: Relay, sink: Sink, count: int) -> float:
    """Lets everything go; messages per second until the sink has them all."""
    began = time.time()
    server.command("queue", "retry", "--all")
    return count / (sink.wait(count, 120) - began)


def disk_use(folder: Path) -> int:
    """Octets on disk below a folder."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
