"""What follows from outcomes: the journal, the delivery log, the metrics, and the DSN that is owed.

The outcomes of another worker's entries go home to it instead (remote.py).

Not here: what an outcome means for the queue (relay/queue), what is counted and logged of each (_report.pyx), when
it is on the disk (journaling.py), DSNs (notices.py), connections (connection_report.py).
"""

from __future__ import annotations

from relay.dispatch._attempt import Attempt
from relay.dispatch._report import DeliveryReport
from relay.dispatch.notices import Notices
from relay.dispatch.remote import ForeignEntries
from relay.dispatch.shard import Shard
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome
from relay.mail.queue_id import encode
from relay.queue.action import Settled
from relay.queue.entry import IS_FOREIGN, Entry
from relay.spool import MissingRecord
from relay.telemetry import metrics


class Settler:
    """Takes what ``Scheduler.done`` and ``Settle`` give."""

    def __init__(self, shard: Shard, notices: Notices, foreign: ForeignEntries) -> None:
        self._journaling = shard.journaling
        self._notices = notices
        self._foreign = foreign
        self._reader = shard.reader
        self._sink = shard.sink
        self._row = row = shard.row
        self.is_awaited = False
        """Whether ``Wakeup.changed`` was called because there is something to flush, and ``flush`` was not yet."""
        self._report = DeliveryReport(row)
        self._stored = metrics.index("relay_delivery_mailbox_messages_total")
        self._store_seconds = metrics.histogram_cells("relay_delivery_mailbox_seconds")
        self._suspects = {cause: metrics.index("relay_delivery_suspects_total", cause) for cause in metrics.SET_ASIDE}
        self._set_aside = metrics.index("relay_delivery_set_aside_total")
        self._suppressed = metrics.index("relay_dsn_suppressed_total")

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def settled(self, settled: Settled, attempt: Attempt | None = None, use: int = 0) -> None:
        """An entry was tried: here (``attempt``; ``use``: messages on the connection so far), by another delivery
        worker, or in vain because its record cannot be read."""
        # An entry that goes on has counted this attempt already.
        number = settled.entry.attempts + (0 if settled.entry.count else 1)
        self._follow(settled, attempt, use, number)

    def ended(self, settled: Settled) -> None:
        """An entry came to its end, or to its delay notice, without being tried."""
        self._follow(settled, None, 0, settled.entry.attempts)

    def _follow(self, settled: Settled, attempt: Attempt | None, use: int, number: int) -> None:
        if settled.entry.flags & IS_FOREIGN:
            self._foreign.settled(settled)
            return
        self._journaling.add(settled.journal)
        if settled.outcomes:
            if attempt is not None:
                envelope: Envelope | None = attempt.envelope
                recipients = attempt.recipients
            else:
                recipients, envelope = self._recipients(settled)
            is_over = self._report.settled(settled.entry, envelope, recipients, settled.outcomes, attempt, use, number)
            if is_over and settled.notice is None:
                self._row[self._suppressed] += 1  # only a null reverse-path gets no DSN
        if settled.notice is not None:
            self._notices.owed(settled.notice)

    def attempted(self, attempt: Attempt, outcomes: tuple[Outcome, ...], use: int) -> None:
        """An entry was tried here, our own or another delivery worker's."""
        self._report.tried(attempt, outcomes, use)

    def flush(self) -> None:
        """Hands the lines of what was settled since the last call to the log; call it once a turn."""
        self.is_awaited = False
        octets = self._report.take()
        if octets:
            self._sink.append(octets)

    def stored(self, count: int, seconds: float) -> None:
        """``count`` messages were published in mailboxes in one batch."""
        self._row[self._stored] += count
        self._store_seconds.observe(self._row, round(seconds * 1_000_000))

    def suspected(self, cause: str, queue_id: str, mailbox: bytes, outcome: Outcome) -> None:
        """A local delivery counts against its message; ``cause``: one of ``metrics.SET_ASIDE``."""
        self._row[self._suspects[cause]] += 1
        self._sink.event("warning", "local delivery suspected", cause=cause, queue_id=queue_id, mailbox=mailbox,
                         text=outcome.text)  # fmt: skip

    def died(self, in_hand: list[tuple[int, int]]) -> None:
        """Local deliveries that another worker of this shard died with (relay/mda/hand.py)."""
        for number, _ in in_hand:
            self._row[self._suspects["died"]] += 1
            self._sink.event("warning", "local delivery suspected", cause="died", queue_id=encode(number))

    def set_aside(self, cause: str, queue_id: str, mailbox: bytes) -> None:
        """A message is held because of one of its local deliveries; ``held`` follows."""
        self._row[self._set_aside] += 1
        self._sink.event("error", "message set aside", cause=cause, queue_id=queue_id, mailbox=mailbox)

    def held(self, entry: Entry) -> None:
        """An entry was held by us, not by an operator."""
        self._journaling.add([("held", *entry.ref, entry.indexes)])

    def _recipients(self, settled: Settled) -> tuple[tuple[bytes, ...], Envelope | None]:
        """Those of an entry that was not tried here, and its envelope if the record can be read."""
        entry = settled.entry
        try:
            envelope = self._reader.load(entry.log, entry.segment, entry.offset).record.envelope
        except (MissingRecord, OSError):
            return (b"",) * len(settled.outcomes), None
        if settled.indexes is None:
            return envelope.recipients, envelope
        return tuple([envelope.recipients[index] for index in settled.indexes]), envelope
