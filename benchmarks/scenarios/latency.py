"""How long the answer to the end of data takes at fixed rates: open loop, corrected for coordinated omission.

Every message has an intended time, and its latency includes how late it was begun. A server that did not keep up with
a rate is not asked for a higher one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from benchmarks.comparison import describe, latencies, suited
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import SERVERS, Server, Site
from benchmarks.servers.base import DOMAIN, ServerError, free_port
from benchmarks.tools import Load, OwnSink, ToolError, missing, send

RATES: Final = (100, 500, 1000, 2000, 5000, 10_000, 20_000)
KEPT_UP: Final = 0.95
COLUMNS: Final = (
    Column("accept_p50_ms", "p50 ms", 2),
    Column("accept_p99_ms", "p99 ms", 2),
    Column("accept_p99.9_ms", "p99.9 ms", 2),
    Column("accept_per_second", "messages/s"),
    Column("cpu_us", "CPU µs/message"),
)


def run(run: Run, settings: Settings) -> None:
    """One session as fast as it goes, then 50 sessions at each rate."""
    if why := missing("own"):
        run.note(f"latency: {why}")
        return
    repetitions, seconds = settings.repetitions or 5, settings.seconds or 3.0
    sink_port = free_port()
    with ExitStack() as stack:
        stack.enter_context(OwnSink(sink_port))
        servers = started(run, stack, settings, sink_port)
        works: list[tuple[str, Load, float]] = [("one session, as fast as it goes", one_session(seconds), 0)]
        works += [(f"{rate:,} messages/s, 50 sessions", at_rate(rate, seconds), rate) for rate in RATES]
        works = [work for work in works if settings.wanted(work[0])]
        run.expect(len(works) * len(servers) * repetitions)
        behind: set[str] = set()
        for work, load, rate in works:
            for repetition in range(repetitions):
                for server in servers:
                    run.step(f"{work}, {server.name}")
                    if server.name not in behind:
                        measure(run, work, load, server, repetition)
            behind |= {name for name in (server.name for server in servers) if fell_behind(run, work, name, rate)}


def one_session(seconds: float) -> Load:
    """Closed loop."""
    return Load("own", "lock-step", sessions=1, more=("--duration", str(seconds), "--warm-up", "0.3"))


def at_rate(rate: int, seconds: float) -> Load:
    """Open loop."""
    return Load("own", "lock-step", more=("--rate", str(rate), "--duration", str(seconds), "--warm-up", "0.5"))


def started(run: Run, stack: ExitStack, settings: Settings, sink_port: int) -> list[Server]:
    """The servers that are here, running."""
    found = []
    for name in settings.servers:
        if why := SERVERS[name].missing():
            run.note(f"{name}: not measured, {why}")
            continue
        server = SERVERS[name](Site(run.folder, free_port(), {DOMAIN: sink_port}))
        run.servers[name] = describe(server)
        try:
            found.append(stack.enter_context(server))
        except ServerError as fault:
            run.note(f"{name}: not measured, {fault}")
    return found


def measure(run: Run, work: str, load: Load, server: Server, repetition: int) -> None:
    """One server at one rate, once."""
    server.group.settle()
    before = server.group.cpu_seconds()
    try:
        sent = send(suited(load, server), server.port, 10_000_000)
    except ToolError as fault:
        run.note(f"{work}, {server.name}: {fault}")
        return
    run.command(sent.argv)
    server.group.settle()
    values = latencies(sent.result)
    values["accept_per_second"] = sent.result["messages_per_second"]
    if server.name != "direct" and sent.accepted:
        values["cpu_us"] = (server.group.cpu_seconds() - before) / sent.accepted * 1e6
    run.add(Measurement(work, server.name, repetition, values))


def fell_behind(run: Run, work: str, name: str, rate: float) -> bool:
    """Whether the server did less than nearly all of the rate in a repetition of this work."""
    return any(
        one.values["accept_per_second"] < KEPT_UP * rate
        for one in run.measurements
        if one.work == work and one.server == name
    )
