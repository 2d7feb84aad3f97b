"""Logs of processes that are gone are taken over by a living one, until what they hold is finished.

Not here: what is finished in them (relay/spool/adopted.py), who reads them (log_tails.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from relay import spool
from relay.dispatch.log_links import LogLinks
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink

ADOPT_SECONDS: Final = 2.0
"""How often slot 0 of the smtp workers looks for logs whose process is gone."""


class Adopter:
    """Takes over the logs of processes that are gone, until what they hold is finished."""

    def __init__(self, spool_dir: Path, links: LogLinks, sink: LogSink, row: memoryview[int]) -> None:
        self._spool_dir = spool_dir
        self._links = links
        self._sink = sink
        self._row = row
        self._gauge = metrics.index("relay_spool_logs_adopted")
        self._logs: dict[int, spool.AdoptedLog] = {}
        self._is_closed = False

    def look(self) -> None:
        """Adopts what it finds, and lets go of what is empty."""
        if self._is_closed:
            return
        for number, log in list(self._logs.items()):
            if log.is_empty:
                self._links.release(number)
                log.close()
                del self._logs[number]
        for number in spool.list_logs(self._spool_dir):
            if number in self._logs:
                continue
            adopted = spool.adopt(self._spool_dir, number)
            if adopted is not None:
                self._logs[number] = adopted
                self._sink.event("info", "log adopted", log=number)
                self._links.adopt(adopted)
        self._row[self._gauge] = len(self._logs)

    def close(self) -> None:
        """Gives all up, for good: the next smtp worker of slot 0 goes on with them."""
        self._is_closed = True
        for number, log in self._logs.items():
            self._links.release(number)
            log.close()
        self._logs.clear()
        self._row[self._gauge] = 0
