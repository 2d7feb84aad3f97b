"""A real supervisor with toy workers, as a program of its own: ``python appliance.py SETTINGS.json``.

The toy smtp worker greets with who it is and does what it is told, so that a test can look at it from inside or make it
misbehave. The toy delivery worker writes down when it holds its shard.
"""

from __future__ import annotations

import asyncio
import dataclasses
import faulthandler
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, cast

from relay.config import demo
from relay.config.model import Config, Listener, LogSettings, WorkerSettings
from relay.net.listeners import Endpoint
from relay.supervisor.main import Bound, serve
from relay.telemetry import metrics
from relay.workers.process import Role, StartError, Worker, WorkerContext, run_worker
from tests.support.waiting import hang, pause, reached, slow


def load(path: Path) -> Config:
    """The demonstration's configuration with the settings of a test; ValueError for a bad file."""
    settings = json.loads(path.read_text())
    base = demo(Path(settings["data_dir"]))
    return dataclasses.replace(
        base,
        # A toy's orders travel in the banner.
        smtp=dataclasses.replace(base.smtp, banner=settings.get("toy", ""), max_connections=1000),
        listeners=tuple(Listener(name, "mx", "127.0.0.1", port) for name, port in settings["listeners"].items()),
        workers=WorkerSettings(
            smtp=settings.get("smtp", 2),
            delivery=settings.get("delivery", 1),
            beat_timeout=settings.get("beat_timeout", 30.0),
        ),
        drain_timeout=settings.get("drain_timeout", 5.0),
        log=LogSettings(destination=settings["log"]),
        user=settings.get("user", ""),
        group=settings.get("group", ""),
        allow_root=settings.get("allow_root", True),
    )


class Toy(asyncio.Protocol):
    """One line in, one line out."""

    def __init__(self, worker: Worker, sessions: set[Toy]) -> None:
        self.worker, self.sessions = worker, sessions
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.sessions.add(self)
        context = self.worker.context
        self.say({"pid": os.getpid(), "slot": context.slot, "generation": context.generation})

    def say(self, what: object) -> None:
        self.transport.write(json.dumps(what).encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        match data.decode().strip():
            case "hang":
                hang()
            case "hang for good":
                faulthandler.disable()
                signal.signal(signal.SIGABRT, signal.SIG_IGN)
                hang()
            case "fail":
                os._exit(3)
            case "files":
                self.say({fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_open(fd)})
            case "status":
                self.say(Path("/proc/self/status").read_text())
            case "page":
                self.say(page(self.worker.context))
            case "orphan":
                self.say(orphan())
            case "zombies":
                self.say(zombies())

    def connection_lost(self, exc: Exception | None) -> None:
        self.sessions.discard(self)


def is_open(fd: str) -> bool:
    try:
        os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False
    return True


def page(context: WorkerContext) -> dict[str, Any]:
    supervisor = context.page.supervisor
    return {
        "processes": [process._asdict() for process in context.page.processes()],
        "throttled": supervisor[metrics.index("relay_supervisor_throttled_workers", "smtp")],
        "restarts": supervisor[metrics.index("relay_supervisor_worker_restarts_total", "smtp")],
        "draining": supervisor[metrics.index("relay_supervisor_draining")],
        "refused": supervisor[metrics.index("relay_supervisor_reloads_total", "refused")],
        "served": supervisor[metrics.index("relay_supervisor_reloads_total", "served")],
    }


def orphan() -> int:
    """A grandchild that ends when its parent is gone: a stranger for whoever is PID 1."""
    if (child := os.fork()) == 0:
        if os.fork() == 0:
            pause(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    return child


def zombies() -> int:
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            count += stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
    return count


async def smtp(worker: Worker) -> None:
    toy = worker.config.smtp.banner
    sessions: set[Toy] = set()
    if toy == "cannot start":
        raise StartError("the toy was told not to")
    if toy == "dies at start":
        os._exit(4)
    if toy == "starts slowly":
        await slow()
    for name in worker.context.sockets:
        await worker.listen(name, lambda: Toy(worker, sessions))
    worker.ready()
    await worker.draining.wait()
    if toy == "does not drain":
        await asyncio.Event().wait()
    for session in list(sessions):
        session.transport.close()
    await reached(lambda: not sessions)


async def delivery(worker: Worker) -> None:
    """Holds ``shard-N`` while it is active: a second holder would fail with an event that no test expects."""
    worker.ready()
    if not await worker.activation():
        return
    held = socket.socket(socket.AF_UNIX)
    held.bind(f"\0{worker.config.data_dir}-delivery-{worker.context.slot}")
    worker.status("activated")
    await worker.draining.wait()
    if worker.config.smtp.banner == "slow delivery":
        await slow()
    held.close()


async def admin(worker: Worker) -> None:
    worker.ready()
    await worker.draining.wait()


def endpoints(config: Config) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(listener.name, listener.address, listener.port) for listener in config.listeners)


ROLES = (
    Role("smtp", lambda context: run_worker(context, smtp), lambda config: config.workers.smtp, endpoints),
    Role("delivery", lambda context: run_worker(context, delivery), lambda config: config.workers.delivery,
         lambda config: (), is_exclusive=True),
    Role("admin", lambda context: run_worker(context, admin), lambda config: 1, lambda config: ()),
)  # fmt: skip


def show(_config: Config, bound: Bound) -> None:
    print(json.dumps(bound), flush=True)


if __name__ == "__main__":
    sys.exit(serve(lambda: load(Path(sys.argv[1])), ROLES, on_ready=show))
