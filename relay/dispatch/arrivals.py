"""Records that arrive: new ones, and after a start those of before it, until every log has been read.

Order: the journals of earlier lives are read first (``read_journals``), so that of each record that is read afterwards
it is known what has become of it. Once all logs that were there have been read, ``recovered`` lets go of that.

Not here: reading logs (log_tails.py), which recipients are ours and what they become (relay/queue/intake.py).
"""

from __future__ import annotations

from relay.dispatch.clock_watch import ClockWatch
from relay.dispatch.compaction import Compaction
from relay.dispatch.meters import QueueMeter
from relay.dispatch.notices import Notices
from relay.dispatch.shard import Shard
from relay.net.clock import now_us
from relay.queue.intake import Intake
from relay.queue.recovery import Recovery
from relay.spool import Record, load_journals
from relay.telemetry import metrics


class Arrivals:
    """For one shard."""

    def __init__(
        self,
        shard: Shard,
        intake: Intake,
        clock: ClockWatch,
        notices: Notices,
        compaction: Compaction,
        meter: QueueMeter,
    ) -> None:
        self._shard = shard
        self._intake = intake
        self._clock = clock
        self._notices = notices
        self._compaction = compaction
        self._meter = meter
        self._recovery: Recovery | None = Recovery(shard.scheduler.ledger)
        self._counter = metrics.index("relay_spool_recovered_records_total")

    @property
    def is_recovering(self) -> bool:
        """Whether logs of before the start are still being read."""
        return self._recovery is not None

    def read_journals(self) -> None:
        """Reads the journals of earlier lives. Blocking; once, before any record."""
        assert self._recovery is not None
        self._recovery.apply(load_journals(self._shard.config.spool_dir))

    def take_in(self, records: list[Record]) -> None:
        """Queues what of ``records`` is ours."""
        self._clock.look()
        recovery = self._recovery
        if recovery is None:
            self._shard.reader.remember(records)
        taken = self._intake.records(records, now_us(), recovery)
        for notice in taken.notices:
            self._notices.owed(notice)
        if recovery is not None:
            self._shard.row[self._counter] += taken.ours
        self._shard.wakeup.changed()

    def recovered(self) -> None:
        """Every log that was there at the start has been read: what was in the journals is used up."""
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            self._meter.recovered()
            self._shard.journaling.add(recovery.finish(self._shard.scheduler, now_us()))
            self._compaction.is_allowed = True
            self._compaction.begin()
