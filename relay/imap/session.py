"""An IMAP session (RFC 9051) as a pure machine (relay/net/machine.py): so far CAPABILITY, NOOP, STARTTLS and LOGOUT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from relay.config.model import Config
from relay.net.machine import Job, Report
from relay.net.tls_machine import TlsServer

LONGEST_LINE: Final = 8192
"""Octets of a command with its CRLF (RFC 7162 4)."""
_GOODBYES: Final = {
    "drained": b"* BYE This server stops, come again\r\n",
    "idle_timeout": b"* BYE You have said nothing for too long\r\n",
}
_TOO_MANY: Final = b"* BYE Too many connections\r\n"


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
        self._output.append(b"* OK " + self._hostname + b" IMAP\r\n")

    def receive(self, octets: bytes, now: int) -> None:
        """See Machine."""
        del now
        self._input += octets
        while not (self.is_over or self.wants_tls):
            line, end, rest = self._input.partition(b"\n")
            if len(line) >= LONGEST_LINE:
                self._output.append(b"* BYE This line is too long\r\n")
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
        port = "993" if protocol == "tls" else "143"
        self._output.append(f"* BYE This is the wrong port for you: try {port}\r\n".encode())
        self.is_over = True

    def release(self) -> Job | None:
        """See Machine."""
        return None

    def _obey(self, line: bytes) -> None:
        self.report.commands += 1
        tag, _, command = line.partition(b" ")
        match command.upper():
            case b"CAPABILITY":
                tls = b" STARTTLS" if self._offers_tls else b""
                self._output.append(b"* CAPABILITY IMAP4rev1" + tls + b" LOGINDISABLED\r\n" + tag + b" OK Done\r\n")
            case b"NOOP":
                self._output.append(tag + b" OK Done\r\n")
            case b"STARTTLS" if self._offers_tls:
                self._output.append(tag + b" OK Begin TLS\r\n")
                self.wants_tls = True
            case b"LOGOUT":
                self._output.append(b"* BYE Goodbye\r\n" + tag + b" OK Done\r\n")
                self.is_over = self.closes_at_once = True
            case _:
                self.report.errors += 1
                self._output.append(tag + b" BAD This command is not known here\r\n")
