"""TLS as a client on sockets: our epoll stream against our own server machine, and against peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.mail.tls_policy import DANE_EE, TlsaRecord, TlsPolicy, dane, encrypt, opportunistic, verify
from tests.net.tls_streams import (
    GOOD,
    HOST,
    ROOT,
    VERSIONS,
    Behaviour,
    Client,
    Far,
    World,
    echo,
    opened,
    server_of,
)
from tests.support.authorities import self_signed

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


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
