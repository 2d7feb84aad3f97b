"""The session on a real socket: closing, half-closing, back-pressure, awaitable policies, drain."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from relay.policy.verdict import Answer, View
from relay.smtp import read_clocks
from tests.smtp.serving import serving
from tests.smtp.stand import MESSAGE, Spool, Stand
from tests.support.explained import bare
from tests.support.waiting import reached, settled


class LoopSpool(Spool):
    """Syncs in the next turn of the loop, unless it is told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stalled = False

    def append(self, *args: object) -> None:
        super().append(*args)  # type: ignore[arg-type]
        if not self.is_stalled:
            asyncio.get_running_loop().call_soon(self.sync)


class Client:
    """A client's socket, with time limits on everything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def line(self) -> str:
        return bare(await asyncio.wait_for(self.reader.readline(), 10)).decode().rstrip("\r\n")

    async def say(self, *lines: str) -> str:
        """Sends lines in one segment; the first line of the reply."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return await self.line()

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        return bare(await asyncio.wait_for(self.reader.read(), 10))

    async def begin(self) -> None:
        await self.line()
        await self.say("HELO client.example")
        assert (await self.say("MAIL FROM:<a@b.example>"))[:3] == "250"
        assert (await self.say("RCPT TO:<anna@local.test>"))[:3] == "250"
        assert (await self.say("DATA"))[:3] == "354"

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


Scenario = Callable[[Stand, Callable[[], Awaitable[Client]]], Awaitable[None]]


def run(scenario: Scenario, *, stand: Stand | None = None, listening: socket.socket | None = None) -> None:
    """Runs ``scenario(stand, connect)`` against a listening server; afterwards nobody may be connected."""

    async def main() -> None:
        world = stand or Stand(spool=LoopSpool())
        world.context.tick(*read_clocks())
        clients: list[Client] = []

        async def connect() -> Client:
            clients.append(Client(*await asyncio.open_connection(*address)))
            return clients[-1]

        with serving(world.service, listening) as address:
            try:
                await scenario(world, connect)
                for client in clients:
                    await client.close()
                await until(lambda: world.context.open_sessions == 0)
            finally:
                # A loop that is closed with open transports would never return when warnings are errors.
                world.context.abort()
                for client in clients:
                    client.writer.transport.abort()
                await settled()
        assert world.context.buffered == 0
        assert len(world.wheel) == 0

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main()

    uvloop.run(bounded())


async def until(is_true: Callable[[], bool]) -> None:
    await reached(is_true, "it never came")


def test_quit_closes_the_connection() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        assert (await client.line()).startswith("220 ")
        assert await client.say("QUIT") == "221 2.0.0 Bye"
        assert await client.rest() == b""
        await until(lambda: stand.context.open_sessions == 0)

    run(scenario)


def test_a_peer_that_closes_its_side_first_still_gets_its_replies() -> None:
    """What `nc` does when its input ends."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.begin()
        stand.spool.is_stalled = True
        client.writer.write(MESSAGE + b".\r\nNOOP\r\n")
        client.writer.write_eof()
        await until(lambda: len(stand.spool.waiting) == 1)
        await settled()
        stand.spool.sync()
        assert [line[:3] for line in (await client.rest()).splitlines()] == [b"250", b"250"]

    run(scenario)


def test_a_peer_that_closes_both_sides_is_noticed() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.begin()
        await client.close()
        await until(lambda: stand.context.open_sessions == 0)
        assert stand.log.lines[-1]["result"] == "aborted"
        assert stand.log.lines[-1]["reason"] in ("peer_closed", "peer_reset")

    run(scenario)


def test_the_last_reply_reaches_a_peer_that_goes_on_sending() -> None:
    """A close with unread input would make the kernel reset the connection and lose the 421 (RFC 1122 4.2.2.13)."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.line()
        client.writer.write(b"".join(b"RCPT TO:<user%d@relay.test>\r\n" % number for number in range(20_000)))
        out = await client.rest()
        assert out.splitlines()[-1] == b"421 4.7.0 Too many errors in one session"

    run(scenario)


def test_a_peer_that_sends_without_end_after_its_last_reply_is_cut_off() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        assert await client.say("GET / HTTP/1.1") == "220 mx.relay.example ESMTP Relay"
        with pytest.raises(ConnectionError):
            await flood(client)
        await until(lambda: stand.context.open_sessions == 0)

    async def flood(client: Client) -> None:
        for _ in range(1000):
            client.writer.write(b"x" * 65536)
            await client.writer.drain()

    run(scenario)


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    """I5: its replies wait in a bounded buffer, and so does its input."""

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        raw: socket.socket = client.writer.get_extra_info("socket")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wrote = 0
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                client.writer.write(b"HELP\r\n" * 2000)
                await asyncio.wait_for(client.writer.drain(), 0.5)
                wrote += 2000
        assert raw.fileno() >= 0
        assert wrote < 2000 * 2000, "the server never stopped reading"
        assert stand.context.buffered < 600_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.line()).startswith("220 ")
        assert (await client.line()).startswith("214 ")
        client.writer.transport.abort()

    run(scenario, stand=Stand(spool=LoopSpool(), max_commands=100_000_000))


def test_a_peer_that_sends_on_during_a_sync_is_paused_and_resumed() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.begin()
        stand.spool.is_stalled = True
        client.writer.write(MESSAGE + b".\r\n")
        await until(lambda: len(stand.spool.waiting) == 1)
        octets = b"NOOP\r\n" * 500_000
        sending = asyncio.create_task(send(client, octets))
        await settled(100)
        assert stand.context.buffered < 600_000
        stand.spool.sync()
        replies = 0
        while replies < 500_001:
            replies += (await asyncio.wait_for(client.reader.read(1 << 20), 10)).count(b"\n")
        await sending
        assert replies == 500_001

    async def send(client: Client, octets: bytes) -> None:
        client.writer.write(octets)
        await client.writer.drain()

    run(scenario, stand=Stand(spool=LoopSpool(), max_commands=100_000_000))


def test_a_reset_is_noticed_while_the_peer_is_not_read_from() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.begin()
        stand.spool.is_stalled = True
        client.writer.write(MESSAGE + b".\r\n" + b"NOOP\r\n" * 50_000)
        await until(lambda: len(stand.spool.waiting) == 1)
        await until(lambda: stand.context.buffered > 4096)
        raw: socket.socket = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await until(lambda: stand.count("relay_smtp_sessions_closed_total", "peer_reset") == 1)
        stand.spool.sync()
        await until(lambda: stand.context.open_sessions == 0)

    run(scenario)


def test_a_peer_that_reads_late_gets_every_reply_before_the_end() -> None:
    """More than the kernel's buffers hold, so that QUIT is obeyed when the peer has read on."""
    count = 100_000

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"HELP\r\n" * count + b"QUIT\r\n")
        await settled(100)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        lines = (await client.rest()).splitlines()
        assert [line[:3] for line in (lines[0], *lines[-2:])] == [b"220", b"214", b"221"]
        assert sum(line[:4] == b"214 " for line in lines) == count

    run(scenario, stand=Stand(spool=LoopSpool(), max_commands=100_000_000))


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "::1"), (socket.AF_INET6, "::", "127.0.0.1")],
    ids=["IPv4", "IPv6", "IPv4 on a socket for both"],
)
def test_the_log_names_address_and_port_of_the_client(family: socket.AddressFamily, host: str, shown: str) -> None:
    listening = socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")
    port = listening.getsockname()[1]

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = Client(*await asyncio.open_connection(shown, port))
        await client.begin()
        own = client.writer.get_extra_info("sockname")[1]
        await client.close()
        await until(lambda: stand.context.open_sessions == 0)
        assert (stand.log.lines[-1]["client"], stand.log.lines[-1]["client_port"]) == (shown, own)

    run(scenario, listening=listening)


class Slow:
    """Lets a recipient in after a while."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.has_begun = False
        self.was_cancelled = False

    def rcpt(self, session: View, recipient: bytes) -> Answer:
        return self.look_up()

    async def look_up(self) -> None:
        self.has_begun = True
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def test_a_policy_that_awaits_pauses_only_its_own_session() -> None:
    policy = Slow()

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        waiting, other = await connect(), await connect()
        for client in (waiting, other):
            await client.line()
            await client.say("HELO client.example")
            await client.say("MAIL FROM:<a@b.example>")
        waiting.writer.write(b"RCPT TO:<anna@local.test>\r\nNOOP\r\n")
        assert await other.say("NOOP") == "250 2.0.0 Ok"
        policy.gate.set()
        assert await waiting.line() == "250 2.1.5 Recipient ok"
        assert await waiting.line() == "250 2.0.0 Ok"

    run(scenario, stand=Stand(policy=policy, spool=LoopSpool()))


def test_an_awaited_answer_is_cancelled_with_its_connection() -> None:
    policy = Slow()

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.line()
        await client.say("HELO client.example")
        await client.say("MAIL FROM:<a@b.example>")
        client.writer.write(b"RCPT TO:<anna@local.test>\r\n")
        await until(lambda: policy.has_begun)
        # A reset: after a mere FIN the peer may still want to read its reply.
        raw: socket.socket = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await until(lambda: policy.was_cancelled)

    run(scenario, stand=Stand(policy=policy, spool=LoopSpool()))


def test_drain_over_sockets_ends_idle_sessions_and_waits_for_the_others() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        idle, busy = await connect(), await connect()
        await idle.line()
        await busy.begin()
        drained = asyncio.Event()
        stand.context.drain(drained.set)
        assert (await idle.rest()).startswith(b"421 4.3.2 ")
        await idle.close()
        assert not drained.is_set()
        busy.writer.write(MESSAGE + b".\r\n")
        assert [line[:9] for line in (await busy.rest()).splitlines()] == [b"250 2.0.0", b"421 4.3.2"]
        await busy.close()
        await asyncio.wait_for(drained.wait(), 10)

    run(scenario)


def test_abort_cuts_connections() -> None:
    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.begin()
        stand.context.abort()
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        await until(lambda: stand.context.open_sessions == 0)

    run(scenario)


def test_a_fault_of_ours_ends_only_its_session_with_421() -> None:
    class Broken(LoopSpool):
        def has_room(self) -> bool:
            raise RuntimeError("a bug")

    async def scenario(stand: Stand, connect: Callable[[], Awaitable[Client]]) -> None:
        broken, other = await connect(), await connect()
        for client in (broken, other):
            await client.line()
            await client.say("HELO client.example")
        assert await broken.say("MAIL FROM:<a@b.example>") == "421 4.3.0 Internal error, try again later"
        assert await broken.rest() == b""
        assert await other.say("NOOP") == "250 2.0.0 Ok"
        assert stand.log.events[0][:2] == ("error", "session failed")

    run(scenario, stand=Stand(spool=Broken()))
