"""What is counted and logged of connections to next hops: opened, failed, and what they offered and do not know.

Not here: messages and outcomes (settle.py), which connections are open (feeds.py).
"""

from __future__ import annotations

from relay.mail.outcome import Outcome
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink


class ConnectionReport:
    """Of one delivery worker."""

    def __init__(self, sink: LogSink, row: memoryview[int]) -> None:
        self._sink = sink
        self._row = row
        self._connect = metrics.histogram_cells("relay_delivery_stage_seconds", "connect")
        self._greeting = metrics.histogram_cells("relay_delivery_stage_seconds", "greeting")
        self._failed = metrics.index("relay_delivery_connections_total", "failed")
        self._stages = {stage: metrics.index("relay_delivery_failures_total", stage) for stage in metrics.STAGES}
        chunking = "relay_delivery_chunking_connections_total"
        self._chunking_taken = metrics.index(chunking, "taken")
        self._chunking_refused = metrics.index(chunking, "refused")

    def opened(self, connect_seconds: float, greeting_seconds: float) -> None:
        """A connection was opened in so many seconds, and greeted and answered our EHLO in so many more."""
        self._connect.observe(self._row, round(connect_seconds * 1_000_000))
        self._greeting.observe(self._row, round(greeting_seconds * 1_000_000))

    def lost(self) -> None:
        """A connection was greeted, and over before it was of use."""
        self._row[self._failed] += 1

    def failed(self, group: str, outcome: Outcome) -> None:
        """No connection came about; the entries wait without an attempt being counted."""
        self._row[self._failed] += 1
        self._row[self._stages.get(outcome.stage, self._stages["connect"])] += 1
        self._sink.event("warning", "no connection", group=group, stage=outcome.stage, status=outcome.status,
                         text=outcome.text, next_hop=outcome.next_hop)  # fmt: skip

    def chunking_taken(self) -> None:
        """A next hop took a content by BDAT (RFC 3030), the first on its connection."""
        self._row[self._chunking_taken] += 1

    def chunking_refused(self, next_hop: str) -> None:
        """A next hop offers CHUNKING and does not know BDAT."""
        self._row[self._chunking_refused] += 1
        self._sink.event("warning", "next hop offers CHUNKING and does not know BDAT", next_hop=next_hop)
