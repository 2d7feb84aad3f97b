"""Opening the spool log of a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from relay import spool
from relay.spool.meter import SpoolMeter
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from relay.workers.process import StartError, Worker


def open_log(worker: Worker, sink: LogSink, meter: SpoolMeter, on_committed: Callable[[int, int, int, int, bool], None],
             ) -> spool.LogWriter:  # fmt: skip
    """A new log for this process."""
    config = worker.config
    failed = metrics.index("relay_spool_syncs_total", "failed")
    row = worker.context.row

    def event(level: str, name: str, fields: Mapping[str, object]) -> None:
        if name == "spool.sync_failed":
            row[failed] += 1
        sink.event(level, name, **fields)

    try:
        return spool.LogWriter(
            config.spool_dir, config.spool, worker.loop, on_committed, on_sync=meter.synced, on_event=event
        )
    except (spool.SpoolError, OSError) as fault:
        raise StartError(f"cannot open a spool log: {fault}") from fault


def private_folder(path: Path) -> Path:
    """``path``, made if need be, for our own account only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(path, 0o700)
    except OSError as fault:
        raise StartError(f"{path}: {fault.strerror}") from fault
    return path
