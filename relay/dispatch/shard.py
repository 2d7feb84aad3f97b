"""What the parts of one delivery worker share: a shard of the queue, and what is read and written for it.

Each part gets the shard and, by name, the few other parts that it calls. The shard knows none of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from relay.config.model import Config
from relay.dispatch.damage import DamageReport
from relay.dispatch.journaling import Journaling
from relay.dispatch.meters import JournalMeter
from relay.dispatch.tasks import Tasks
from relay.dispatch.wakeup import Wakeup
from relay.mail.queue_id import QueueIds
from relay.net.clock import now_us, rebase
from relay.queue.group import Settings
from relay.queue.ledger import CopyLimits, Ledger
from relay.queue.retry import RetryPolicy
from relay.queue.scheduler import Scheduler
from relay.spool import Journal, LogReader, LogWriter
from relay.telemetry.sink import LogSink


class Place(NamedTuple):
    """Which shard it is, of how many, and in which generation of the appliance."""

    shard: int
    """0 to ``shards`` - 1."""
    shards: int
    generation: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of the queue. Belongs to the loop's thread."""

    place: Place
    config: Config
    scheduler: Scheduler
    """Its entries."""
    reader: LogReader
    """Of all logs."""
    writer: LogWriter
    """Of this process's own log: DSNs, copies, and what scripts send."""
    ids: QueueIds
    """For all that is written there."""
    journaling: Journaling
    sink: LogSink
    row: memoryview[int]
    """This process's counters."""
    wakeup: Wakeup
    """``wakeup.changed`` is called after each change of the queue."""
    tasks: Tasks
    """What is cancelled when the worker ends."""


def open_shard(
    place: Place,
    config: Config,
    loop: asyncio.AbstractEventLoop,
    writer: LogWriter,
    sink: LogSink,
    row: memoryview[int],
) -> Shard:
    """An empty queue, a new journal beside those of earlier lives, a reader. SpoolError when the journal cannot be
    opened."""
    rebase()  # this process may be younger than what was loaded in it
    meter = JournalMeter(row)
    journal = Journal(
        config.spool_dir, shard=place.shard, shards=place.shards, generation=place.generation, on_sync=meter.synced
    )
    ledger = Ledger(CopyLimits.from_config(config.spool))
    return Shard(
        place=place,
        config=config,
        scheduler=Scheduler(Settings.from_config(config), RetryPolicy(config.queue), now_us(), ledger),
        reader=LogReader(config.spool_dir, on_damage=DamageReport(sink, row)),
        writer=writer,
        ids=QueueIds(writer.number),
        journaling=Journaling(journal, sink, meter),
        sink=sink,
        row=row,
        wakeup=Wakeup(loop),
        tasks=Tasks(),
    )
