"""Frames: the small messages that processes of one appliance send each other over Unix sockets.

Theory: a frame is four octets of length, most significant first, then that many octets of one msgpack value. A message
is by custom a tuple whose first item names it, e.g. ``("drain", 30.0)``. Arrays arrive as tuples, text as str, octets
as bytes.

Invariants: a length above the limit is refused before anything of it is kept, so that a peer cannot make memory grow;
whatever is malformed raises ``FrameError``, and the connection is of no use after that.

Not here: what the messages mean. One decoder (``FrameBuffer``), three users of it: the asyncio protocol of the
workers, the blocking client of the command line, and the supervisor's own loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self, cast

import msgpack

from relay.net import unix

MAX_FRAME: Final = 1 << 20
"""Octets of one frame's value, unless another limit is given."""
_HEAD: Final = 4
_READ: Final = 1 << 16

Message = tuple[Any, ...]


class FrameError(Exception):
    """The peer sent what is not a frame, or we were asked to send one that is too long."""


def encode(message: Message, limit: int = MAX_FRAME) -> bytes:
    """``message`` as one frame; FrameError when it is longer than ``limit`` or holds what msgpack does not know."""
    try:
        value: bytes = msgpack.packb(message, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as fault:
        raise FrameError(f"cannot be packed: {fault}") from fault
    if len(value) > limit:
        raise FrameError(f"frame of {len(value)} octets, more than {limit}")
    return len(value).to_bytes(_HEAD, "big") + value


def decode(value: bytes | memoryview | bytearray) -> Message:
    """The message in one frame's value; FrameError when it is not an array in msgpack."""
    try:
        message = msgpack.unpackb(value, use_list=False, raw=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as fault:
        raise FrameError(f"not msgpack: {fault}") from fault
    if not isinstance(message, tuple):
        raise FrameError(f"a message is an array, not {type(message).__name__}")
    return message


class FrameBuffer:
    """Octets in, messages out; holds at most one unfinished frame of ``limit`` octets and what came with it."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, octets: bytes) -> list[Message]:
        """The messages that ``octets`` complete, in order; FrameError when they cannot be frames."""
        pending = self._pending
        pending += octets
        messages: list[Message] = []
        start = 0
        while len(pending) - start >= _HEAD:
            length = int.from_bytes(pending[start : start + _HEAD], "big")
            if length > self._limit:
                raise FrameError(f"frame of {length} octets, more than {self._limit}")
            end = start + _HEAD + length
            if end > len(pending):
                break
            messages.append(decode(bytes(pending[start + _HEAD : end])))
            start = end
        del pending[:start]
        return messages

    @property
    def is_empty(self) -> bool:
        """Whether the octets so far ended with a whole frame; at end of file anything else is a cut frame."""
        return not self._pending


class FrameProtocol(asyncio.Protocol):
    """One end of a framed connection on an event loop.

    ``on_message(protocol, message)`` is called for every message; ``on_closed(protocol, fault)`` once, with None when
    the connection ended in order. A fault of the peer's, or an exception out of ``on_message``, ends this connection
    and nothing else. The same class serves both ends: pass a lambda to ``create_unix_server`` or
    ``create_unix_connection``.
    """

    def __init__(
        self,
        on_message: Callable[[FrameProtocol, Message], None],
        on_closed: Callable[[FrameProtocol, Exception | None], None] | None = None,
        on_connected: Callable[[FrameProtocol], None] | None = None,
        limit: int = MAX_FRAME,
    ) -> None:
        self._on_message = on_message
        self._on_closed = on_closed
        self._on_connected = on_connected
        self._limit = limit
        self._buffer = FrameBuffer(limit)
        self._transport: asyncio.Transport | None = None
        self._fault: Exception | None = None
        self.is_writable = True
        """False while the peer does not read: whoever can repeat or drop what it has to say should not send now."""

    @property
    def is_connected(self) -> bool:
        """Whether ``send`` can still reach the peer."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: Message) -> None:
        """Queues one message; dropped silently when the connection is gone. FrameError when it is too long."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message, self._limit))

    def close(self) -> None:
        """Ends the connection after what has been sent is written."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not of the class
        if self._on_connected is not None:
            self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._buffer.feed(data):
                self._on_message(self, message)
                if self._transport is None or self._transport.is_closing():
                    return
        except Exception as fault:  # noqa: BLE001 - whatever it is, it ends this connection only and is reported
            self._fault = fault
            if self._transport is not None:
                self._transport.abort()

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_writable = False
        if self._on_closed is not None:
            self._on_closed(self, self._fault or exc)


class FrameClient:
    """The blocking end: what the command line uses to ask a worker. A context manager; also iterable over what
    arrives."""

    def __init__(self, connection: socket.socket, limit: int = MAX_FRAME) -> None:
        """Takes ownership of ``connection``; its timeout counts for every single read and write."""
        self._socket = connection
        self._buffer = FrameBuffer(limit)
        self._limit = limit
        self._arrived: list[Message] = []

    @classmethod
    def connect(cls, path: Path, timeout: float, limit: int = MAX_FRAME) -> FrameClient:
        """Connects to the Unix socket at ``path``; OSError when nobody listens there, ``timeout`` in seconds."""
        return cls(unix.connected(path, timeout), limit)

    def send(self, message: Message) -> None:
        """Writes one message; OSError (TimeoutError among them) when the peer is gone or does not read."""
        self._socket.sendall(encode(message, self._limit))

    def receive(self) -> Message:
        """The next message; EOFError when the peer closed, FrameError when inside a frame, TimeoutError when it is
        silent."""
        while not self._arrived:
            octets = self._socket.recv(_READ)
            if not octets:
                if self._buffer.is_empty:
                    raise EOFError("the peer closed the connection")
                raise FrameError("the peer closed the connection inside a frame")
            self._arrived = self._buffer.feed(octets)
        return self._arrived.pop(0)

    def __iter__(self) -> Iterator[Message]:
        """Every message until the peer closes."""
        while True:
            try:
                yield self.receive()
            except EOFError:
                return

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
