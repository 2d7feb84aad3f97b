"""A dead and a tarpit destination, each with many messages queued, beside a healthy one: what does that one lose?

Dead is a host that drops every SYN (a listening socket whose queue is full), tarpit a sink that takes a second
between the octets of each reply. Two instances of the server with the same configuration take turns: one has only
healthy mail, the other has the queued messages as well, and goes on trying to deliver them meanwhile.
"""

from __future__ import annotations

import contextlib
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from benchmarks.comparison import describe, latencies
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import SERVERS, Server, Site
from benchmarks.servers.base import DOMAIN, free_port
from benchmarks.tools import Load, OwnSink, Sink, ToolError, missing, send

DEAD: Final = "dead.test"
TARPIT: Final = "tarpit.test"
ALONE: Final = "healthy traffic alone"
LOAD: Final = Load("own", "pipelined")
COLUMNS: Final = (
    Column("per_second", "healthy messages/s"),
    Column("accept_p50_ms", "accept p50 ms", 2),
    Column("accept_p99_ms", "accept p99 ms", 2),
    Column("cpu_us", "CPU µs/message"),
    Column("messages", "messages each"),
)


@contextlib.contextmanager
def dead_host(port: int):  # type: ignore[no-untyped-def]  # a generator of nothing
    """A port of loopback that does not answer connections: its queue of one is full, so the kernel drops each SYN."""
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        for _ in range(4):
            peer = held.enter_context(socket.socket())
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", port))
        yield


def run(run: Run, settings: Settings) -> None:
    """Relay, or the servers asked for."""
    if why := missing("own"):
        run.note(f"slow-destination: {why}")
        return
    queued = settings.size or 100_000
    repetitions, seconds = settings.repetitions or 5, settings.seconds or 3.0
    servers = [name for name in settings.servers if name != "direct"]
    if tuple(settings.servers) == tuple(Settings().servers):
        servers = ["relay"]
        run.note("only Relay, unless --server names others: queueing the messages takes them many minutes")
    run.expect(len(servers) * (2 * repetitions + 1))
    for name in servers:
        one_server(run, name, queued, repetitions, seconds)


def one_server(run: Run, name: str, queued: int, repetitions: int, seconds: float) -> None:
    """Two instances in turns."""
    beside = f"beside a dead and a tarpit destination with {queued:,} queued each"
    healthy_port, dead_port, tarpit_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        sink = stack.enter_context(OwnSink(healthy_port))
        stack.enter_context(OwnSink(tarpit_port, "--tarpit", "1"))
        stack.enter_context(dead_host(dead_port))
        instances = {}
        for work, folder in ((ALONE, "alone"), (beside, "beside")):
            (run.folder / folder).mkdir()
            ports = {DOMAIN: healthy_port, DEAD: dead_port, TARPIT: tarpit_port}
            instances[work] = stack.enter_context(SERVERS[name](Site(run.folder / folder, free_port(), ports)))
        run.servers[name] = describe(instances[beside])
        for domain in (DEAD, TARPIT):
            run.doing(f"{name}, {queued:,} messages to {domain}")
            sent = send(LOAD, instances[beside].port, queued, domain)
            run.command(sent.argv)
            if sent.accepted < queued:
                run.note(f"{name}: {sent.accepted} of {queued} messages to {domain} accepted")
        healthy(instances[ALONE], sink, 500)
        rate = healthy(instances[ALONE], sink, 3000 if name == "relay" else 500)["per_second"]
        count = max(500, int(rate * seconds) // 100 * 100)
        for server in instances.values():
            healthy(server, sink, count)  # not measured: the disk still writes what was queued, connections are opened
        run.step()
        for repetition in range(repetitions):
            for work, server in list(instances.items())[:: 1 if repetition % 2 else -1]:
                run.doing(f"{name}, {work}")
                try:
                    run.add(Measurement(work, name, repetition, healthy(server, sink, count)))
                except ToolError as fault:
                    run.note(f"{name}, {work}: {fault}")
                run.step()


def healthy(server: Server, sink: Sink, count: int) -> dict[str, float]:
    """Mail to the healthy destination, as fast as it goes."""
    sink.reset()
    before = server.group.cpu_seconds()
    sent = send(replace(LOAD), server.port, count)
    last_at = sink.wait(count, 60)
    seconds = last_at - sent.started_at
    return {
        "messages": count,
        "per_second": count / seconds,
        "cpu_us": (server.group.cpu_seconds() - before) / count * 1e6,
        **latencies(sent.result),
    }
