"""Accepting on a Poll: many at once, none left, and a machine that has no descriptors left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from relay.net._acceptor import Acceptor
from relay.net._poll import Poll
from tests.support.waiting import reached, settled


class Stand:
    """A Poll in the running loop and an Acceptor that closes every connection at once."""

    def __init__(self) -> None:
        self.troubles: list[Exception] = []
        self.poll = Poll()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listening.getsockname()
        self.acceptor = Acceptor(self.poll, self.listening, self.troubles.append)
        asyncio.get_running_loop().add_reader(self.poll.fileno, self.poll.turn)

    def close(self) -> None:
        self.acceptor.close()
        asyncio.get_running_loop().remove_reader(self.poll.fileno)
        self.poll.close()


def run(scenario: Callable[[Stand], Awaitable[None]]) -> None:
    async def main() -> None:
        stand = Stand()
        try:
            async with asyncio.timeout(30):
                await scenario(stand)
        finally:
            stand.close()

    uvloop.run(main())


async def until_closed(client: socket.socket) -> None:
    client.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """No file can be opened while this lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_that_wait_are_accepted_however_many_there_are() -> None:
    async def scenario(stand: Stand) -> None:
        clients = [socket.create_connection(stand.address) for _ in range(200)]
        for client in clients:
            await until_closed(client)
            client.close()
        assert not stand.troubles

    run(scenario)


def test_without_descriptors_accepting_stops_until_it_is_resumed() -> None:
    """The listening socket stays readable: watching it on would burn the CPU."""

    async def scenario(stand: Stand) -> None:
        with socket.create_connection(stand.address) as client:
            with no_descriptors_left():
                await reached(lambda: stand.troubles)
                await settled()
                assert [getattr(trouble, "errno", None) for trouble in stand.troubles] == [24]  # EMFILE
                stand.acceptor.resume()
                await reached(lambda: len(stand.troubles) > 1)
                await settled()
                assert len(stand.troubles) == 2
            stand.acceptor.resume()
            await until_closed(client)

    run(scenario)


def test_a_closed_acceptor_accepts_nobody_and_may_be_closed_again() -> None:
    async def scenario(stand: Stand) -> None:
        stand.acceptor.close()
        stand.acceptor.close()
        stand.acceptor.resume()
        assert stand.acceptor.fd == -1
        assert stand.listening.fileno() == -1
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(stand.address)

    run(scenario)


def test_a_poll_that_watches_something_does_not_close() -> None:
    async def scenario(stand: Stand) -> None:
        assert stand.poll.watched == 1
        with pytest.raises(RuntimeError, match="1 descriptors are still watched"):
            stand.poll.close()

    run(scenario)
