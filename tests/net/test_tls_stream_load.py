"""Much at once over an encrypted stream: back-pressure both ways, portions, the end after all that was written."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from relay.delivery.connect import begin_connecting
from relay.mail.tls_policy import encrypt
from relay.net.tls_client import ClientConnection
from tests.net.tls_streams import BIG, GOOD, PATIENCE, VERSIONS, Client, Far, World, echo, opened, server_of

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


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
