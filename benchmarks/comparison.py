"""The same work done by several servers in one run: all of them are up, one of them works at a time, in turns.

Interleaving is what makes the ratios worth something: whatever changes on the machine while it runs changes for all.
Each repetition goes through the servers in another order. How many messages a server gets is measured first, so that
each works for about the same time. Medians and ratios are made of what the sink received:

    per_second         recipients at the sink / time from the generator's start to the last arrival
    accept_per_second  messages answered with 250 / time the generator took
    cpu_us             CPU time of the server's own processes (all of them, children included) / message
    generator_cpu_us, sink_cpu_us   the same of the two ends, which share the machine
    pss_bytes          proportional set size of the server's processes right after the work
    syncs              system calls that wait for the disk / message, on a separate run
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from benchmarks.results import Measurement, Run
from benchmarks.scenarios.settings import SLOW
from benchmarks.servers import SERVERS, Server, Site
from benchmarks.servers.base import DOMAIN, ServerError, free_port
from benchmarks.syncs import SyncCount
from benchmarks.tools import Load, Sink, ToolError, missing, send, sink_for

DIRECT: Final = "direct"
_PROBE: Final = 60
_TRIES: Final = 6
_TURNS_OF_SLOW: Final = 3
S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Work:
    """One row of a comparison."""

    name: str
    load: Load
    only: tuple[str, ...] = ()
    """The servers it is done by; empty: all that were asked for."""


@dataclass
class Comparison:
    """``seconds``: how long each server works in each repetition, about."""

    run: Run
    servers: Sequence[str]
    repetitions: int = 5
    """Servers that need seconds for each turn (SLOW) get three at most."""
    seconds: float = 3.0
    delivers: bool = True
    count_syncs: bool = True
    greatest: int = 200_000
    """No more messages than this in one repetition."""
    settings: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """Server -> what is changed in its configuration, by its own names."""
    sink_options: tuple[str, ...] = ()
    """Further options of our own sink."""

    def measure(self, works: Sequence[Work]) -> None:
        """Starts the servers, does every work, stops them."""
        possible = [work for work in works if self._is_possible(work)]
        steps = sum(self._turns(name) + 1 + self.count_syncs for work in possible for name in self._names(work))
        self.run.expect(steps)
        sink_port = free_port()
        with ExitStack() as stack:
            started = {}
            for name in self.servers:
                if server := self._server(name, sink_port):
                    try:
                        started[name] = stack.enter_context(server)
                    except ServerError as fault:
                        self.run.note(f"{name}: not measured, {fault}")
            for work in possible:
                self._do(work, [started[name] for name in self._names(work) if name in started], sink_port)

    def _turns(self, name: str) -> int:
        return min(self.repetitions, _TURNS_OF_SLOW) if name in SLOW else self.repetitions

    def _names(self, work: Work) -> list[str]:
        return [name for name in self.servers if not work.only or name in work.only]

    def _is_possible(self, work: Work) -> bool:
        if why := missing(work.load.tool):
            self.run.note(f"{work.name}: left out, {why}")
        return why is None

    def _server(self, name: str, sink_port: int) -> Server | None:
        """The server, not started yet; its facts are noted. None when it is not here."""
        kind = SERVERS[name]
        if why := kind.missing():
            self.run.note(f"{name}: not measured, {why}")
            return None
        site = Site(self.run.folder, free_port(), {DOMAIN: sink_port}, self.delivers, self.settings.get(name, {}))
        server = kind(site)
        self.run.servers[name] = describe(server)
        return server

    def _do(self, work: Work, servers: list[Server], sink_port: int) -> None:
        with sink_for(work.load, sink_port, *self.sink_options) as sink:
            self.run.command(sink.argv)
            counts: dict[str, int] = {}
            for server in list(servers):
                self.run.doing(f"{work.name}, {server.name}, warming up")
                self._note_dialogue(work, server)
                try:
                    counts[server.name] = self._calibrate(work, server, sink)
                except (ToolError, ServerError) as fault:
                    self.run.note(f"{work.name}, {server.name}: not measured, {fault}")
                    servers.remove(server)
                self.run.step()
            for repetition in range(self.repetitions):
                for server in rotated([one for one in servers if repetition < self._turns(one.name)], repetition):
                    self.run.doing(f"{work.name}, {server.name}, {repetition + 1} of {self._turns(server.name)}")
                    self._repeat(work, server, sink, counts[server.name], repetition)
                    self.run.step()
            if self.count_syncs:
                for server in servers:
                    self.run.doing(f"{work.name}, {server.name}, counting syncs")
                    self._syncs(work, server, sink, max(counts[server.name] // 3, _PROBE))
                    self.run.step()

    def _note_dialogue(self, work: Work, server: Server) -> None:
        if (dialogue := suited(work.load, server).dialogue) != work.load.dialogue:
            self.run.note(f"{server.name} is spoken to in {dialogue} where others are pipelined: {server.limits}")

    def _calibrate(self, work: Work, server: Server, sink: Sink) -> int:
        """Warms up; how many messages the server does in ``seconds``.

        A short run says too little: connections have to be opened first. So it is made longer until it lasts a good
        part of what is wanted.
        """
        count, exact = _PROBE, _PROBE
        for attempt in range(_TRIES):
            values = self._once(work, server, sink, count)
            rate = values["per_second"] / work.load.recipients
            exact = max(_PROBE, min(int(rate * self.seconds), self.greatest))
            if values["seconds"] >= self.seconds / 3 and (attempt or values["seconds"] > self.seconds):
                break
            if count >= self.greatest / 3:
                break
            count = max(count * 4, min(exact // 2, count * 30))
        digits: int = 10 ** max(len(str(exact)) - 2, 0)
        return max(exact // digits * digits, work.load.sessions)

    def _repeat(self, work: Work, server: Server, sink: Sink, count: int, repetition: int) -> None:
        try:
            values = self._once(work, server, sink, count)
        except ToolError as fault:
            self.run.note(f"{work.name}, {server.name}, repetition {repetition + 1}: {fault}")
            return
        self.run.add(Measurement(work.name, server.name, repetition, values))

    def _syncs(self, work: Work, server: Server, sink: Sink, count: int) -> None:
        if server.name == DIRECT:
            return
        try:
            with SyncCount(server.group) as syncs:
                self._once(work, server, sink, count)
        except ToolError as fault:
            self.run.note(f"{work.name}, {server.name}, counting syncs: {fault}")
            return
        self.run.note(f"syncs: {syncs.how}")
        if syncs.count is not None:
            self.run.add(Measurement(work.name, server.name, self.repetitions, {"syncs": syncs.count / count}))

    def _once(self, work: Work, server: Server, sink: Sink, count: int) -> dict[str, float]:
        """One piece of work: its values."""
        expected = count * work.load.recipients
        arrives = self.delivers or server.name == DIRECT
        sink.reset()
        if server.name != DIRECT:
            server.group.settle()
        sink_cpu, server_cpu = sink.cpu_seconds(), server.group.cpu_seconds()
        sent = send(suited(work.load, server), server.port, count)
        self.run.command(sent.argv)
        if sent.accepted < count:
            raise ToolError(f"{sent.accepted} of {count} messages accepted: {sent.result.get('errors', '')}")
        last_at = sink.wait(expected) if arrives else sent.ended_at
        values = {
            "messages": count,
            "seconds": last_at - sent.started_at,
            "per_second": expected / max(last_at - sent.started_at, 1e-6),
            "accept_per_second": count / max(sent.ended_at - sent.started_at, 1e-6),
            "generator_cpu_us": sent.cpu_seconds / count * 1e6,
            "sink_cpu_us": (sink.cpu_seconds() - sink_cpu) / count * 1e6,
            **latencies(sent.result),
            **resumption(sent.result),
        }
        if server.name != DIRECT:
            values["pss_bytes"] = sum(server.group.pss().values())
            # Queue files are removed and journals written after the last delivery: that is part of the work.
            server.group.settle()
            values["cpu_us"] = (server.group.cpu_seconds() - server_cpu) / count * 1e6
        return values


def suited(load: Load, server: Server | type[Server]) -> Load:
    """The load as this server can take it: a simpler dialogue where it has to be, connections opened not too fast."""
    if load.tool != "own":
        return load
    if load.dialogue == "pipelined":
        load = replace(load, dialogue=server.dialogues[0])
    more = ("--opening", str(server.opening)) if server.opening else ()
    return replace(load, more=(*load.more, *more))


def latencies(result: dict[str, Any]) -> dict[str, float]:
    """Percentiles of the wait for the answer to the end of data, in ms; only our own generator tells."""
    found = result.get("accept_seconds", {})
    if not found.get("count"):  # a server that is far behind answers only what was begun during the warm-up
        return {}
    return {f"accept_{name}_ms": found[name] * 1e3 for name in ("p50", "p99", "p99.9") if name in found}


def resumption(result: dict[str, Any]) -> dict[str, float]:
    """The share of TLS handshakes that took an earlier session up again; nothing where there was no TLS."""
    connections = result.get("connections", {})
    handshakes = connections.get("handshakes", 0)
    return {"resumed": connections["resumed"] / handshakes} if handshakes else {}


def rotated(servers: Sequence[S], by: int) -> list[S]:
    """The servers, another one first each time."""
    turn = by % len(servers) if servers else 0
    return [*servers[turn:], *servers[:turn]]


def describe(server: Server) -> dict[str, object]:
    """What is said about a server beside its figures."""
    return {
        "version": server.version(),
        "durability": server.durability,
        "tuning": list(server.tuning),
        "configuration": server.configuration(),
        "cpu_from": server.group.how,
    }
