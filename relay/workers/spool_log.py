"""The spool log of a process: opening it, what is counted of it, adopting the logs of processes that are gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from relay import spool
from relay.config.queue import SpoolSettings
from relay.dispatch.log_links import LogLinks
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from relay.workers.process import StartError, Worker

ADOPT_SECONDS: Final = 2.0
"""How often slot 0 of the smtp workers looks for logs whose process is gone."""


class SpoolMeter:
    """Counts what a LogWriter does, and keeps the gauges about its disk and its segments."""

    def __init__(self, row: memoryview[int], settings: SpoolSettings, sink: LogSink) -> None:
        self._row = row
        self._settings = settings
        self._sink = sink
        self._records = metrics.index("relay_spool_records_total")
        self._bytes = metrics.index("relay_spool_written_bytes_total")
        self._synced = metrics.index("relay_spool_syncs_total", "synced")
        self._seconds = metrics.histogram_cells("relay_spool_sync_seconds")
        self._batch = metrics.histogram_cells("relay_spool_batch_records")
        self._free_bytes = metrics.index("relay_spool_free_bytes")
        self._free_inodes = metrics.index("relay_spool_free_inodes")
        self._low = metrics.index("relay_spool_refusing_workers", "disk_low")
        self._failed = metrics.index("relay_spool_refusing_workers", "sync_failed")
        self._closed = metrics.index("relay_spool_segments", "closed")
        self._open = metrics.index("relay_spool_segments", "open")
        self._spare = metrics.index("relay_spool_segments", "spare")
        self._created = metrics.Total(row, "relay_spool_segment_changes_total", "created")
        self._recycled = metrics.Total(row, "relay_spool_segment_changes_total", "recycled")

    def synced(self, seconds: float, records: int, octets: int) -> None:
        """LogWriter's ``on_sync``."""
        row = self._row
        row[self._records] += records
        row[self._bytes] += octets
        row[self._synced] += 1
        self._seconds.observe(row, round(seconds * 1_000_000))
        self._batch.observe(row, records)

    def look(self, writer: spool.LogWriter) -> None:
        """Once a second or so."""
        row = self._row
        row[self._free_bytes] = max(0, writer.free_bytes)
        row[self._free_inodes] = max(0, writer.free_inodes)
        row[self._failed] = int(not writer.is_accepting)
        is_low = writer.is_accepting and not writer.has_room()
        if is_low != bool(row[self._low]):
            self._tell_room(writer, is_low=is_low)
        row[self._low] = int(is_low)
        segments = writer.snapshot()
        row[self._closed] = sum(1 for _, _, closed in segments if closed)
        row[self._open] = len(segments) - row[self._closed]
        row[self._spare] = writer.pool.spare
        self._created.is_now(writer.pool.created)
        self._recycled.is_now(writer.pool.recycled)

    def _tell_room(self, writer: spool.LogWriter, *, is_low: bool) -> None:
        self._sink.event(
            "warning" if is_low else "info",
            "disk low" if is_low else "disk has room again",
            free_bytes=max(0, writer.free_bytes),
            min_free_bytes=self._settings.min_free_bytes,
            free_inodes=writer.free_inodes,
            min_free_inodes=self._settings.min_free_inodes,
            settings="spool.min_free_bytes, spool.min_free_inodes",
        )


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


class Adopter:
    """Takes over the logs of processes that are gone, until what they hold is finished."""

    def __init__(self, spool_dir: Path, links: LogLinks, sink: LogSink, row: memoryview[int]) -> None:
        self._spool_dir = spool_dir
        self._links = links
        self._sink = sink
        self._row = row
        self._gauge = metrics.index("relay_spool_logs_adopted")
        self._logs: dict[int, spool.AdoptedLog] = {}
        self._is_closed = False

    def look(self) -> None:
        """Adopts what it finds, and lets go of what is empty."""
        if self._is_closed:
            return
        for number, log in list(self._logs.items()):
            if log.is_empty:
                self._links.release(number)
                log.close()
                del self._logs[number]
        for number in spool.list_logs(self._spool_dir):
            if number in self._logs:
                continue
            adopted = spool.adopt(self._spool_dir, number)
            if adopted is not None:
                self._logs[number] = adopted
                self._sink.event("info", "log adopted", log=number)
                self._links.adopt(adopted)
        self._row[self._gauge] = len(self._logs)

    def close(self) -> None:
        """Gives all up, for good: the next smtp worker of slot 0 goes on with them."""
        self._is_closed = True
        for number, log in self._logs.items():
            self._links.release(number)
            log.close()
        self._logs.clear()
        self._row[self._gauge] = 0


def private_folder(path: Path) -> Path:
    """``path``, made if need be, for our own account only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(path, 0o700)
    except OSError as fault:
        raise StartError(f"{path}: {fault.strerror}") from fault
    return path
