"""A process's way to the log (relay/telemetry/sink.py)."""

from __future__ import annotations

from collections.abc import Mapping

from relay.telemetry import bridge
from relay.telemetry.sink import LogSink
from relay.workers.process import StartError, Worker


def make_sink(worker: Worker) -> LogSink:
    """This process's way to the log; warnings of libraries go there, too."""
    context = worker.context
    identity: Mapping[str, str | int] = {
        "role": context.role, "slot": context.slot, "generation": context.generation,
    }  # fmt: skip
    try:
        sink = LogSink(
            worker.config.log.destination, worker.config.log.buffer_limit, row=context.row, identity=identity
        )
    except OSError as fault:
        raise StartError(f"log.destination {worker.config.log.destination}: {fault.strerror}") from fault
    bridge.install(sink)
    return sink
