"""A thin client of line protocols: it writes prepared octets and counts what ends the answers, nothing more.

Theory: a client that understood IMAP would cost more than the server it measures. Here every octet of an answer is
looked at twice at most, by ``bytes.count`` in C: for what ends an answer, and for what stands once in each message, so
that a server which answers quickly but with too little is found out.

A peer does one ``ask`` at a time. Not here: what is asked (benchmarks/scenarios/mailbox.py).
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final, NamedTuple, Self, cast

_BUFFER: Final = 256 * 1024
_TAIL: Final = 2048
TIMEOUT: Final = 60.0


class AnswerError(Exception):
    """A server answered something else than it should have; the text says what."""


class Answer(NamedTuple):
    """What came."""

    octets: int
    found: int
    """How often what was to be counted stands in it."""
    end: bytes
    """Its last line or part of it, without the line end."""
    tail: bytes
    """Its last octets, some hundred."""


class Peer(asyncio.BufferedProtocol):
    """One connection."""

    _shared = bytearray(_BUFFER)
    """What comes is counted before anybody else receives: all peers of this thread take turns with one buffer."""

    _open: ClassVar[set[Peer]] = set()

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._view = memoryview(self._shared)
        self._waiting: asyncio.Future[None] | None = None
        self._is_lost = False
        self._begin(b"", b"\n", 1)

    @classmethod
    async def connect(cls, port: int, source: str = "127.0.0.1") -> Self:
        """A connection to ``port`` of loopback from the address ``source``; its greeting is read."""
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(cls, "127.0.0.1", port, local_addr=(source, 0))
        try:
            await peer.answered()
        except BaseException:
            peer.close()
            raise
        return peer

    async def ask(self, octets: bytes, end: bytes, *, ends: int = 1, counted: bytes = b"") -> Answer:
        """Sends ``octets``; returns when ``end`` has come ``ends`` times and the line it is in is whole.

        An ``end`` that begins with a line end is also found in the first line of the answer.

        Raises AnswerError when the connection is lost or nothing has come for long.
        """
        self._begin(counted, end, ends)
        assert self._transport is not None
        self._transport.write(octets)
        await self.answered()
        return Answer(self._octets, self._found, self._tail.rstrip(b"\r\n").rpartition(b"\n")[2], self._tail)

    async def imap(self, command: bytes, *, counted: bytes = b"") -> Answer:
        """``ask`` for one IMAP command, without its tag. Raises AnswerError unless it is answered with OK."""
        answer = await self.ask(b"t " + command + b"\r\n", b"\nt ", counted=counted)
        if not answer.end.startswith(b"t OK"):
            raise AnswerError(f"{command[:60]!r} was answered with {answer.end[:200]!r}")
        return answer

    async def lines(self, octets: bytes, expected: bytes, end: bytes = b"\n") -> Answer:
        """``ask`` for SMTP, LMTP and POP3. Raises AnswerError unless the last line begins with ``expected``."""
        answer = await self.ask(octets, end)
        if not answer.end.startswith(expected):
            raise AnswerError(f"{octets[:60]!r} was answered with {answer.end[:200]!r}")
        return answer

    def close(self) -> None:
        """Ends the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    @classmethod
    def close_all(cls) -> None:
        """Ends every connection that is left: a loop of uvloop does not close while there is one."""
        for peer in list(cls._open):
            peer.close()

    def _begin(self, counted: bytes, end: bytes, ends: int) -> None:
        self._counted, self._end, self._ends = counted, end, ends
        self._octets = self._found = 0
        self._tail = b"\n"  # what came before ended a line

    async def answered(self) -> None:
        """Returns when the answer is whole that is waited for; the greeting, at first. Raises AnswerError."""
        self._waiting = asyncio.get_running_loop().create_future()
        if self._is_lost or self._is_whole():
            self._waiting.set_result(None)
        try:
            await asyncio.wait_for(self._waiting, TIMEOUT)
        except TimeoutError:
            raise AnswerError(f"no end of an answer after {TIMEOUT:.0f} s: {self._tail[-100:]!r}") from None
        if self._is_lost and self._ends > 0:
            raise AnswerError(f"the connection was closed after {self._tail[-100:]!r}")

    # ---- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._open.discard(self)
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._octets += nbytes
        came = bytes(self._view[:nbytes])
        self._ends -= self._count(came, self._end)
        if self._counted:
            self._found += self._count(came, self._counted)
        self._tail = came[-_TAIL:] if nbytes >= _TAIL else (self._tail + came)[-_TAIL:]
        if self._is_whole() and self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def _is_whole(self) -> bool:
        return self._ends <= 0 and self._tail.endswith(b"\n")

    def _count(self, came: bytes, what: bytes) -> int:
        """How often ``what`` ends in what came now; it may have begun before."""
        most = len(what) - 1
        across = (self._tail[-most:] + came[:most]).count(what) if most else 0
        return came.count(what) + across
