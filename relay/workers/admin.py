"""The admin worker: metrics, health and status over HTTP (relay/admin)."""

from __future__ import annotations

from typing import Final

from relay.admin.app import ConfiguredStatus, make_app
from relay.admin.server import AdminServer
from relay.workers import parts
from relay.workers.process import Worker, WorkerContext, run_worker

LISTENER: Final = "admin"
"""The name under which the supervisor hands over the admin port's sockets; no listener for mail may have it."""


async def main(worker: Worker) -> None:
    """Runs until drained. It goes on answering while it waits, so that readiness can be seen to be red."""
    context = worker.context
    sink = parts.make_sink(worker)
    app = make_app(context.page, worker.config, ConfiguredStatus(worker.config), row=context.row)
    server = AdminServer(app, row=context.row)
    await server.start()
    await worker.listen(LISTENER, server.factory)
    worker.ready()
    await worker.draining.wait()
    await server.drain()
    await server.close()
    await sink.close()


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
