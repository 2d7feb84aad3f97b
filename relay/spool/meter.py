"""What a process reports to metrics and log of its spool log: what is written, and how full the disk is.

Not here: the log itself (writer.py).
"""

from __future__ import annotations

from relay.config.queue import SpoolSettings
from relay.spool.writer import LogWriter
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink


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

    def look(self, writer: LogWriter) -> None:
        """Once a second or so."""
        row = self._row
        row[self._free_bytes] = max(0, writer.free_bytes)
        row[self._free_inodes] = max(0, writer.free_inodes)
        row[self._failed] = int(not writer.is_accepting)
        is_low = writer.is_accepting and not writer.has_room()
        if is_low != bool(row[self._low]):
            self._report_room(writer, is_low=is_low)
        row[self._low] = int(is_low)
        segments = writer.snapshot()
        row[self._closed] = sum(1 for _, _, closed in segments if closed)
        row[self._open] = len(segments) - row[self._closed]
        row[self._spare] = writer.pool.spare
        self._created.is_now(writer.pool.created)
        self._recycled.is_now(writer.pool.recycled)

    def _report_room(self, writer: LogWriter, *, is_low: bool) -> None:
        self._sink.event(
            "warning" if is_low else "info",
            "disk low" if is_low else "disk has room again",
            free_bytes=max(0, writer.free_bytes),
            min_free_bytes=self._settings.min_free_bytes,
            free_inodes=writer.free_inodes,
            min_free_inodes=self._settings.min_free_inodes,
            settings="spool.min_free_bytes, spool.min_free_inodes",
        )
