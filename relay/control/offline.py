"""The queue of a stopped appliance, read from disk by the code that a delivery worker uses; nothing is changed.

Not here: printing (relay/cli).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay.auth import AccountFile
from relay.config.model import Config
from relay.control.queue_control import describe, envelope_of
from relay.directory.directory import Directory
from relay.net.clock import now_us
from relay.queue.group import Settings
from relay.queue.intake import Intake
from relay.queue.recovery import Recovery
from relay.queue.retry import RetryPolicy
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler
from relay.spool import LogReader, Tail, list_logs, load_journals


def entries(config: Config) -> Iterator[dict[str, Any]]:
    """Every entry as ``relay queue list`` shows it, by queue id."""
    now = now_us()
    scheduler = Scheduler(Settings.from_config(config), RetryPolicy(config.queue), now)
    recovery = Recovery(scheduler.ledger)
    recovery.apply(load_journals(config.spool_dir))
    directory = Directory.of(config, AccountFile.of(config), tolerate=lambda fault: None)  # routes go by domains
    intake = Intake(scheduler, Router.from_config(config, directory))
    for log in list_logs(config.spool_dir):
        tail = Tail(config.spool_dir, log, lambda damage: None, is_readonly=True)
        for records in tail.rest():
            for record in records:
                intake.record(record.log, record.segment, record.offset, 0, record.envelope, now, recovery)
        tail.close()
    recovery.finish(scheduler, now)
    reader = LogReader(config.spool_dir)
    try:
        for entry in sorted(scheduler.places.entries(), key=lambda each: each.number):
            yield describe(scheduler, entry, envelope_of(reader, entry))
    finally:
        reader.close()
