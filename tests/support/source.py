"""Sends numbered messages over several sessions and remembers which were answered 250.

Blocking sockets and threads: what it says it sent can be read off in one page. A session that breaks is opened again
until the source is told to stop, so that a test can kill the server under it.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field

from tests.support.waiting import pause


@dataclass
class Source:
    """``sessions`` threads send to ``port`` until ``messages`` are acknowledged or ``stop`` is set."""

    port: int
    sessions: int = 8
    messages: int = 1000
    size: int = 600
    recipient: str = "someone@relay.test"
    prefix: str = "m"
    extra_recipients: tuple[str, ...] = ()
    ahead: int = 1
    """Transactions sent in one write, with BDAT, when there are more than one."""
    acknowledged: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._session, daemon=True) for _ in range(self.sessions)]
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> None:
        """Waits for all sessions; raises TimeoutError when they do not end in ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.stop.set()
                raise TimeoutError(f"{len(self.acknowledged)} of {self.messages} acknowledged in {timeout} s")

    def _next(self) -> str | None:
        with self._lock:
            if self.stop.is_set() or len(self.acknowledged) >= self.messages:
                return None
            self._number += 1
            return f"{self.prefix}-{self._number}"

    def _session(self) -> None:
        while (name := self._next()) is not None:
            try:
                with (
                    socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection,
                    connection.makefile("rwb") as peer,
                ):
                    self._converse(peer, name)
            except (OSError, EOFError):
                pause(0.02)

    def _converse(self, peer: object, name: str | None) -> None:
        self._expect(peer, b"2")
        self._say(peer, b"EHLO source.test\r\n", b"2")
        if self.ahead > 1:
            self._stream(peer, name)
            name = None
        while name is not None:
            self._say(peer, b"MAIL FROM:<sender@source.test>\r\n", b"2")
            for recipient in (self.recipient, *self.extra_recipients):
                self._say(peer, f"RCPT TO:<{recipient}>\r\n".encode(), b"2")
            self._say(peer, b"DATA\r\n", b"3")
            line = self._say(peer, self.content(name) + b".\r\n", b"")
            with self._lock:
                if line.startswith(b"250"):
                    self.acknowledged.add(name)
                else:
                    self.refused.append(line.decode("ascii", "replace"))
            name = self._next()
        self._say(peer, b"QUIT\r\n", b"2")

    def _stream(self, peer: object, name: str | None) -> None:
        while name is not None:
            names = [name, *filter(None, (self._next() for _ in range(self.ahead - 1)))]
            envelope = b"MAIL FROM:<sender@source.test>\r\n" + b"".join(
                f"RCPT TO:<{recipient}>\r\n".encode() for recipient in (self.recipient, *self.extra_recipients)
            )
            contents = [self.content(each) for each in names]
            octets = b"".join(envelope + b"BDAT %d LAST\r\n%b" % (len(content), content) for content in contents)
            peer.write(octets)  # type: ignore[attr-defined]
            peer.flush()  # type: ignore[attr-defined]
            for each in names:
                for _ in range(3 + len(self.extra_recipients)):
                    self._expect(peer, b"2")
                with self._lock:
                    self.acknowledged.add(each)
            name = self._next()

    def content(self, name: str) -> bytes:
        head = f"From: <sender@source.test>\r\nSubject: {name}\r\nX-Name: {name}\r\n\r\n".encode()
        line = b"0123456789" * 7 + b"\r\n"
        return head + line * max(1, (self.size - len(head)) // len(line))

    def _say(self, peer: object, octets: bytes, wanted: bytes) -> bytes:
        peer.write(octets)  # type: ignore[attr-defined]
        peer.flush()  # type: ignore[attr-defined]
        return self._expect(peer, wanted)

    def _expect(self, peer: object, wanted: bytes) -> bytes:
        while True:
            line: bytes = peer.readline()  # type: ignore[attr-defined]
            if not line:
                raise EOFError
            if line[3:4] != b"-":
                break
        if not line.startswith(wanted):
            with self._lock:
                self.refused.append(line.decode("ascii", "replace"))
            raise EOFError
        return line


def name_of(content: bytes) -> str:
    """The name a Source gave the message with this content."""
    start = content.index(b"X-Name: ") + 8
    return content[start : content.index(b"\r\n", start)].decode()
