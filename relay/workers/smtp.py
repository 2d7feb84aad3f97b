"""An smtp worker: sessions on the slot's sockets, into a spool log of its own.

It wires smtp, policy and spool together and decides nothing. What is committed is told to the delivery workers
(relay/dispatch/log_links.py). Slot 0 also adopts the logs of processes that are gone.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from relay.auth import AccountError, AccountFile, Authenticator
from relay.config.model import Config, Listener
from relay.directory.directory import Directory
from relay.dispatch.adoption import ADOPT_SECONDS, Adopter
from relay.dispatch.log_links import LogLinks
from relay.net._poll import Poll
from relay.net.tls import ServerTls
from relay.net.wheel import TimingWheel
from relay.policy.assembly import checks_of
from relay.policy.fullness import Fullness
from relay.policy.pipeline import Pipeline
from relay.smtp import ServerContext, Service, SmtpAcceptor
from relay.spool.meter import SpoolMeter
from relay.telemetry.sink import LogSink
from relay.workers.log_sink import make_sink
from relay.workers.port_hints import directions
from relay.workers.process import StartError, Worker, WorkerContext, run_worker
from relay.workers.spool_log import open_log, private_folder
from relay.workers.tls import make_tls

TICK_SECONDS: Final = 1.0
ACCEPT_AGAIN_SECONDS: Final = 1.0


async def main(worker: Worker) -> None:
    """Runs until drained; the skeleton is in process.py."""
    config = worker.config
    sink = make_sink(worker)
    directory = make_directory(worker, sink)
    fullness = Fullness.of(config)
    meter = SpoolMeter(worker.context.row, config.spool, sink)
    links = LogLinks(worker.loop, private_folder(config.run_dir), config.workers.delivery, sink)
    writer = open_log(worker, sink, meter, links.committed)
    links.open(writer, writer.snapshot)
    wheel: TimingWheel = TimingWheel(0.5, 1024, time.monotonic())
    context = ServerContext(config, spool=writer, log=sink, wheel=wheel, row=worker.context.row)
    adopter = Adopter(config.spool_dir, links, sink, worker.context.row) if worker.context.slot == 0 else None

    def tick() -> None:
        context.tick(time.monotonic_ns() // 1000, time.time_ns() // 1000)
        meter.look(writer)
        links.catch_up()
        look_at_accounts(directory, sink)

    tick()
    worker.repeat(TICK_SECONDS, tick)
    if adopter is not None:
        adopter.look()
        worker.repeat(ADOPT_SECONDS, adopter.look)
    tls = make_tls(worker, sink) if any(each.tls != "none" for each in config.smtp_listeners) else None
    acceptors = Acceptors(worker.loop, sink)
    authenticator = Authenticator(AccountFile.of(config), config.auth, sink, worker.context.row)
    for listener in config.smtp_listeners:
        checks = checks_of(listener, config, directory, fullness)
        pipeline = Pipeline(checks, worker.context.row, partial(report_check, sink))
        acceptors.open(worker, listener.name, make_service(context, config, listener, pipeline, tls, authenticator))
    worker.ready()

    def when_empty(call: Callable[[], None]) -> None:
        """After a reload; the new generation's worker takes over what was adopted."""
        if adopter is not None:
            adopter.close()
        context.when_empty(call)

    try:
        await worker.serve_out(when_empty, context.drain)
    finally:
        context.abort()
        acceptors.close()
        await authenticator.close()
        if fullness is not None:
            fullness.close()
        await writer.close()
        if adopter is not None:
            adopter.close()
        links.close()
        await sink.close()


def report_check(sink: LogSink, check: str, fault: BaseException) -> None:
    """A check has failed: somebody has to look."""
    sink.event("error", "check failed", check=check, cause=f"{type(fault).__name__}: {fault}")


def make_service(
    context: ServerContext,
    config: Config,
    listener: Listener,
    pipeline: Pipeline,
    tls: ServerTls | None,
    authenticator: Authenticator,
) -> Service:
    """One listener as its sessions see it."""
    return Service(
        context,
        listener.name,
        listener.kind,
        config.smtp_of(listener),
        pipeline,
        tls=None if tls is None or listener.tls == "none" else tls.of(listener.profile),
        is_implicit=listener.tls == "implicit",
        authenticator=authenticator if listener.kind == "submission" else None,
        allows_plaintext_login=listener.plaintext_login,
        directions=directions(config.listeners),
    )


class Acceptors:
    """All that this worker listens on, and the poll that its connections are on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: LogSink) -> None:
        self._loop = loop
        self._sink = sink
        self._poll = Poll()
        self._acceptors: list[SmtpAcceptor] = []
        self._is_troubled = False
        loop.add_reader(self._poll.fileno, self._poll.turn)

    def open(self, worker: Worker, name: str, service: Service) -> None:
        """Accepts connections for ``service`` on the listener ``name`` until the drain begins."""

        def open_acceptor(listening: socket.socket) -> SmtpAcceptor:
            self._acceptors.append(SmtpAcceptor(self._poll, listening, self._trouble, service))
            return self._acceptors[-1]

        worker.accept(name, open_acceptor)

    def close(self) -> None:
        """Connections must be closed before; the worker ends."""
        self._loop.remove_reader(self._poll.fileno)
        for acceptor in self._acceptors:
            acceptor.close()
        self._poll.close()

    def _trouble(self, fault: Exception) -> None:
        """Connections wait in the kernel until there may be descriptors or memory again."""
        if self._is_troubled:
            return
        self._is_troubled = True
        self._sink.event("error", "connections not accepted", cause=str(fault), again_in=f"{ACCEPT_AGAIN_SECONDS:g}s")
        self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._again)

    def _again(self) -> None:
        self._is_troubled = False
        for acceptor in self._acceptors:
            acceptor.resume()


def make_directory(worker: Worker, sink: LogSink) -> Directory:
    """Who exists here; a file that cannot be read refuses this configuration."""
    try:
        directory = Directory.of(worker.config, AccountFile.of(worker.config))
    except (OSError, ValueError, AccountError) as fault:
        raise StartError(str(fault)) from fault
    directory.look()
    warn_of_postmaster(directory, sink)
    return directory


def warn_of_postmaster(directory: Directory, sink: LogSink) -> None:
    """Mail that nobody could read is refused, and somebody has to know."""
    if not directory.has_postmaster:
        sink.event("warning", "no postmaster", cause="postmaster names no account, or there is none")


def look_at_accounts(directory: Directory, sink: LogSink) -> None:
    """Takes over a changed account file; a broken one is reported and what was known stays."""
    try:
        if directory.look():
            sink.event("info", "accounts read again")
            warn_of_postmaster(directory, sink)
    except (AccountError, OSError) as fault:
        sink.event("warning", "accounts not read", cause=str(fault))


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
