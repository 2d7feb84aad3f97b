"""What follows from outcomes: the journal, the delivery log, the metrics, and the DSN that is owed.

Not here: what an outcome means for the queue (relay/queue), when it is on the disk (journaling.py), DSNs (notices.py).
"""

from __future__ import annotations

import time
from typing import Final

from relay.delivery._delivery import Delivery
from relay.mail.envelope import Envelope
from relay.mail.outcome import DEFERRED, DELIVERED, EXPIRED, FAILED, Outcome
from relay.queue.action import Settled
from relay.queue.entry import Entry
from relay.queue.group import Domain, Group
from relay.spool import LogReader, Message, MissingRecord
from relay.telemetry import lines, metrics
from relay.telemetry.sink import LogSink
from relay.workers._counting import DeliveryCells
from relay.workers.journaling import Journaling
from relay.workers.notices import Notices

_TOLD: Final = (FAILED, EXPIRED)


class Attempt:
    """One entry with its record, while it is being tried."""

    __slots__ = ("connect_seconds", "entry", "envelope", "message", "recipients")

    def __init__(self, entry: Entry, envelope: Envelope, recipients: tuple[bytes, ...], message: Message) -> None:
        self.entry = entry
        self.envelope = envelope
        self.recipients = recipients
        self.message = message
        self.connect_seconds: float | None = None
        """What it took to connect and be greeted, when the connection was opened for this attempt."""


class Settler:
    """Takes what ``Scheduler.done`` and ``Settle`` give."""

    def __init__(
        self,
        journaling: Journaling,
        notices: Notices,
        reader: LogReader,
        sink: LogSink,
        row: memoryview[int],
    ) -> None:
        self._journaling = journaling
        self._notices = notices
        self._reader = reader
        self._sink = sink
        self._row = row
        self._cells = DeliveryCells(row)
        self._stages = {stage: metrics.index("relay_delivery_failures_total", stage) for stage in metrics.STAGES}
        self._connect = metrics.histogram_cells("relay_delivery_stage_seconds", "connect")
        self._greeting = metrics.histogram_cells("relay_delivery_stage_seconds", "greeting")
        self._stored = metrics.index("relay_delivery_mailbox_messages_total")
        self._store_seconds = metrics.histogram_cells("relay_delivery_mailbox_seconds")
        self._suppressed = metrics.index("relay_dsn_suppressed_total")

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def settled(
        self, settled: Settled, attempt: Attempt | None = None, delivery: Delivery | None = None, use: int = 0
    ) -> None:
        """One of our entries was tried: here (``attempt``; ``use``: messages on the connection so far), by another
        delivery worker, or in vain because its record cannot be read."""
        # An entry that goes on has counted this attempt already.
        number = settled.entry.attempts + (0 if settled.entry.count else 1)
        self._follow(settled, attempt, delivery, use, number)

    def ended(self, settled: Settled) -> None:
        """One of our entries came to its end, or to its delay notice, without being tried."""
        self._follow(settled, None, None, 0, settled.entry.attempts)

    def _follow(
        self, settled: Settled, attempt: Attempt | None, delivery: Delivery | None, use: int, number: int
    ) -> None:
        self._journaling.add(settled.journal)
        if settled.outcomes:
            recipients, envelope = self._recipients(settled, attempt)
            self._count(settled, envelope)
            self._log(settled, envelope, recipients, attempt, delivery, use, number)
        if settled.notice is not None:
            self._notices.owed(settled.notice)

    def attempted(self, settled: Settled, attempt: Attempt, delivery: Delivery, use: int) -> None:
        """An entry was tried here, our own or another delivery worker's."""
        transfer = -1
        if delivery.finished_at:
            transfer = round((delivery.finished_at - delivery.taken_at) * 1_000_000)
        is_delivered = DELIVERED in [outcome.kind for outcome in settled.outcomes]
        self._cells.tried(_transport(attempt.entry.group), is_delivered, delivery.size, use > 1, transfer)

    def connected(self, connect_seconds: float, greeting_seconds: float) -> None:
        """A connection was opened in so many seconds, and greeted and answered our EHLO in so many more."""
        self._connect.observe(self._row, round(connect_seconds * 1_000_000))
        self._greeting.observe(self._row, round(greeting_seconds * 1_000_000))

    def connect_failed(self, group: str, outcome: Outcome) -> None:
        """No connection came about; the entries wait without an attempt being counted."""
        self._row[self._stages.get(outcome.stage, self._stages["connect"])] += 1
        self._sink.event("warning", "no connection", group=group, stage=outcome.stage, status=outcome.status,
                         text=outcome.text, next_hop=outcome.next_hop)  # fmt: skip

    def stored(self, count: int, seconds: float) -> None:
        """``count`` messages were published in mailboxes in one batch."""
        self._row[self._stored] += count
        self._store_seconds.observe(self._row, round(seconds * 1_000_000))

    # ---- counters and lines -----------------------------------------------------------------------------------------

    def _count(self, settled: Settled, envelope: Envelope | None) -> None:
        delay = time.time_ns() // 1000 - (envelope.received_at if envelope is not None else settled.entry.received_at)
        is_over = False
        for outcome in settled.outcomes:
            self._cells.outcome(outcome.kind, outcome.code, outcome.stage, delay)
            is_over = is_over or outcome.kind in _TOLD
        if is_over and settled.notice is None:
            self._row[self._suppressed] += 1  # only a null reverse-path has nobody to tell

    def _log(
        self,
        settled: Settled,
        envelope: Envelope | None,
        recipients: tuple[bytes, ...],
        attempt: Attempt | None,
        delivery: Delivery | None,
        use: int,
        number: int,
    ) -> None:
        outcomes = settled.outcomes
        if outcomes.count(outcomes[0]) == len(outcomes):
            self._line(settled.entry, envelope, recipients, outcomes[0], attempt, delivery, use, number)
            return
        for recipient, outcome in zip(recipients, outcomes, strict=False):
            self._line(settled.entry, envelope, (recipient,), outcome, attempt, delivery, use, number)

    def _recipients(self, settled: Settled, attempt: Attempt | None) -> tuple[tuple[bytes, ...], Envelope | None]:
        if attempt is not None:
            return attempt.recipients, attempt.envelope
        entry = settled.entry
        try:
            envelope = self._reader.load(entry.log, entry.segment, entry.offset).record.envelope
        except (MissingRecord, OSError):
            return (b"",) * len(settled.outcomes), None
        if settled.indexes is None:
            return envelope.recipients, envelope
        return tuple([envelope.recipients[index] for index in settled.indexes]), envelope

    def _line(
        self,
        entry: Entry,
        envelope: Envelope | None,
        recipients: tuple[bytes, ...],
        outcome: Outcome,
        attempt: Attempt | None,
        delivery: Delivery | None,
        use: int,
        number: int,
    ) -> None:
        now = time.time_ns() // 1000
        received_at = envelope.received_at if envelope is not None else entry.received_at
        transfer = queued = connect = None
        if delivery is not None and delivery.finished_at:
            transfer = round((delivery.finished_at - delivery.taken_at) * 1_000_000)
            queued = now - received_at - transfer
        if attempt is not None and attempt.connect_seconds is not None:
            connect = round(attempt.connect_seconds * 1_000_000)
        self._sink.append(lines.DELIVERY.build(now, (
            entry.queue_id,
            number or None,
            _transport(entry.group),
            entry.group.key,
            outcome.next_hop or None,
            None,
            envelope.reverse_path if envelope is not None else b"",
            recipients,
            envelope.size if envelope is not None else None,
            outcome.kind,
            outcome.stage,
            outcome.code or None,
            outcome.status,
            outcome.text,
            use or None,
            entry.due_at if outcome.kind == DEFERRED else None,
            queued,
            connect,
            transfer,
            now - received_at,
        )))  # fmt: skip


def _transport(group: Group | Domain) -> str:
    if group.key.startswith("local:"):
        return "local"
    return "lmtp" if group.key.startswith("lmtp:") else "smtp"
