"""Reports records of the spool that cannot be read.

Not here: finding them and saving what is left of them (relay/spool/reader.py).
"""

from __future__ import annotations

from relay.spool import Damage
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink


class DamageReport:
    """Called with each damage that is found, once."""

    def __init__(self, sink: LogSink, row: memoryview[int]) -> None:
        self._sink = sink
        self._row = row
        self._corrupt = metrics.index("relay_spool_corrupt_records_total")

    def __call__(self, damage: Damage) -> None:
        if damage.is_torn:
            self._sink.event("info", "torn record passed over", log=damage.log, segment=damage.segment,
                             offset=damage.offset, octets=damage.size)  # fmt: skip
            return
        self._row[self._corrupt] += 1
        self._sink.event("error", "corrupt record", log=damage.log, segment=damage.segment, offset=damage.offset,
                         octets=damage.size, reason=damage.reason, queue_id=damage.queue_id or None,
                         saved=damage.saved or None)  # fmt: skip
