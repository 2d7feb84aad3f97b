"""A small SMTP or LMTP sink for tests: takes everything, remembers every message, and can be told to misbehave.

It runs its own event loop in a thread, so that a test stays plain blocking code. Deliberately unlike Relay's own
code: simple, slow, and sharing nothing with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.waiting import settled

CUT = "cut"
"""As an answer: the connection is closed instead."""
SILENT = "silent"
"""As an answer: there is none."""


@dataclass(frozen=True)
class Received:
    """One message as the sink got it, dots unstuffed."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Sink:
    """``answer(stage, argument)`` may return a reply line instead of the usual one; stages: mail, rcpt, data, content.

    With ``lmtp`` each recipient has a reply of its own after the content: stage ``content``, argument its address.
    It listens on ``address`` and ``port`` (0: any free one), or on the Unix socket ``path``.
    """

    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES", "SMTPUTF8")
    answer: Callable[[str, str], str | None] = lambda stage, argument: None
    port: int = 0
    address: str = "127.0.0.1"
    lmtp: bool = False
    path: Path | None = None
    messages: list[Received] = field(default_factory=list)
    connections: int = 0
    open: set[_Session] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the sink did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._listen())
        started.set()
        self._loop.run_forever()
        server.close()
        for session in list(self.open):
            session.transport.abort()
        self._loop.run_until_complete(settled())
        self._loop.close()

    async def _listen(self) -> asyncio.AbstractServer:
        if self.path is not None:
            return await self._loop.create_unix_server(lambda: _Session(self), self.path)
        server = await self._loop.create_server(
            lambda: _Session(self), self.address, self.port, backlog=1024, reuse_address=True
        )
        self.port = server.sockets[0].getsockname()[1]
        return server


class _Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.buffer = bytearray()
        self.in_content = False
        self.reverse_path = ""
        self.recipients: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.sink.connections += 1
        self.sink.open.add(self)
        self.reply("220 sink.test ESMTP")

    def connection_lost(self, fault: Exception | None) -> None:
        self.sink.open.discard(self)

    def data_received(self, octets: bytes) -> None:
        self.buffer += octets
        while self.step():
            pass

    def step(self) -> bool:
        if self.in_content:
            whole = b"\r\n" + self.buffer
            end = whole.find(b"\r\n.\r\n")
            if end < 0:
                return False
            content = bytes(whole[2 : end + 2]).replace(b"\r\n..", b"\r\n.")
            if content.startswith(b".."):
                content = content[1:]
            del self.buffer[: end + 3]
            self.in_content = False
            self.finish(content)
            return True
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self.buffer[:end].decode("utf-8", "surrogateescape")
        del self.buffer[: end + 2]
        self.command(line)
        return True

    def finish(self, content: bytes) -> None:
        if self.sink.lmtp:
            self.finish_each(content)
            return
        special = self.sink.answer("content", self.reverse_path)
        if special is None or special.startswith("2"):
            self.sink.messages.append(Received(self.reverse_path, tuple(self.recipients), content))
        self.reply(special or "250 2.0.0 taken")
        self.recipients = []

    def finish_each(self, content: bytes) -> None:
        """RFC 2033 4.2: one reply for each recipient that was accepted, in their order."""
        taken = []
        for recipient in self.recipients:
            special = self.sink.answer("content", recipient)
            if special is None or special.startswith("2"):
                taken.append(recipient)
            self.reply(special or "250 2.1.5 taken")
        if taken:
            self.sink.messages.append(Received(self.reverse_path, tuple(taken), content))
        self.recipients = []

    def command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == ("EHLO" if self.sink.lmtp else "LHLO"):
            self.reply("500 5.5.1 not spoken here")
        elif verb in ("EHLO", "LHLO"):
            lines = ("sink.test", *self.sink.extensions)
            self.transport.write(
                "".join(f"250{'-' if n < len(lines) - 1 else ' '}{text}\r\n" for n, text in enumerate(lines)).encode()
            )
        elif verb == "MAIL":
            self.reverse_path = line[line.find("<") + 1 : line.find(">")]
            self.recipients = []
            self.reply(self.sink.answer("mail", self.reverse_path) or "250 2.1.0 ok")
        elif verb == "RCPT":
            recipient = line[line.find("<") + 1 : line.rfind(">")]
            special = self.sink.answer("rcpt", recipient)
            if special is None or special.startswith("2"):
                self.recipients.append(recipient)
            self.reply(special or "250 2.1.5 ok")
        elif verb == "DATA":
            special = self.sink.answer("data", self.reverse_path)
            if special is None and not self.recipients:
                special = "554 5.5.1 no valid recipients"
            self.in_content = special is None
            self.reply(special or "354 go on")
        elif verb == "QUIT":
            self.reply("221 2.0.0 bye")
            self.transport.close()
        else:
            self.reply("250 2.0.0 ok")

    def reply(self, text: str) -> None:
        if text == CUT:
            self.transport.close()
        if text in (CUT, SILENT):
            return
        self.transport.write(text.encode() + b"\r\n")
