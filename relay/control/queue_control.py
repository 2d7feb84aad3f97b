"""What the ``queue`` commands do in one delivery worker.

Entries are carried out by queue id, in portions: the entries that match are found in one pass, sorted run by run, and
merged as they are needed, so that the loop turns meanwhile. One that is over when its turn comes is passed over.

Not here: requests and answers on the wire (server.py), what an operation does to an entry (relay/queue/commands.py).
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable, Iterator
from operator import attrgetter
from typing import Any, Final

from relay.control.registry import HOLD, LIST, RELEASE, REMOVE, RETRY, SHOW, Command
from relay.control.vocabulary import QueueEntry, Selection
from relay.dispatch.journaling import Journaling
from relay.dispatch.remote import RemoteFeeds
from relay.dispatch.settle import Settler
from relay.mail.envelope import Envelope
from relay.mail.outcome import discarded
from relay.mail.queue_id import made_at_us
from relay.net.clock import now_us
from relay.queue import commands
from relay.queue.action import Settled
from relay.queue.entry import ACTIVE, DEFERRED, GONE, IS_FOREIGN, Entry, queue_number, reason_of
from relay.queue.scheduler import Scheduler
from relay.queue.waiting import Waiting, waiting
from relay.spool import LogReader, MissingRecord

PORTION: Final = 100
"""Entries that are dealt with before the loop turns."""
RUN: Final = 10_000
"""Entries that are sorted before the loop turns: some milliseconds."""
_LOOKS: Final = (LIST, SHOW)


class QueueControl:
    """The queue of one shard, for operators."""

    def __init__(
        self,
        scheduler: Scheduler,
        reader: LogReader,
        journaling: Journaling,
        settler: Settler,
        remote: RemoteFeeds,
        changed: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._journaling = journaling
        self._settler = settler
        self._remote = remote
        self._changed = changed

    async def perform(self, command: Command[Any, Any], request: Selection) -> AsyncIterator[QueueEntry | None]:
        """Carries ``command`` out on the entries that are meant, and gives each as it is then (a removed one as it
        was); None between portions. Raises ValueError."""
        number = queue_number(request.queue_id) if request.queue_id else 0
        before = now_us() - round(request.older_than * 1_000_000) if request.older_than else 0
        found = self._scheduler.places.find(number, before)
        runs = []
        for start in range(0, len(found), RUN):
            runs.append(_sorted_run(found[start : start + RUN]))
            yield None
        del found
        try:
            for count, entry in enumerate(_merged(runs)):
                if count % PORTION == PORTION - 1:
                    yield None
                # One that another worker tries is active here, whatever its next hop is there.
                is_asked = entry.state == ACTIVE and command in _LOOKS
                elsewhere = await self._remote.how(entry) if is_asked else None
                described = self._one(command, entry, request.domain.encode(), elsewhere)
                if described is not None:
                    yield described
        finally:
            if command.changes:
                self._journaling.flush()
                self._changed()

    def _one(
        self, command: Command[Any, Any], entry: Entry, domain: bytes, elsewhere: Waiting | None
    ) -> QueueEntry | None:
        """Carries ``command`` out on one entry; None when it is not meant, or nothing could be done."""
        if entry.state == GONE:
            return None
        envelope = envelope_of(self._reader, entry)
        indexes = None
        if domain:
            indexes = commands.matching(entry, envelope.recipients, domain) if envelope else ()
            if not indexes:
                return None
        before = describe(self._scheduler, entry, envelope, elsewhere if entry.state == ACTIVE else None)
        if not self._do(command, entry, indexes):
            return None
        return before if command in (*_LOOKS, REMOVE) else describe(self._scheduler, entry, envelope)

    def _do(self, command: Command[Any, Any], entry: Entry, indexes: tuple[int, ...] | None) -> bool:
        scheduler, now = self._scheduler, now_us()
        if command is RETRY:
            commands.retry(scheduler, entry, now)
        elif command is REMOVE:
            return self._remove(entry, indexes, now)
        elif command in (HOLD, RELEASE):
            journal = (commands.hold if command is HOLD else commands.release)(scheduler, entry, now)
            self._journaling.add(journal)
            return bool(journal)
        return True

    def _remove(self, entry: Entry, indexes: tuple[int, ...] | None, now: int) -> bool:
        count = entry.count if indexes is None else len(indexes)
        journal = commands.remove(self._scheduler, entry, indexes, now)
        if not journal:
            return False
        outcome = discarded("removed by an operator", "queue")
        self._settler.ended(Settled(entry, journal, None, (outcome,) * count, journal[0][4]))
        return True


_by_number: Final = attrgetter("number")


def _sorted_run(entries: list[Entry]) -> list[Entry]:
    """By queue id; those that other workers have asked us to try are theirs."""
    return sorted((each for each in entries if not each.flags & IS_FOREIGN), key=_by_number)


def _merged(runs: list[list[Entry]]) -> Iterator[Entry]:
    return iter(runs[0]) if len(runs) == 1 else heapq.merge(*runs, key=_by_number)


def envelope_of(reader: LogReader, entry: Entry) -> Envelope | None:
    """The entry's envelope; None when the record cannot be read."""
    try:
        return reader.load(entry.log, entry.segment, entry.offset).record.envelope
    except (MissingRecord, OSError):
        return None


def describe(
    scheduler: Scheduler, entry: Entry, envelope: Envelope | None, elsewhere: Waiting | None = None
) -> QueueEntry:
    """One entry for people; without its envelope where the record on disk is damaged. ``elsewhere``: how things are in
    the delivery worker that tries it."""
    if envelope is None:
        return _described_damage(entry)
    indexes = entry.indexes if entry.indexes is not None else range(len(envelope.recipients))
    how = elsewhere or waiting(scheduler, entry, now_us())
    reason = how.reason or reason_of(entry, 0)
    return QueueEntry(
        queue_id=entry.queue_id,
        state=how.state,
        waits_for=how.waits_for,
        reverse_path=shown(envelope.reverse_path),
        recipients=tuple([shown(envelope.recipients[index]) for index in indexes]),
        size=envelope.size,
        received_at=envelope.received_at,
        due_at=how.next_at,
        attempts=entry.attempts,
        code=reason.code if reason else 0,
        status=reason.status if reason else "",
        text=reason.text if reason else "",
        stage=reason.stage if reason else "",
        next_hop=(reason.next_hop if reason else "") or entry.group.key,
        record=(entry.log, entry.segment, entry.offset),
    )


def _described_damage(entry: Entry) -> QueueEntry:
    return QueueEntry(
        queue_id=entry.queue_id,
        state="corrupt",
        waits_for="",
        reverse_path="",
        recipients=(),
        size=0,
        received_at=made_at_us(entry.queue_id),
        due_at=entry.due_at if entry.state == DEFERRED else 0,
        attempts=entry.attempts,
        code=0,
        status="5.3.0",
        text=f"its record on our disk is damaged (log {entry.log}, segment {entry.segment}, offset {entry.offset}); "
        "what can be read of it is in corrupt/",
        stage="",
        next_hop=entry.group.key,
        record=(entry.log, entry.segment, entry.offset),
    )


def shown(address: bytes) -> str:
    """An address as text."""
    return address.decode("utf-8", "backslashreplace")
