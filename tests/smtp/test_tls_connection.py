"""TLS on a real socket: a session under it, garbage, injection, ends of every kind, mix-ups, memory."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from relay.config import Config
from relay.net.tickets import TicketKeys
from relay.net.tls import ServerTls
from relay.smtp import read_clocks
from tests.smtp.serving import serving
from tests.smtp.stand import MESSAGE, Stand
from tests.smtp.test_connection import LoopSpool, until
from tests.support.explained import bare
from tests.support.tls import MemoryClient, client_context
from tests.support.waiting import settled


class Client:
    """A client that is in the clear at first; everything has a time limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> list[str]:
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            lines.append(bare(await asyncio.wait_for(self.reader.readline(), 10)).decode().rstrip("\r\n"))
        return lines

    async def say(self, *lines: str) -> list[str]:
        """Sends lines in one segment; the first reply."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return await self.reply()

    async def starttls(self) -> None:
        """Greeting, EHLO, STARTTLS; the handshake is next."""
        assert (await self.reply())[0].startswith("220 ")
        assert "250 STARTTLS" in await self.say("EHLO client.example")
        assert (await self.say("STARTTLS"))[0].startswith("220 ")

    async def secure(self, context: ssl.SSLContext | None = None) -> None:
        await self.writer.start_tls(context or client_context())

    async def transmit(self, content: bytes = MESSAGE) -> str:
        await self.say("EHLO client.example")
        assert (await self.say("MAIL FROM:<a@b.example>"))[0][:3] == "250"
        assert (await self.say("RCPT TO:<anna@local.test>"))[0][:3] == "250"
        assert (await self.say("DATA"))[0][:3] == "354"
        self.writer.write(content + b".\r\n")
        return (await self.reply())[0]

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionError):
            return bare(await asyncio.wait_for(self.reader.read(), 10))
        return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


Scenario = Callable[[Stand, Callable[[], Awaitable[Client]]], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario against a listening server; afterwards nobody may be connected and nothing held."""

    def run_it(scenario: Scenario, *, is_implicit: bool = False) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(40):
                await _run(scenario, tmp_path, is_implicit)

        uvloop.run(bounded())

    return run_it


async def _run(scenario: Scenario, folder: Path, is_implicit: bool) -> None:
    config = Config(hostname="mx.relay.example", data_dir=folder)
    keys = TicketKeys(time.monotonic())
    stand = Stand(
        spool=LoopSpool(), tls=lambda row: ServerTls(config, keys, lambda *_: None, row), is_implicit=is_implicit
    )
    stand.context.tick(*read_clocks())
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(*address)))
        return clients[-1]

    with serving(stand.service) as address:
        try:
            await scenario(stand, connect)
            for client in clients:
                await client.close()
            await until(lambda: stand.context.open_sessions == 0)
        finally:
            stand.context.abort()
            for client in clients:
                client.writer.transport.abort()
            await settled()
    assert stand.context.buffered == 0
    assert len(stand.wheel) == 0
    assert stand.count("relay_tls_handshakes_open") == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_message_comes_in_under_starttls(run: Callable[..., None], version: ssl.TLSVersion) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        await client.secure(client_context(version))
        assert (await client.transmit()).startswith("250 2.0.0 Ok")
        assert (await client.say("QUIT"))[0].startswith("221 ")
        assert await client.rest() == b""
        assert stand.spool.records[0].envelope.client.protocol == "ESMTPS"
        assert stand.count("relay_tls_handshakes_total", version.name.replace("_", "."), "no") == 1

    run(scenario)


def test_a_message_comes_in_where_tls_begins_at_once(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.secure()
        assert (await client.reply())[0].startswith("220 ")
        assert (await client.transmit()).startswith("250 2.0.0 Ok")
        assert (await client.say("QUIT"))[0].startswith("221 ")

    run(scenario, is_implicit=True)


def test_a_large_content_and_thousands_of_pipelined_commands_come_through(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        await client.secure()
        body = b"x" * 70 + b"\r\n"
        assert (await client.transmit(MESSAGE + body * 10_000)).startswith("250 2.0.0 Ok")
        assert stand.spool.records[0].content.endswith(body * 10_000)
        client.writer.write(b"NOOP\r\n" * 5000)
        for _ in range(5000):
            assert (await client.reply()) == ["250 2.0.0 Ok"]

    run(scenario)


def test_plaintext_behind_starttls_is_never_obeyed(run: Callable[..., None]) -> None:
    """CVE-2011-0411, in one segment."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.reply()
        await client.say("EHLO client.example")
        said = await client.say("STARTTLS", "EHLO evil.example", "MAIL FROM:<evil@evil.example>")
        assert said == ["554 5.5.1 Nothing may follow STARTTLS before TLS has begun"]
        assert await client.rest() == b""

    run(scenario)


def test_plaintext_in_a_segment_of_its_own_breaks_the_handshake(run: Callable[..., None]) -> None:
    """It comes after the 220, before the client's hello: it is taken for TLS, which it is not."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        client.writer.write(b"EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\n" + MemoryClient().step())
        assert (await client.rest())[:1] in (b"", b"\x15"), "at most an alert"
        assert stand.count("relay_tls_handshakes_failed_total", "protocol") == 1
        assert stand.log.events[0][1] == "tls handshake failed"

    run(scenario)


def test_the_first_command_may_come_with_the_end_of_the_handshake(run: Callable[..., None]) -> None:
    """TLS 1.3 saves a round trip so."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        inner = MemoryClient()
        octets = inner.step()
        while not inner.is_done:
            client.writer.write(octets)
            inner.incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
            octets = inner.step()
        client.writer.write(octets + inner.say(b"EHLO client.example\r\n"))
        said = b""
        while not said.endswith(b"SMTPUTF8\r\n"):
            inner.incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
            said += inner.read()

    run(scenario)


def test_garbage_instead_of_a_hello_gets_an_alert(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        client.writer.write(b"\x16\x03\x01\x00\x20" + b"\xee" * 32)
        assert (await client.rest())[:1] == b"\x15"
        assert stand.count("relay_tls_handshakes_failed_total", "protocol") == 1

    run(scenario)


def test_a_handshake_that_is_never_finished_ends_at_its_deadline(run: Callable[..., None]) -> None:
    """Octets that trickle in do not move it."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        hello = MemoryClient().step()
        client.writer.write(hello[:20])
        await client.writer.drain()
        await settled()
        now, wall = read_clocks()
        late = now + int((stand.config.tls.handshake_timeout + 1) * 1e6)
        stand.context.tick(late, wall + late - now)
        assert await client.rest() == b""
        assert stand.count("relay_tls_handshakes_failed_total", "timeout") == 1

    run(scenario)


@pytest.mark.parametrize("is_implicit", [False, True])
def test_a_client_that_goes_in_the_handshake_leaves_nothing(run: Callable[..., None], is_implicit: bool) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        if not is_implicit:
            await client.starttls()
        client.writer.write(MemoryClient().step()[:100])
        await client.writer.drain()
        await client.close()
        await until(lambda: stand.context.open_sessions == 0)
        assert stand.count("relay_tls_handshakes_failed_total", "closed") == 1

    run(scenario, is_implicit=is_implicit)


def test_a_drain_during_a_handshake_lets_it_finish(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        drained = asyncio.Event()
        stand.context.drain(drained.set)
        await client.secure()
        assert (await client.reply())[0].startswith("421 4.3.2 ")
        assert await client.rest() == b""
        await client.close()
        await asyncio.wait_for(drained.wait(), 10)

    run(scenario)


def test_the_end_of_the_session_is_told_under_tls(run: Callable[..., None]) -> None:
    """A reply that ends the session, then close_notify: the client knows that nothing was cut off."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        inner = MemoryClient()
        client.writer.write(inner.step())
        while not inner.is_done:
            inner.incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
            client.writer.write(inner.step())
        client.writer.write(inner.say(b"GET / HTTP/1.1\r\n"))
        inner.incoming.write(await client.rest())
        said = b""
        while octets := inner.tls.read(1000):
            said += octets
        assert said.startswith(b"421 4.7.0 This port speaks SMTP, not HTTP")

    run(scenario)


def test_a_record_that_was_changed_on_the_way_ends_the_connection(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.starttls()
        inner = MemoryClient()
        client.writer.write(inner.step())
        while not inner.is_done:
            inner.incoming.write(await asyncio.wait_for(client.reader.read(65536), 10))
            client.writer.write(inner.step())
        wire = bytearray(inner.say(b"EHLO client.example\r\n"))
        wire[-1] ^= 1
        client.writer.write(bytes(wire))
        await client.rest()
        await until(lambda: stand.count("relay_smtp_sessions_closed_total", "tls_failed") == 1)

    run(scenario)


# ---- mix-ups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoken", "told", "counted"),
    [
        (b"EHLO client.example\r\n", b"421 4.7.0 This port begins with TLS; STARTTLS is for the other ports", "plain"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"421 4.7.0 This port speaks SMTP, not HTTP", "http"),
        (b"\0\0\0\0", b"421 4.7.0 This port begins with TLS; STARTTLS is for the other ports", "plain"),
    ],
)
def test_who_does_not_begin_with_tls_where_it_must_is_told(
    run: Callable[..., None], spoken: bytes, told: bytes, counted: str
) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client.writer.write(spoken)
        assert await client.rest() == told + b"\r\n"
        assert stand.count("relay_smtp_mixups_total", counted) == 1

    run(scenario, is_implicit=True)


def test_who_begins_with_tls_where_it_must_not_is_told(run: Callable[..., None]) -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.reply()
        client.writer.write(MemoryClient().step())
        assert await client.rest() == b"421 4.7.0 This port does not begin with TLS\r\n"
        assert stand.count("relay_smtp_mixups_total", "tls") == 1

    run(scenario)


def test_a_port_scan_of_a_tls_port_writes_no_log(run: Callable[..., None]) -> None:
    """Connect and close: health checks do so every few seconds."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        await (await connect()).close()
        await until(lambda: stand.count("relay_tls_handshakes_failed_total", "closed") == 1)
        assert stand.log.events == []
        assert stand.log.lines == []

    run(scenario, is_implicit=True)
