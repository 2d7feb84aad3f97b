"""TLS as a client on sockets: our epoll stream against our own server machine, and against peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from relay.delivery.connect import begin_connecting
from relay.mail.tls_policy import DANE_EE, TlsaRecord, TlsPolicy, dane, encrypt, opportunistic, verify
from relay.net._poll import Poll
from relay.net._tls_stream import TlsStream
from relay.net.tls_client import ClientConnection, ClientTls, Secured, TlsFailure
from relay.net.tls_machine import TlsServer
from relay.net.wheel import TimingWheel
from relay.telemetry import metrics
from tests.support.authorities import Issued, root, self_signed

HOST = "mx.example.org"
PATIENCE = 20.0
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    loop = asyncio.get_running_loop()
    made = World(tmp_path)
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


# ---- in the clear, then encrypted -----------------------------------------------------------------------------------


@every_version
async def test_a_stream_is_in_the_clear_until_tls_begins(world: World, version):
    """RFC 3207: the dialogue, the handshake, the dialogue anew."""

    async def smtp(far: Far) -> None:
        far.writer.write(b"220 hello\r\n")
        assert await far.reader.readline() == b"STARTTLS\r\n"
        far.writer.write(b"220 go on\r\n")
        await far.secure()
        assert await far.receive(6) == b"EHLO a"
        await far.send(b"250 fine\r\n")
        assert await far.rest() == b"QUIT\r\n"
        far.tls.close()
        far.flush()

    async with world.serving(smtp, server_of(world, GOOD, version)) as port:
        client = await world.connect(port)
        await client.until(lambda: client.read == b"220 hello\r\n")
        client.write(b"STARTTLS\r\n")
        await client.until(lambda: client.read.endswith(b"220 go on\r\n"))
        assert (client.is_secure, client.result) == (False, None)
        client.read.clear()
        world.start(client, encrypt())
        await client.until(lambda: client.is_secure)
        assert client.result is not None
        assert client.result.version == version.name.replace("_", ".")
        client.write_parts([b"EHLO", memoryview(b" a")])
        await client.until(lambda: client.read == b"250 fine\r\n")
        client.write(b"QUIT\r\n")
        client.shut()
        await client.until(lambda: client.error is not None)
    assert client.calls == ["connected", "secured", "ended", "lost"]
    assert client.error == 0


@every_version
async def test_the_first_words_may_be_written_as_soon_as_it_is_secure(world: World, version):
    async with world.serving(echo, server_of(world, GOOD, version)) as port:
        client = await world.secured(port, first_words=b"EHLO a\r\n")
        await client.until(lambda: client.read == b"EHLO a\r\n")


async def test_what_a_server_sends_together_with_its_last_flight_is_not_lost(world: World):
    async def eager(far: Far) -> None:
        while not far.tls.handshake(await far.octets()):
            far.flush()
        far.tls.send(b"220 hello\r\n")
        far.flush()
        await far.rest()

    for version in VERSIONS:
        async with world.serving(eager, server_of(world, GOOD, version)) as port:
            client = await world.secured(port)
            await client.until(lambda client=client: client.read == b"220 hello\r\n")  # type: ignore[misc]
            client.close()


async def test_nothing_leaves_in_the_clear_while_the_handshake_goes_on(world: World):
    seen = bytearray()

    async def silent(far: Far) -> None:
        while True:
            seen.extend(await far.octets())
            client.changed.set()

    async with world.serving(silent) as port:
        client = await world.connect(port)
        world.start(client, encrypt())
        for write in (lambda: client.write(b"MAIL FROM:<a@b>\r\n"), lambda: client.write_parts([b"MAIL"])):
            with pytest.raises(RuntimeError, match="while the TLS handshake goes on"):
                write()
        await client.until(lambda: seen)
        client.close()
        await client.until(lambda: client.error is not None)
    assert b"MAIL" not in seen
    assert client.calls == ["connected", "lost"], "closed by ourselves: no failure"


async def test_tls_begins_once_and_on_an_open_stream_only(world: World):
    async with world.serving(echo) as port:
        client = await world.secured(port)
        with pytest.raises(RuntimeError, match="not a stream that can begin TLS"):
            world.start(client, encrypt())
        client.abort()
        closed = await world.connect(port)
        closed.abort()
        with pytest.raises(RuntimeError, match="not a stream that can begin TLS"):
            world.start(closed, encrypt())


# ---- policies -------------------------------------------------------------------------------------------------------


def policies(world: World) -> dict[str, TlsPolicy]:
    return {
        "opportunistic": opportunistic(),
        "encrypt": encrypt(),
        "verify": verify(anchors=world.anchors),
        "dane": dane((TlsaRecord(DANE_EE, 1, 0, GOOD.public_key_info),)),
    }


CERTIFICATES = {
    "good": GOOD,
    "expired": ROOT.issue(HOST, days=-1),
    "wrong name": ROOT.issue("other.example"),
    "self-signed": self_signed(HOST),
}


@every_version
@pytest.mark.parametrize("name", CERTIFICATES)
@pytest.mark.parametrize("kind", ["opportunistic", "encrypt", "verify", "dane"])
async def test_each_policy_meets_each_certificate(world: World, kind: str, name: str, version):
    """And under one that checks, a server with a bad certificate never gets an octet of plaintext."""
    is_good = name == "good" or kind in ("opportunistic", "encrypt")
    got = bytearray()

    async def listen(far: Far) -> None:
        with contextlib.suppress(Exception):  # alerts
            await far.secure()
            got.extend(await far.receive(6))
            await far.send(b"250 ok")
            await far.rest()

    async with world.serving(listen, server_of(world, CERTIFICATES[name], version)) as port:
        client = await world.secured(port, policies(world)[kind], first_words=b"EHLO a")
        if is_good:
            assert client.result is not None
            assert client.result.is_verified == (kind in ("verify", "dane"))
            await client.until(lambda: client.read == b"250 ok")
            assert got == b"EHLO a"
        else:
            assert client.failure is not None
            assert client.failure.kind == "certificate"
            assert client.calls == ["connected", "refused", "lost"]
    assert bytes(got) == (b"EHLO a" if is_good else b"")


@every_version
async def test_the_second_connection_is_resumed(world: World, version):
    async with world.serving(echo, server_of(world, GOOD, version)) as port:
        for number in range(4):
            client = await world.secured(port, verify(anchors=world.anchors), first_words=b"x")
            assert client.result is not None, client.failure
            assert client.result.is_resumed == (number > 0)
            assert client.result.is_verified
            await client.until(lambda client=client: client.read == b"x")  # type: ignore[misc]
            client.close()
    assert world.count("relay_tls_client_handshakes_total", version.name.replace("_", "."), "yes") == 3


# ---- peers that misbehave -------------------------------------------------------------------------------------------


async def failed(world: World, behaviour: Behaviour) -> Client:
    async with world.serving(behaviour) as port:
        client = await world.secured(port)
        await client.until(lambda: client.error is not None)
    assert client.result is None
    assert client.failure is not None
    assert client.calls == ["connected", "refused", "lost"]
    return client


@pytest.mark.parametrize("flights", [0, 1])
async def test_a_server_that_closes_in_the_handshake_is_a_failure(world: World, flights: int):
    async def leave(far: Far) -> None:
        octets = await far.octets()
        if flights:
            far.tls.handshake(octets)
            far.writer.write(far.tls.take_output()[:200])

    client = await failed(world, leave)
    assert client.failure is not None
    assert client.failure.kind == "handshake"
    assert client.failure.text == "the server closed the connection during the TLS handshake"
    assert world.count("relay_tls_client_handshakes_failed_total", "handshake") == 1


async def test_a_server_that_resets_in_the_handshake_is_a_failure(world: World):
    async def reset(far: Far) -> None:
        await far.octets()
        far.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.writer.transport.abort()

    client = await failed(world, reset)
    assert client.failure is not None
    assert client.failure.kind == "handshake"
    assert client.error == errno.ECONNRESET


@pytest.mark.parametrize("octets", [b"454 4.7.0 not now\r\n", b"220 go on\r\n250 injected\r\n"])
async def test_a_server_that_answers_in_plain_text_is_a_failure(world: World, octets: bytes):
    async def plain(far: Far) -> None:
        await far.octets()
        far.writer.write(octets)
        await far.octets()

    client = await failed(world, plain)
    assert client.failure is not None
    assert client.failure.kind == "handshake"
    assert client.failure.text == "the server did not answer with TLS"
    assert client.failure.cause
    assert client.read == b"", "none of it passes for plaintext"


@pytest.mark.parametrize("flights", [0, 1])
async def test_a_server_that_stalls_is_given_up_at_the_deadline(world: World, flights: int):
    """I10, on the wheel's clock."""
    reached = asyncio.Event()

    async def stall(far: Far) -> None:
        octets = await far.octets()
        if flights:
            far.tls.handshake(octets)
            far.writer.write(far.tls.take_output()[:200])
            await far.writer.drain()
        reached.set()
        await far.octets()

    async with world.serving(stall) as port:
        client = await world.connect(port)
        world.start(client, encrypt(), deadline=30.0)
        await reached.wait()
        assert world.wheel.expire(29.9) == []
        assert client.calls == ["connected"]
        for item in world.wheel.expire(30.1):
            item.expire(30.1)
        assert client.failure is not None
        assert client.failure.kind == "timed_out"
        assert client.failure.text == "the TLS handshake was not finished in time"
        assert client.calls == ["connected", "refused", "lost"]
    assert world.count("relay_tls_client_handshakes_failed_total", "timed_out") == 1


async def test_the_deadline_is_the_handshake_s_only(world: World):
    async with world.serving(echo) as port:
        client = await world.secured(port)
        assert len(world.wheel) == 0
        client.write(b"x")
        await client.until(lambda: client.read == b"x")


async def test_closing_during_a_handshake_that_stalls_ends(world: World):
    async def stall(far: Far) -> None:
        await far.octets()
        await far.octets()

    async with world.serving(stall) as port:
        client = await world.connect(port)
        world.start(client, encrypt(), deadline=30.0)
        client.close()
        assert client.calls == ["connected", "lost"]


async def test_records_that_are_no_tls_end_the_connection(world: World):
    async def garble(far: Far) -> None:
        await far.secure()
        await far.send(b"250 fine\r\n")
        assert await far.receive(1) == b"x"
        far.tls.send(b"250 changed\r\n")
        octets = bytearray(far.tls.take_output())
        octets[-1] ^= 1
        far.writer.write(octets)
        await far.octets()

    async with world.serving(garble) as port:
        client = await world.secured(port)
        await client.until(lambda: client.read == b"250 fine\r\n")
        client.write(b"x")
        await client.until(lambda: client.error is not None)
    assert client.failure is not None
    assert client.failure.kind == "broken"
    assert client.read == b"250 fine\r\n"
    assert client.calls == ["connected", "secured", "refused", "lost"]


async def test_the_end_without_close_notify_is_an_end(world: World):
    """SMTP has ends of its own; many servers do not send it."""

    async def leave(far: Far) -> None:
        await far.secure()
        await far.send(b"221 bye\r\n")

    async with world.serving(leave) as port:
        client = await world.secured(port)
        await client.until(lambda: client.error is not None)
    assert client.read == b"221 bye\r\n"
    assert client.calls == ["connected", "secured", "ended", "lost"]


# ---- much at once ---------------------------------------------------------------------------------------------------


@every_version
async def test_many_megabytes_go_out_in_portions_and_in_order(world: World, version):
    go_on = asyncio.Event()
    parts = [BIG[at : at + size] for at, size in ((0, 5), (5, 70_000), (70_005, 1), (70_006, len(BIG)))]
    got: list[bytes] = []

    async def slow(far: Far) -> None:
        await far.secure()
        await go_on.wait()
        got.append(await far.receive(len(BIG)))
        await far.send(b"250 ok")
        got.append(await far.rest())

    async with world.serving(slow, server_of(world, GOOD, version), limit=65536) as port:
        client = await world.secured(port)
        client.write_parts([memoryview(parts[0]), parts[1], memoryview(parts[2]), memoryview(parts[3])])
        assert client.count_unsent() > len(BIG) / 4, "the peer does not read"
        client.write(b"!")
        assert client.drained == 0
        go_on.set()
        await client.until(lambda: client.read == b"250 ok")
        assert client.count_unsent() == 0
        assert client.drained == 1
        client.close()
        await client.until(lambda: client.error is not None)
    assert got == [BIG, b"!"]


class Counting(ClientConnection):
    """Notes how much it is given to encrypt."""

    __slots__ = ()
    given: ClassVar[list[int]] = []

    def send(self, plaintext: bytes | memoryview) -> None:
        self.given.append(len(plaintext))
        super().send(plaintext)


async def deaf(far: Far) -> None:
    """Reads nothing after the handshake, and goes on sending."""
    await far.secure()
    far.reader._transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        await far.send(bytes(65536))


async def test_what_waits_is_not_encrypted_ahead(world: World):
    """So that a content that is lent is not in memory twice: only a portion of it exists as records."""
    Counting.given.clear()
    async with world.serving(deaf) as port:
        client = await world.connect(port)
        connection = world.start(client, encrypt())
        connection.__class__ = Counting
        await client.until(lambda: client.read)
        client.pause()
        client.write_parts([memoryview(BIG)])
        assert 0 < sum(Counting.given) < len(BIG)
        assert max(Counting.given) <= 65536
        records = client.count_unsent() - (len(BIG) - sum(Counting.given))
        assert 0 < records < 70_000


class Answering(ClientConnection):
    """TLS itself has something to send after each read, as after a key update (RFC 8446 4.6.3)."""

    __slots__ = ()

    def receive(self, octets: bytes) -> bytes:
        self.send(bytes(100_000))
        return super().receive(octets)


async def test_a_server_that_asks_for_answers_and_does_not_read_them_is_cut_off(world: World):
    """I5: whatever the kernel does not take of them has to be kept."""
    async with world.serving(deaf) as port:
        client = await world.connect(port)
        connection = world.start(client, encrypt())
        connection.__class__ = Answering
        await client.until(lambda: client.error is not None)
    assert client.failure is not None
    assert client.failure.kind == "broken"
    assert "asks for answers and does not read them" in client.failure.text


async def test_closing_sends_what_was_written_first(world: World):
    go_on, got = asyncio.Event(), []

    async def slow(far: Far) -> None:
        await far.secure()
        await go_on.wait()
        await far.send(b"not read any more")
        got.append(await far.rest())

    for end in ("close", "shut"):
        go_on.clear()
        async with world.serving(slow) as port:
            client = await world.secured(port)
            client.write(BIG)
            getattr(client, end)()
            client.write(b"too late")
            assert client.error is None
            go_on.set()
            await client.until(lambda client=client: client.error is not None)  # type: ignore[misc]
            assert bytes(client.read) == (b"" if end == "close" else b"not read any more")
    assert got == [BIG, BIG]


@every_version
async def test_a_client_that_pauses_holds_the_server_up(world: World, version):
    sent = 0

    async def flood(far: Far) -> None:
        nonlocal sent
        await far.secure()
        for at in range(0, len(BIG), 65536):
            await far.send(BIG[at : at + 65536])
            sent = at + 65536
            client.changed.set()
        await far.rest()

    async with world.serving(flood, server_of(world, GOOD, version)) as port:
        client = Client()
        world.clients.append(client)
        client.open(world.poll, begin_connecting(socket.AF_INET, ("127.0.0.1", port)))
        await client.until(lambda: client.is_connected)
        world.start(client, encrypt())
        await client.until(lambda: client.read)
        client.pause()
        held = await settled(lambda: (sent, len(client.read)))
        assert held[0] < len(BIG)
        assert held[1] < len(BIG)
        client.resume()
        await client.until(lambda: len(client.read) == len(BIG))
        assert client.read == BIG
        assert client.most <= 256 * 1024 + 16384, "one call per read"


async def settled(values: Callable[[], Any]) -> Any:
    """``values`` once they have stood still for a while of the loop's turns."""
    deadline, same, last = time.monotonic() + PATIENCE, 0, values()
    while same < 200 and time.monotonic() < deadline:
        await asyncio.sleep(0)
        same, last = (same + 1, last) if values() == last else (0, values())
    return last


@every_version
async def test_a_client_that_has_ended_still_reads(world: World, version):
    """RFC 8446 6.1: each direction has its own end."""

    async def answer(far: Far) -> None:
        await far.secure()
        assert await far.rest() == b"QUIT\r\n"
        await far.send(BIG + b"221 bye\r\n")
        far.tls.close()
        far.flush()
        await far.writer.drain()

    async with world.serving(answer, server_of(world, GOOD, version)) as port:
        client = await world.secured(port)
        client.write(b"QUIT\r\n")
        client.shut()
        await client.until(lambda: client.error is not None)
    assert client.read == BIG + b"221 bye\r\n"
    assert client.calls == ["connected", "secured", "ended", "lost"]


async def test_tls_does_not_begin_while_something_is_still_being_sent_in_the_clear(world: World):
    async def silent(far: Far) -> None:
        far.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await far.writer.wait_closed()

    async with world.serving(silent) as port:
        client = await world.connect(port)
        client.write(BIG)
        assert client.count_unsent() > 0
        with pytest.raises(RuntimeError, match="not a stream that can begin TLS"):
            world.start(client, encrypt())
        client.abort()


async def test_both_directions_at_once(world: World):
    async with world.serving(echo) as port:
        client = await world.secured(port)
        client.write_parts([BIG])
        await client.until(lambda: len(client.read) == len(BIG))
        assert client.read == BIG
        client.close()
