"""TLS in a worker that listens: made at its start, looked after once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from relay.net.certificates import CertificateError
from relay.net.tls import ServerTls
from relay.telemetry.sink import LogSink
from relay.workers.process import StartError, Worker

LOOK_SECONDS: Final = 1.0
"""How often certificate files are looked at; a changed pair serves after two looks."""


def make_tls(worker: Worker, sink: LogSink) -> ServerTls:
    """What the listeners of this process share; a certificate that cannot be used refuses the configuration.

    All workers see the same files, so the first alone writes events about them.
    """

    def event(level: str, name: str, fields: Mapping[str, object]) -> None:
        if worker.context.slot == 0:
            sink.event(level, name, **fields)

    try:
        tls = ServerTls(worker.config, worker.context.tickets, event, worker.context.row)
    except CertificateError as fault:
        raise StartError(str(fault)) from fault
    watch: asyncio.Future[None] | None = None

    def look() -> None:
        nonlocal watch
        tls.turn_keys(time.monotonic())
        if watch is None or watch.done():  # a disk that hangs is not asked twice
            watch = worker.loop.run_in_executor(None, tls.look)

    worker.repeat(LOOK_SECONDS, look)
    return tls
