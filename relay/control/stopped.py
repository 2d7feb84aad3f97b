"""The queue of a stopped appliance, read from disk by the code that a delivery worker uses; nothing is changed.

Not here: printing (relay/cli).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

from relay.auth import AccountFile
from relay.config.model import Config
from relay.control.queue_control import describe, envelope_of
from relay.control.registry import Command, Part, Request
from relay.control.vocabulary import QueueEntry, Selection
from relay.directory.directory import Directory
from relay.net.clock import now_us
from relay.queue.group import Settings
from relay.queue.intake import Intake
from relay.queue.recovery import Recovery
from relay.queue.retry import RetryPolicy
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler
from relay.spool import LogReader, Tail, list_logs, load_journals


def read(config: Config, command: Command[Request, Part], request: Request) -> Iterator[Part]:
    """What ``command``, one that reads stopped appliances, answers. Raises OSError, SpoolError or MissingRecord."""
    if not command.reads_stopped:
        raise ValueError(f"{command.name} needs a running appliance")
    return cast("Iterator[Part]", _selected(config, cast("Any", request)))


def _selected(config: Config, selection: Selection) -> Iterator[QueueEntry]:
    now = time.time()
    return (_at_rest(entry) for entry in entries(config) if selection.matches(entry, now))


def entries(config: Config) -> Iterator[QueueEntry]:
    """Every entry as a delivery worker that has just started would give it, by queue id."""
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


def _at_rest(entry: QueueEntry) -> QueueEntry:
    """``entry`` of an appliance in which nothing goes on: what waits for something else than its time, or for an
    operator, waits for the start."""
    if entry.state in ("incoming", "active") or entry.waits_for == "next hop":
        return entry._replace(state="incoming", waits_for="start")
    return entry
