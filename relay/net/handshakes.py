"""How many TLS handshakes go on in this process, how they end, and how many may.

Theory: a handshake costs more than anything else that a stranger can make us do for a few octets, so there is a bound
on those that are not finished; what is above it is turned away while that is still cheap. One object serves all
listeners of a process.

Not here: the deadline of one handshake, which is the session's own (a timer in the worker's wheel).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from relay.net.tls_machine import TlsServer
from relay.telemetry import metrics


class Handshakes:
    """Counts into ``row``; never lets more than ``most`` go on."""

    def __init__(self, row: memoryview[int], most: int) -> None:
        self._row = row
        self._most: Final = most
        self._open = 0
        self._gauge: Final = metrics.index("relay_tls_handshakes_open")
        self._done: Final = {
            (version, is_resumed): metrics.index("relay_tls_handshakes_total", version, "yes" if is_resumed else "no")
            for version in metrics.TLS_VERSIONS
            for is_resumed in (False, True)
        }
        self._failed: Final = {
            reason: metrics.index("relay_tls_handshakes_failed_total", reason) for reason in metrics.TLS_FAILURES
        }
        self._seconds: Final = metrics.histogram_cells("relay_tls_handshake_seconds")
        self._expiry: Final = metrics.index("relay_tls_certificate_expiry_time_seconds")
        self._loads: Final = {
            result: metrics.index("relay_tls_certificate_loads_total", result) for result in ("served", "refused")
        }

    def begin(self) -> bool:
        """Whether one more may begin; if so it is counted until ``done`` or ``failed``."""
        if self._open >= self._most:
            self._row[self._failed["busy"]] += 1
            return False
        self._open += 1
        self._row[self._gauge] = self._open
        return True

    def done(self, stream: TlsServer, microseconds: int) -> None:
        """One that had begun is finished; it took so long."""
        self._ended()
        self._row[self._done[stream.version, stream.is_resumed]] += 1
        self._seconds.observe(self._row, microseconds)

    def failed(self, reason: str) -> None:
        """One that had begun will not be finished; ``reason`` is one of ``metrics.TLS_FAILURES``."""
        self._ended()
        self._row[self._failed[reason]] += 1

    def _ended(self) -> None:
        self._open -= 1
        self._row[self._gauge] = self._open

    def loaded(self, result: str) -> None:
        """A changed certificate was taken over (``served``) or not (``refused``)."""
        self._row[self._loads[result]] += 1

    def expire(self, at: datetime) -> None:
        """When the first certificate expires."""
        self._row[self._expiry] = max(0, int(at.timestamp() * 1e6))
