"""What libraries say through ``logging`` (asyncio's unhandled exceptions, aiohttp) becomes events in our log.

Relay's own code does not use ``logging``: it costs 12 µs a line and knows nothing of our fields.
"""

from __future__ import annotations

import logging
from typing import Final

from relay.telemetry import lines
from relay.telemetry.sink import LogSink


class SinkHandler(logging.Handler):
    """Hands records of WARNING and above to a sink; never raises and never waits."""

    def __init__(self, sink: LogSink, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
            trace = _FORMATTER.formatException(record.exc_info) if record.exc_info else None
        except Exception:  # noqa: BLE001 - a record with wrong arguments is a defect in a library, not here
            message, trace = str(record.msg), None
        level = lines.ERROR if record.levelno >= logging.ERROR else lines.WARNING
        # The end of a trace says most, and a text is cut at its end.
        self._sink.event(level, "library message", logger=record.name, text=message, trace=trace and trace[-1000:])


def install(sink: LogSink) -> None:
    """Makes ``sink`` the only handler of the root logger of this process."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(SinkHandler(sink))


_FORMATTER: Final = logging.Formatter()
