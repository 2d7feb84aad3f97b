"""A POP3 session (RFC 1939) as a pure machine (relay/net/machine.py): so far greeting, CAPA, QUIT and STLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relay.config.model import Config
from relay.net.machine import Job, Report
from relay.net.tls_machine import TlsServer

LONGEST_LINE: Final = 255
"""Octets of a command with its CRLF (RFC 2449 4)."""
_GOODBYES: Final = {
    "drained": b"-ERR [SYS/TEMP] This server stops, come again\r\n",
    "idle_timeout": b"-ERR [SYS/TEMP] You have said nothing for too long\r\n",
}
_TOO_MANY: Final = b"-ERR [SYS/TEMP] Too many connections\r\n"


class Session:
    """One session."""

    def __init__(self, config: Config, *, offers_tls: bool) -> None:
        self.report = Report()
        self.is_over = self.closes_at_once = self.wants_tls = False
        self.patience = config.readers.login_timeout
        self._hostname: Final = config.hostname.encode()
        self._offers_tls = offers_tls
        self._input = b""
        self._output: list[bytes] = []

    def open(self, wake: Callable[[], None]) -> None:
        """See Machine."""
        del wake
        self._output.append(b"+OK " + self._hostname + b" POP3\r\n")

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        del now
        self._input += octets
        while not (self.is_over or self.wants_tls):
            line, end, rest = self._input.partition(b"\n")
            if len(line) >= LONGEST_LINE:
                self._output.append(b"-ERR This line is too long\r\n")
                self.is_over = True
            elif end:
                self._input = rest
                self._obey(line.rstrip(b"\r"))
            else:
                return
        self._input = b""

    def take_output(self) -> bytes:
        """See Machine."""
        octets = b"".join(self._output)
        self._output.clear()
        return octets

    def may_read(self) -> bool:
        """See Machine."""
        return True

    def take_job(self) -> Job | None:
        """See Machine."""
        return None

    def job_done(self, result: Any, fault: BaseException | None, now: int) -> None:
        """See Machine."""

    def woken(self, now: int) -> None:
        """See Machine."""

    def secured(self, stream: TlsServer) -> None:
        """See Machine."""
        del stream
        self._offers_tls = False

    def farewell(self, cause: str) -> None:
        """See Machine."""
        self._output.append(_GOODBYES.get(cause, _TOO_MANY))
        self.is_over = True

    def mixed_up(self, protocol: str) -> None:
        """See Machine."""
        port = "995" if protocol == "tls" else "110"
        self._output.append(f"-ERR This is the wrong port for you: try {port}\r\n".encode())
        self.is_over = True

    def release(self) -> Job | None:
        """See Machine."""
        return None

    def _obey(self, line: bytes) -> None:
        self.report.commands += 1
        match line.upper():
            case b"CAPA":
                stls = b"STLS\r\n" if self._offers_tls else b""
                self._output.append(b"+OK\r\nPIPELINING\r\nRESP-CODES\r\n" + stls + b".\r\n")
            case b"STLS" if self._offers_tls:
                self._output.append(b"+OK Begin TLS\r\n")
                self.wants_tls = True
            case b"QUIT":
                self._output.append(b"+OK Goodbye\r\n")
                self.is_over = self.closes_at_once = True
            case _:
                self.report.errors += 1
                self._output.append(b"-ERR This command is not known here\r\n")
