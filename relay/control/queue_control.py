"""``relay queue`` on a running appliance: what the command line asks of one delivery worker.

    request   ("queue", operation, {"id": ..., "domain": ..., "older_than": seconds})   all keys optional
    answer    ("entry", {...}) for each (``describe``), then ("end", {"count": entries}), or ("error", text)

Operations: list, show, retry, hold, release, remove. The loop turns between portions, so that a command over a million
entries holds up no delivery.

Not here: the words of the command line (relay/cli), what an operation does (relay/queue/commands.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from relay.dispatch.journaling import Journaling
from relay.dispatch.remote import RemoteFeeds
from relay.dispatch.settle import Settler
from relay.mail.envelope import Envelope
from relay.mail.outcome import discarded
from relay.mail.queue_id import made_at_us
from relay.net.clock import now_us
from relay.net.frames import FrameProtocol
from relay.queue import commands
from relay.queue.action import Settled
from relay.queue.entry import ACTIVE, DEFERRED, GONE, IS_FOREIGN, Entry, queue_number, reason_of
from relay.queue.scheduler import Scheduler
from relay.queue.waiting import Waiting, waiting
from relay.spool import LogReader, MissingRecord
from relay.telemetry.sink import LogSink

OPERATIONS: Final = ("list", "show", "retry", "hold", "release", "remove")
LOOKS: Final = ("list", "show")
PORTION: Final = 100
PATIENCE: Final = 60.0
"""Seconds that a command line may take to read more; one that was stopped with ^Z must not be waited for."""


class QueueControl:
    """Answers for one shard."""

    def __init__(
        self,
        scheduler: Scheduler,
        reader: LogReader,
        journaling: Journaling,
        settler: Settler,
        remote: RemoteFeeds,
        sink: LogSink,
        changed: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._journaling = journaling
        self._settler = settler
        self._remote = remote
        self._sink = sink
        self._changed = changed

    async def answer(self, link: FrameProtocol, operation: str, selection: Mapping[str, Any]) -> None:
        """Carries out one request and sends the answer."""
        if operation not in OPERATIONS:
            link.send(("error", f"no such operation: {operation}"))
            return
        try:
            count = await self._answer(link, operation, selection)
        except ValueError as fault:
            link.send(("error", str(fault)))
            return
        if operation not in ("list", "show") and count:
            self._sink.event("info", "queue command", operation=operation, entries=count, **selection)
        link.send(("end", {"count": count}))

    async def _answer(self, link: FrameProtocol, operation: str, selection: Mapping[str, Any]) -> int:
        domain = str(selection.get("domain", "")).encode()
        count = 0
        for number, entry in enumerate(self._select(selection)):
            if number % PORTION == PORTION - 1:
                await asyncio.sleep(0)
                if not await _may_write(link):
                    return count
            # One that another worker tries is active here, whatever its next hop is there.
            elsewhere = await self._remote.how(entry) if entry.state == ACTIVE and operation in LOOKS else None
            count += self._one(link, operation, entry, domain, elsewhere)
        self._journaling.flush()
        self._changed()
        return count

    def _one(self, link: FrameProtocol, operation: str, entry: Entry, domain: bytes, elsewhere: Waiting | None) -> bool:
        """Carries ``operation`` out on one entry and reports it; whether it was chosen and could be done."""
        if entry.state == GONE:
            return False
        envelope = envelope_of(self._reader, entry)
        indexes = None
        if domain:
            indexes = commands.matching(entry, envelope.recipients, domain) if envelope else ()
            if not indexes:
                return False
        before = describe(self._scheduler, entry, envelope, elsewhere if entry.state == ACTIVE else None)
        if not self._do(operation, entry, indexes):
            return False
        is_as_before = operation in ("list", "show", "remove")
        link.send(("entry", before if is_as_before else describe(self._scheduler, entry, envelope)))
        return True

    def _select(self, selection: Mapping[str, Any]) -> list[Entry]:
        number = queue_number(selection["id"]) if selection.get("id") else 0
        older_than = float(selection.get("older_than", 0.0))
        before = now_us() - round(older_than * 1_000_000) if older_than else 0
        found = self._scheduler.places.find(number, before)
        return sorted((each for each in found if not each.flags & IS_FOREIGN), key=lambda each: each.number)

    def _do(self, operation: str, entry: Entry, indexes: tuple[int, ...] | None) -> bool:
        scheduler, now = self._scheduler, now_us()
        if operation in ("list", "show"):
            return True
        if operation == "retry":
            commands.retry(scheduler, entry, now)
            return True
        if operation == "remove":
            return self._remove(entry, indexes, now)
        if operation == "hold":
            journal = commands.hold(scheduler, entry, now)
        else:
            journal = commands.release(scheduler, entry, now)
        self._journaling.add(journal)
        return bool(journal)

    def _remove(self, entry: Entry, indexes: tuple[int, ...] | None, now: int) -> bool:
        count = entry.count if indexes is None else len(indexes)
        journal = commands.remove(self._scheduler, entry, indexes, now)
        if not journal:
            return False
        outcome = discarded("removed by an operator", "queue")
        self._settler.ended(Settled(entry, journal, None, (outcome,) * count, journal[0][4]))
        return True


async def _may_write(link: FrameProtocol) -> bool:
    """Waits until there is room for more; False when there is nobody any more, or nobody who reads."""
    until = time.monotonic() + PATIENCE
    while not link.is_writable and link.is_connected:  # a rare and short wait
        if time.monotonic() > until:
            link.close()
            return False
        await asyncio.sleep(0.01)
    return link.is_connected


def envelope_of(reader: LogReader, entry: Entry) -> Envelope | None:
    """The entry's envelope; None when the record cannot be read."""
    try:
        return reader.load(entry.log, entry.segment, entry.offset).record.envelope
    except (MissingRecord, OSError):
        return None


def describe(
    scheduler: Scheduler, entry: Entry, envelope: Envelope | None, elsewhere: Waiting | None = None
) -> dict[str, Any]:
    """One entry for the command line; without its envelope where the record on disk is damaged.

    ``state`` and ``waits_for`` as in relay/queue/waiting.py; ``due_at``: the next try, microseconds since the epoch,
    also when that is the next probe of a suspended next hop; 0 when it is now or not known. ``code`` (0: no reply),
    ``status``, ``text``, ``stage`` and ``next_hop``: why it was not delivered so far, empty when nothing went wrong.
    ``record``: log, segment and offset of the record in the spool, where the content is.
    ``elsewhere``: how things are in the delivery worker that tries it.
    """
    if envelope is None:
        return _described_damage(entry)
    indexes = entry.indexes if entry.indexes is not None else range(len(envelope.recipients))
    how = elsewhere or waiting(scheduler, entry, now_us())
    reason = how.reason or reason_of(entry, 0)
    return {
        "queue_id": entry.queue_id,
        "state": how.state,
        "waits_for": how.waits_for,
        "reverse_path": shown(envelope.reverse_path),
        "recipients": [shown(envelope.recipients[index]) for index in indexes],
        "size": envelope.size,
        "received_at": envelope.received_at,
        "due_at": how.next_at,
        "attempts": entry.attempts,
        "code": reason.code if reason else 0,
        "status": reason.status if reason else "",
        "text": reason.text if reason else "",
        "stage": reason.stage if reason else "",
        "next_hop": (reason.next_hop if reason else "") or entry.group.key,
        "record": (entry.log, entry.segment, entry.offset),
    }


def _described_damage(entry: Entry) -> dict[str, Any]:
    return {
        "queue_id": entry.queue_id,
        "state": "corrupt",
        "waits_for": "",
        "reverse_path": "",
        "recipients": [],
        "size": 0,
        "received_at": made_at_us(entry.queue_id),
        "due_at": entry.due_at if entry.state == DEFERRED else 0,
        "attempts": entry.attempts,
        "code": 0,
        "stage": "",
        "status": "5.3.0",
        "text": f"its record on our disk is damaged (log {entry.log}, segment {entry.segment}, offset {entry.offset}); "
        "what can be read of it is in corrupt/",
        "next_hop": entry.group.key,
        "record": (entry.log, entry.segment, entry.offset),
    }


def shown(address: bytes) -> str:
    """An address as text."""
    return address.decode("utf-8", "backslashreplace")
