"""Streams that can begin TLS, on sockets: a client that notes what happens to it, servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from relay.delivery.connect import begin_connecting
from relay.mail.tls_policy import TlsPolicy, encrypt
from relay.net._poll import Poll
from relay.net._tls_stream import TlsStream
from relay.net.tls_client import ClientConnection, ClientTls, Secured, TlsFailure
from relay.net.tls_machine import TlsServer
from relay.net.wheel import TimingWheel
from relay.telemetry import metrics
from tests.support.authorities import Issued, root

HOST = "mx.example.org"
PATIENCE = 20.0
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
ROOT = root()
GOOD = ROOT.issue(HOST)
BIG = os.urandom(1 << 16) * 384
"""24 MiB: more than the kernel takes for a peer that does not read."""


class Client(TlsStream):
    """Notes what happens. ``changed`` is set whenever something does."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.calls: list[str] = []
        self.read = bytearray()
        self.result: Secured | None = None
        self.failure: TlsFailure | None = None
        self.error: int | None = None
        self.is_connected = False
        self.drained = 0
        self.first_words = b""
        """Written in on_secured()."""
        self.most = 0
        """Largest piece that was received."""

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.changed.set()

    def on_connected(self) -> None:
        self.is_connected = True
        self.note("connected")

    def on_received(self, octets: bytes) -> None:
        self.read += octets
        self.most = max(self.most, len(octets))
        self.changed.set()

    def on_secured(self, result: Secured) -> None:
        self.result = result
        self.note("secured")
        if self.first_words:
            self.write(self.first_words)

    def on_refused(self, failure: TlsFailure) -> None:
        self.failure = failure
        self.note("refused")

    def on_ended(self) -> None:
        self.note("ended")
        super().on_ended()

    def on_drained(self) -> None:
        self.drained += 1
        self.changed.set()

    def on_lost(self, error: int) -> None:
        self.error = error
        self.note("lost")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Far:
    """The server's end of one connection: sockets of asyncio, our own server machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader, self.writer = reader, writer
        self.tls = TlsServer(context)
        self.plaintext = bytearray()

    async def secure(self) -> None:
        """The handshake."""
        is_done = False
        while not is_done:
            is_done = self.tls.handshake(await self.octets())
            self.flush()
        self.plaintext += self.tls.receive(b"")

    async def octets(self) -> bytes:
        octets = await self.reader.read(65536)
        if not octets:
            raise EOFError
        return octets

    def flush(self) -> None:
        self.writer.write(self.tls.take_output())

    async def receive(self, size: int) -> bytes:
        """``size`` octets of plaintext."""
        while len(self.plaintext) < size:
            self.plaintext += self.tls.receive(await self.octets())
        found = bytes(self.plaintext[:size])
        del self.plaintext[:size]
        return found

    async def rest(self) -> bytes:
        """All plaintext up to close_notify."""
        found = [bytes(self.plaintext)]
        while not self.tls.is_closed:
            found.append(self.tls.receive(await self.octets()))
        return b"".join(found)

    async def send(self, plaintext: bytes) -> None:
        for at in range(0, len(plaintext), 65536):
            self.tls.send(plaintext[at : at + 65536])
            self.flush()
            await self.writer.drain()


Behaviour = Callable[[Far], Awaitable[None]]


class World:
    """A worker's poll, wheel and TLS; servers on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.poll = Poll()
        self.wheel = TimingWheel(0.1, 100)
        self.cells = array("Q", [0]) * metrics.ROW_CELLS
        self.tls = ClientTls(memoryview(self.cells))
        self.anchors = str(folder / "anchors.pem")
        Path(self.anchors).write_bytes(ROOT.pem)
        self.clients: list[Client] = []
        self.problems: list[BaseException] = []
        self.tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, behaviour: Behaviour, context: ssl.SSLContext | None = None, **options: Any):
        """A server that does ``behaviour`` with each connection; its port."""
        context = context or GOOD.server(self.folder)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.tasks.add(task)
            try:
                await behaviour(Far(reader, writer, context))
            except (ConnectionError, EOFError):
                pass
            except BaseException as fault:
                self.problems.append(fault)
                raise
            finally:
                self.tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for client in self.clients:
                client.abort()  # every behaviour ends with its connection
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connect(self, port: int) -> Client:
        client = Client()
        self.clients.append(client)
        client.open(self.poll, begin_connecting(socket.AF_INET, ("127.0.0.1", port)))
        await client.until(lambda: client.is_connected or client.error is not None)
        return client

    def start(self, client: Client, policy: TlsPolicy, deadline: float = 1e9) -> ClientConnection:
        connection = self.tls.connect(policy, HOST, "127.0.0.1")
        assert isinstance(connection, ClientConnection)
        client.start_tls(connection, self.wheel, deadline)
        return connection

    async def secured(self, port: int, policy: TlsPolicy | None = None, first_words: bytes = b"") -> Client:
        client = await self.connect(port)
        client.first_words = first_words
        self.start(client, policy or encrypt())
        await client.until(lambda: client.result or client.failure)
        return client

    def count(self, name: str, *values: str) -> int:
        return self.cells[metrics.index(name, *values)]


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    """A world on this loop; what must hold of every stream is checked at its end."""
    loop = asyncio.get_running_loop()
    made = World(folder)
    loop.add_reader(made.poll.fileno, made.poll.turn)
    yield made
    for client in made.clients:
        client.abort()
    loop.remove_reader(made.poll.fileno)
    made.poll.close()
    assert len(made.wheel) == 0, "a timer of a stream that is over"
    assert not made.problems
    for client in made.clients:
        assert client.calls.count("lost") == 1
        assert client.calls[-1] == "lost"
        assert client.calls.count("refused") <= 1
        assert client.calls.count("ended") <= 1


async def echo(far: Far) -> None:
    """Sends back what it gets, until the client ends."""
    await far.secure()
    far.tls.send(bytes(far.plaintext))
    far.flush()
    while not far.tls.is_closed:
        far.tls.send(far.tls.receive(await far.octets()))
        far.flush()
    far.tls.close()
    far.flush()


def server_of(world: World, issued: Issued, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = issued.server(world.folder)
    context.maximum_version = version
    return context
