"""The admin worker: metrics, health and status over HTTP (relay/admin)."""

from __future__ import annotations

import asyncio
from typing import Final

from relay.admin.app import ConfiguredStatus, make_app
from relay.admin.public import make_public_app
from relay.admin.server import AdminServer
from relay.telemetry import metrics
from relay.telemetry.page import CountersPage
from relay.telemetry.sink import LogSink
from relay.workers.log_sink import make_sink
from relay.workers.process import Worker, WorkerContext, run_worker
from relay.workers.tls import make_tls

LISTENER: Final = "admin"
"""The name under which the supervisor hands over the admin port's sockets; no listener for mail may have it."""
PUBLIC_LISTENER: Final = "autoconfig"
"""The same for the public port."""
RESERVE_SECONDS: Final = 1.0
"""What it keeps of the drain's time for its own end."""


async def main(worker: Worker) -> None:
    """Runs until drained. When the whole appliance stops it is the last to go, so that readiness is seen to be red."""
    context = worker.context
    sink = make_sink(worker)
    app = make_app(context.page, worker.config, ConfiguredStatus(worker.config), row=context.row)
    server = AdminServer(app, row=context.row)
    await server.start()
    worker.accepts_while_draining = True
    await worker.listen(LISTENER, server.factory)
    public = await serve_public(worker, sink) if worker.config.autoconfig.address else None
    worker.ready()
    await worker.draining.wait()
    while is_stopping(context.page) and has_others(context.page):
        if worker.seconds_left() < RESERVE_SECONDS:
            break
        await asyncio.sleep(0.05)
    worker.stop_accepting()
    await server.drain(min(2.0, worker.seconds_left() / 2))
    await server.close()
    if public is not None:
        await public.close()
    await sink.close()


async def serve_public(worker: Worker, sink: LogSink) -> AdminServer:
    """Settings for mail programs, for everybody who asks."""
    server = AdminServer(make_public_app(worker.config), row=worker.context.row)
    await server.start()
    context = make_tls(worker, sink).context if worker.config.autoconfig.tls else None
    await worker.listen(PUBLIC_LISTENER, server.factory, **({"ssl": context} if context is not None else {}))
    return server


def is_stopping(page: CountersPage) -> bool:
    """Whether the appliance as a whole drains, not just one generation of it."""
    return bool(page.supervisor[metrics.index("relay_supervisor_draining")])


def has_others(page: CountersPage) -> bool:
    """Whether workers that handle mail are still there."""
    return any(process.role not in ("supervisor", "admin") for process in page.processes())


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
