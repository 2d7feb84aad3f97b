"""What the parts of one delivery worker share: a shard of the queue, and what is read and written for it.

Each part gets the shard and, by name, the few other parts that it calls. The shard knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.config.model import Config
from relay.dispatch.journaling import Journaling
from relay.queue.scheduler import Scheduler
from relay.spool import LogReader, LogWriter
from relay.telemetry.sink import LogSink


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` shards."""

    number: int
    """0 to ``count`` - 1."""
    count: int
    config: Config
    scheduler: Scheduler
    """Its entries."""
    reader: LogReader
    """Of all logs."""
    writer: LogWriter
    """Of this process's own log: DSNs, copies, and what scripts send."""
    journaling: Journaling
    sink: LogSink
    row: memoryview[int]
    """This process's counters."""
    changed: Callable[[], None]
    """Has ``Scheduler.actions`` asked again once the present batch of events is through; call it after each change."""
