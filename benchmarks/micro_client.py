"""What the client session costs per message of 1 KiB: python -m benchmarks.micro_client

1. The machine alone, in memory, pipelined: one read with five replies in, one write out. A trivial owner included.
2. A whole session on its socket against a sink on uvloop that only answers (same loop: its cost is included).

CPU time of this process, best of five.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import uvloop

from relay.delivery._client import ClientSession
from relay.delivery._delivery import Delivery
from relay.delivery._machine import ClientMachine
from relay.delivery.connect import begin_connecting
from relay.delivery.owner import Limits
from relay.net._poll import Poll
from relay.net.wheel import TimingWheel

CONTENT = b"Subject: benchmark\r\n\r\n" + b"x" * 76 + b"\r\n" + b"y" * 922 + b"\r\n"
HELLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
ENVELOPE_REPLIES = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
QUEUED = b"250 2.0.0 Ok: queued as 06F1Z9S8Y0000\r\n"
RESET = b"250 2.0.0 Ok\r\n"
REPLIES = QUEUED + RESET + ENVELOPE_REPLIES
LIMITS = Limits(max_messages=10**9)
LONGEST = 120.0
"""Seconds after which a session that does not go on is given up."""


class Source:
    """An owner with ``count`` messages to give."""

    def __init__(self, count: int, on_done: Callable[[], object] = lambda: None) -> None:
        self.left = count
        self.on_done = on_done

    def take(self, _client: Any) -> Delivery | None:
        if not self.left:
            return None
        self.left -= 1
        return Delivery(b"sender@bench.test", (b"recipient@relay.test",), 0, len(CONTENT), CONTENT)

    def finished(self, client: Any, _delivery: Delivery, _outcomes: Any) -> None:
        if not self.left and client.is_idle:
            self.on_done()

    def closed(self, _client: Any, _unsent: list[Delivery], _why: Any) -> None: ...


def machine(count: int) -> float:
    """Seconds of CPU for ``count`` messages."""
    client, source = begun()
    source.left = count
    begin = time.process_time()
    for _ in range(count):
        client.receive(REPLIES)
    spent = time.process_time() - begin
    check(source)
    return spent


def begun() -> tuple[ClientMachine, Source]:
    """A machine that waits for the replies to one content and the next envelope, and its owner, which has no more."""
    source = Source(2)
    client = ClientMachine(b"bench.test", LIMITS, source, "sink")
    for octets in (b"220 sink\r\n", HELLO, ENVELOPE_REPLIES):
        client.receive(octets)
    return client, source


def check(source: Source) -> None:
    """RuntimeError when messages are left: the machine has stopped, and a figure would be one of doing nothing."""
    if source.left:
        raise RuntimeError(f"{source.left} messages were not sent")


class Sink(asyncio.Protocol):
    """Answers a pipelining client, one read per message."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, octets: bytes) -> None:
        if octets.startswith(b"EHLO"):
            self.transport.write(HELLO)
        elif octets.startswith(b"MAIL"):
            self.transport.write(ENVELOPE_REPLIES)
        else:
            self.transport.write(REPLIES if octets.endswith(b"DATA\r\n") else QUEUED)


def session(count: int) -> float:
    """Seconds of CPU of this process, client and sink, for ``count`` messages over TCP. TimeoutError when it stops."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Sink, "127.0.0.1", 0)
        done = asyncio.Event()
        source = Source(count, done.set)
        wheel: TimingWheel = TimingWheel(1.0, 1024, loop.time())
        poll = Poll()
        loop.add_reader(poll.fileno, poll.turn)
        client = ClientSession(b"bench.test", LIMITS, source, wheel, loop, "sink")
        begin = time.process_time()
        client.connect(poll, begin_connecting(socket.AF_INET, server.sockets[0].getsockname()[:2]))
        try:
            async with asyncio.timeout(LONGEST):
                await done.wait()
            return time.process_time() - begin
        finally:
            client.abort()
            loop.remove_reader(poll.fileno)
            poll.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def main() -> None:
    def best(run: Callable[[], float], count: int) -> float:
        return min(run() for _ in range(5)) / count * 1e6

    print(f"machine, in memory        {best(lambda: machine(50_000), 50_000):6.2f} us per message")
    print(f"session and sink over TCP {best(lambda: session(20_000), 20_000):6.2f} us per message")


if __name__ == "__main__":
    main()
