"""What follows from outcomes: the journal, the delivery log, the metrics, and the DSN that is owed.

Order (I1): a delivered or deferred outcome is *written* to the journal with the next flush, not synced: a crash may
repeat an attempt, it never loses a message. A failed or expired one is *synced* before the DSN is spooled, and the
recipient counts as finished only once the DSN is spooled; a crash in between makes the DSN again.

Not here: what an outcome means for the queue (relay/queue), the text of a DSN (relay/dsn).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from relay import dsn
from relay.config.model import Config
from relay.delivery._delivery import Delivery
from relay.mail import envelope as envelopes
from relay.mail.envelope import Envelope
from relay.mail.outcome import DEFERRED, DELIVERED, DISCARDED, EXPIRED, FAILED, Outcome
from relay.mail.queue_id import QueueIds
from relay.queue.action import Notice, Settled
from relay.queue.entry import Entry
from relay.queue.group import Domain, Group
from relay.queue.scheduler import Scheduler
from relay.spool import Journal, LogReader, LogWriter, Message, MissingRecord, SpoolError
from relay.telemetry import lines, metrics
from relay.telemetry.sink import LogSink
from relay.workers.meters import JournalMeter

RETURN_LIMIT: Final = 1 << 20
"""Octets of a large content that are read for a bounce."""
DSN_RETRY_SECONDS: Final = 5.0
JOURNAL_BACKLOG: Final = 100_000
"""Journal entries kept while the disk refuses them; what is above is forgotten (and so may be delivered again)."""


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


class _Told(NamedTuple):
    """What the log tells of a try besides its outcome."""

    attempt: Attempt | None
    delivery: Delivery | None
    use: int
    number: int
    """Which attempt it was, from 1; 0 when it was none."""


class Spooled:
    """The waiter of one record of our own: a DSN or a copy."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[SpoolError | None]) -> None:
        self.future = future

    def spooled(self, error: SpoolError | None) -> None:
        if not self.future.done():
            self.future.set_result(error)


class Settler:
    """Takes what ``Scheduler.done`` and ``Settle`` give."""

    def __init__(
        self,
        config: Config,
        scheduler: Scheduler,
        journal: Journal,
        writer: LogWriter,
        reader: LogReader,
        sink: LogSink,
        row: memoryview[int],
        spawn: Callable[[Any], None],
        journal_meter: JournalMeter,
    ) -> None:
        self._config = config
        self._scheduler = scheduler
        self._journal = journal
        self._writer = writer
        self._reader = reader
        self._sink = sink
        self._row = row
        self._spawn = spawn
        self._journal_meter = journal_meter
        self._ids = QueueIds(writer.number)
        self._entries: list[tuple[Any, ...]] = []
        self._is_journal_refusing = False
        self._outcomes = {
            kind: metrics.index("relay_delivery_recipients_total", kind)
            for kind in ("delivered", "deferred", "failed", "expired", "discarded")
        }
        self._stages = {stage: metrics.index("relay_delivery_failures_total", stage) for stage in metrics.STAGES}
        self._replies = metrics.by_code("relay_delivery_replies_total")
        self._attempts = _by_transport("relay_delivery_attempts_total")
        self._sent = _by_transport("relay_delivery_sent_bytes_total")
        self._reused = metrics.index("relay_delivery_connections_reused_total")
        self._delay = metrics.histogram_cells("relay_delivery_delay_seconds")
        self._transfer = metrics.histogram_cells("relay_delivery_stage_seconds", "transfer")
        self._connect = metrics.histogram_cells("relay_delivery_stage_seconds", "connect")
        self._greeting = metrics.histogram_cells("relay_delivery_stage_seconds", "greeting")
        self._stored = metrics.index("relay_delivery_mailbox_messages_total")
        self._store_seconds = metrics.histogram_cells("relay_delivery_mailbox_seconds")
        self._bounces = metrics.index("relay_dsn_messages_total", "bounce")
        self._delays = metrics.index("relay_dsn_messages_total", "delay")
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
        self.journal(settled.journal)
        if settled.outcomes:
            recipients, envelope = self._recipients(settled, attempt)
            self._count(settled, envelope)
            self._log(settled, envelope, recipients, _Told(attempt, delivery, use, number))
        if settled.notice is not None:
            self._spawn(self._notify(settled.notice))

    def attempted(self, settled: Settled, attempt: Attempt, delivery: Delivery, use: int) -> None:
        """An entry was tried here, our own or another delivery worker's."""
        row = self._row
        transport = _transport(attempt.entry.group)
        row[self._attempts[transport]] += 1
        if any(outcome.kind == DELIVERED for outcome in settled.outcomes):
            row[self._sent[transport]] += delivery.size
        if use > 1:
            row[self._reused] += 1
        if delivery.finished_at:
            self._transfer.observe(row, round((delivery.finished_at - delivery.taken_at) * 1_000_000))

    def owed(self, notice: Notice) -> None:
        """A DSN that an earlier life of this worker owed."""
        self._spawn(self._notify(notice))

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

    # ---- the journal ------------------------------------------------------------------------------------------------

    def journal(self, entries: Iterable[tuple[Any, ...]]) -> None:
        """Has ``entries`` written with the next flush."""
        self._entries.extend(entries)

    def flush(self) -> None:
        """Writes what waits, with one system call; keeps it for the next flush when the disk refuses."""
        if not self._entries:
            return
        try:
            self._journal.append(self._entries)
        except SpoolError as fault:
            if not self._is_journal_refusing:
                self._is_journal_refusing = True
                self._sink.event("error", "journal not written", cause=str(fault))
            del self._entries[:-JOURNAL_BACKLOG]
            return
        if self._is_journal_refusing:
            self._is_journal_refusing = False
            self._sink.event("info", "journal is written again")
        self._journal_meter.written(self._entries)
        self._entries = []  # not cleared: a journal that is being compacted keeps the list

    # ---- DSNs -------------------------------------------------------------------------------------------------------

    async def _notify(self, notice: Notice) -> None:
        """Spools the DSN of ``notice``, trying again for as long as the spool refuses."""
        while not await self._try_notify(notice):  # noqa: ASYNC110 - a back-off, not a wait for a value
            await asyncio.sleep(DSN_RETRY_SECONDS)
        self.journal(self._scheduler.notice_spooled(notice, time.time_ns() // 1000))
        self.flush()

    async def _try_notify(self, notice: Notice) -> bool:
        try:
            if notice.kind == "bounce":
                self.flush()
                await self._journal.sync()
            message = self._reader.load(notice.log, notice.segment, notice.offset)
        except MissingRecord as fault:
            self._sink.event("error", "dsn not made", cause=str(fault), log=notice.log, segment=notice.segment,
                             offset=notice.offset)  # fmt: skip
            return True
        except (SpoolError, OSError) as fault:
            self._sink.event("warning", "dsn waits", cause=str(fault))
            return False
        original = message.record.envelope
        envelope, content = self._compose(notice, message)
        future: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()
        self._writer.append(envelope.pack(), content, Spooled(future))
        error = await future
        if error is not None:
            self._sink.event("warning", "dsn waits", cause=str(error), queue_id=original.queue_id)
            return False
        self._row[self._bounces if notice.kind == "bounce" else self._delays] += 1
        self._sink.event("info", "dsn spooled", dsn=notice.kind, queue_id=envelope.queue_id, about=original.queue_id,
                         recipient=original.reverse_path)  # fmt: skip
        return True

    def _compose(self, notice: Notice, message: Message) -> tuple[Envelope, bytes]:
        config = self._config
        original = message.record.envelope
        now = time.time_ns() // 1000
        queue_id = self._ids.next(now)
        content = returned_content(message)
        common: dict[str, Any] = {
            "hostname": config.hostname, "message_id": f"{queue_id}@{config.hostname}", "now": now,
        }  # fmt: skip
        if notice.kind == "bounce":
            whole = config.queue.bounce_content == "full"
            report = dsn.bounce(original, notice.failures, content, whole=whole, **common)
        else:
            report = dsn.delay(original, notice.failures, content, expires_at=notice.expires_at, **common)
        flags = dsn.flags(report) | envelopes.DSN
        return Envelope(queue_id, now, b"", (original.reverse_path,), flags, len(report)), report

    # ---- counters and lines -----------------------------------------------------------------------------------------

    def _count(self, settled: Settled, envelope: Envelope | None) -> None:
        row = self._row
        now = time.time_ns() // 1000
        for outcome in settled.outcomes:
            row[self._outcomes[outcome.kind]] += 1
            if outcome.kind == DELIVERED:
                if envelope is not None:
                    self._delay.observe(row, now - envelope.received_at)
            elif outcome.kind != DISCARDED:
                row[self._stages.get(outcome.stage, self._stages["reply"])] += 1
            if outcome.code:
                row[self._replies[outcome.code]] += 1
        if settled.notice is None and any(outcome.kind in (FAILED, EXPIRED) for outcome in settled.outcomes):
            row[self._suppressed] += 1  # only a null reverse-path has nobody to tell

    def _log(self, settled: Settled, envelope: Envelope | None, recipients: tuple[bytes, ...], told: _Told) -> None:
        first = settled.outcomes[0]
        if len(settled.outcomes) == 1 or all(outcome == first for outcome in settled.outcomes):
            self._line(settled.entry, envelope, recipients, first, told)
            return
        for recipient, outcome in zip(recipients, settled.outcomes, strict=False):
            self._line(settled.entry, envelope, (recipient,), outcome, told)

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
        self, entry: Entry, envelope: Envelope | None, recipients: tuple[bytes, ...], outcome: Outcome, told: _Told
    ) -> None:
        now = time.time_ns() // 1000
        received_at = envelope.received_at if envelope is not None else entry.received_at
        transfer = queued = connect = None
        delivery = told.delivery
        if delivery is not None and delivery.finished_at:
            transfer = round((delivery.finished_at - delivery.taken_at) * 1_000_000)
            queued = now - received_at - transfer
        if told.attempt is not None and told.attempt.connect_seconds is not None:
            connect = round(told.attempt.connect_seconds * 1_000_000)
        self._sink.append(lines.DELIVERY.build(now, (
            entry.queue_id,
            told.number or None,
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
            told.use or None,
            entry.due_at if outcome.kind == DEFERRED else None,
            queued,
            connect,
            transfer,
            now - received_at,
        )))  # fmt: skip


def returned_content(message: Message) -> bytes:
    """What of the original a DSN may return: all of a small one, the beginning of a large one."""
    content = bytes(message.content)
    large = message.record.large
    if large is not None and len(content) < RETURN_LIMIT:
        with large.path.open("rb") as file:
            content += file.read(RETURN_LIMIT - len(content))
    return content


def _transport(group: Group | Domain) -> str:
    if group.key.startswith("local:"):
        return "local"
    return "lmtp" if group.key.startswith("lmtp:") else "smtp"


def _by_transport(name: str) -> dict[str, int]:
    return {transport: metrics.index(name, transport) for transport in ("smtp", "lmtp", "local")}
