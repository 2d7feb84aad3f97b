"""Servers on loopback for the client session: the scripted peer behind a socket, and a proxy that stalls and cuts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from relay.net._poll import Poll
from relay.net.wheel import TimingWheel
from tests.delivery.peer import Peer
from tests.support.waiting import settled


@contextlib.asynccontextmanager
async def serving(new_peer: Callable[[], Peer], path: str = "") -> AsyncIterator[int]:
    """Serves a fresh peer for each connection; yields the port (0 for a Unix socket at ``path``)."""
    tasks: set[asyncio.Task] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = new_peer()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(peer.greet())
            while not peer.is_cut and (octets := await reader.read(65536)):
                writer.write(peer.receive(octets))
                if peer.commands and peer.commands[-1] == b"QUIT":
                    break
            await writer.drain()
        writer.close()

    if path:
        server = await asyncio.start_unix_server(talk, path)
        port = 0
    else:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def cutting(port: int, after: int, *, stalls: bool = False) -> AsyncIterator[int]:
    """A proxy to ``port`` that lets ``after`` octets of the client through, then cuts, or passes nothing any more."""
    tasks: set[asyncio.Task] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> bool:
        while left > 0 and (octets := await reader.read(min(left, 65536))):
            left -= len(octets)
            writer.write(octets)
            await writer.drain()
        return left <= 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.ensure_future(pump(there_reader, writer, 1 << 60))
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            if await pump(reader, there_writer, after) and stalls:
                back.cancel()
                await asyncio.Event().wait()
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        there_writer.close()
        writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class Ground(NamedTuple):
    """What sessions need of a worker."""

    wheel: TimingWheel
    poll: Poll


@contextlib.asynccontextmanager
async def turning() -> AsyncIterator[Ground]:
    """A timing wheel of 10 ms that is turned by the loop, and a poll. All sessions must be closed at the end."""
    loop = asyncio.get_running_loop()
    ground = Ground(TimingWheel(0.01, 64, loop.time()), Poll())
    loop.add_reader(ground.poll.fileno, ground.poll.turn)

    async def turn() -> None:
        while True:
            await settled(10)
            for session in ground.wheel.expire(loop.time()):
                session.expire(loop.time())

    task = asyncio.ensure_future(turn())
    try:
        yield ground
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        loop.remove_reader(ground.poll.fileno)
        ground.poll.close()
