"""What is counted of the sessions of one protocol: connections, octets, how long commands and jobs took.

Not here: refusals and ends, which all protocols share (gate.py).
"""

from __future__ import annotations

from typing import Final

from relay.readers.machine import Report
from relay.telemetry import metrics
from relay.telemetry.reader_commands import READER_COMMANDS

_COMMAND_SECONDS: Final = {
    "imap": "relay_imap_command_seconds",
    "pop3": "relay_pop3_command_seconds",
    "managesieve": "relay_managesieve_command_seconds",
}


class Meter:
    """The cells of one protocol."""

    def __init__(self, row: memoryview[int], protocol: str) -> None:
        self.row: Final = row
        self._connections: Final = metrics.index("relay_reader_connections_total", protocol)
        self._open: Final = metrics.index("relay_reader_sessions_open", protocol)
        self._read: Final = metrics.index("relay_reader_read_bytes_total", protocol)
        self._written: Final = metrics.index("relay_reader_written_bytes_total", protocol)
        self._seconds: Final = metrics.histogram_cells("relay_reader_session_seconds", protocol)
        self._job_seconds: Final = metrics.histogram_cells("relay_reader_job_seconds", protocol)
        self._commands: Final = {
            name: metrics.histogram_cells(_COMMAND_SECONDS[protocol], name) for name in READER_COMMANDS[protocol]
        }
        self._other: Final = self._commands["other"]

    def finished(self, report: Report) -> None:
        """Counts the commands that a session has carried out, and takes them out of its report."""
        for kind, microseconds in report.finished:
            self._commands.get(kind, self._other).observe(self.row, microseconds)
        report.finished.clear()

    def opened(self) -> None:
        """A connection came in."""
        self.row[self._connections] += 1
        self.row[self._open] += 1

    def closed(self, microseconds: int) -> None:
        """One that was opened is gone."""
        self.row[self._open] -= 1
        self._seconds.observe(self.row, microseconds)

    def read(self, octets: int) -> None:
        """So much came in, TLS taken off."""
        self.row[self._read] += octets

    def written(self, octets: int) -> None:
        """So much was said, before TLS."""
        self.row[self._written] += octets

    def job(self, microseconds: int) -> None:
        """A job took so long, its wait for a thread included."""
        self._job_seconds.observe(self.row, microseconds)
