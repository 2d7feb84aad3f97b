"""What one message costs in the compiled session alone, and what an idle session holds: no kernel, no spool.

    python -m benchmarks.micro_session [--seconds 1]

The time is that of MAIL, RCPT, DATA and a content of 1 KiB through Session.receive(): policy look-ups, envelope,
Received field, counters and log line included. Lock-step is four buffers a message, pipelined is two (the commands,
the content), one buffer is everything at once. The memory is measured with real connections over loopback, as
the growth of the resident set of a process that holds the server's side only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import socket
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

import uvloop

from relay.smtp import Session
from tests.smtp.serving import open_server
from tests.smtp.stand import Stand, tell

CONTENT = b"From: a@b.example\r\nTo: anna@local.test\r\nSubject: benchmark\r\n\r\n" + (b"x" * 62 + b"\r\n") * 15
COMMANDS = (b"MAIL FROM:<sender@elsewhere.example>\r\n", b"RCPT TO:<anna@local.test>\r\n", b"DATA\r\n")
WAYS = {
    "lock-step": (*COMMANDS, CONTENT + b".\r\n"),
    "pipelined": (b"".join(COMMANDS), CONTENT + b".\r\n"),
    "one buffer": (b"".join(COMMANDS) + CONTENT + b".\r\n",),
}


class NullSpool:
    """Takes records and answers at once, after append() has returned."""

    number = 1

    def __init__(self) -> None:
        self.waiter: Any = None

    def append(self, envelope: bytes, content: Any, waiter: Any, large: Any = None) -> None:
        self.waiter = waiter

    def has_room(self) -> bool:
        return True


class NullLog:
    """Throws lines away."""

    def append(self, line: bytes) -> None:
        pass


def time_messages(seconds: float) -> None:
    """Prints the microseconds of processor time of one message, for each way of sending it."""
    stand = Stand(spool=NullSpool(), log=NullLog(), max_commands=100_000_000, early_talk="everybody")
    for way, buffers in WAYS.items():
        session = Session(stand.service)
        session.open("192.0.2.1", 1, stand.now)
        session.receive(b"EHLO client.example\r\n", stand.now)
        best = float("inf")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begin = time.process_time_ns()
            for _ in range(1000):
                for buffer in buffers:
                    session.receive(buffer, stand.now)
                tell([stand.spool.waiter])
                session.take_output()
            best = min(best, (time.process_time_ns() - begin) / 1e6)
        print(f"{way:12} {best:6.2f} us a message of {len(CONTENT)} octets")


def resident() -> int:
    """Octets of the resident set of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hold(pipe: Pipe, count: int) -> None:
    """The server's process: accepts ``count`` connections and tells what they cost."""

    async def serve() -> None:
        stand = Stand(max_connections=1_000_000, max_connections_per_client=1_000_000)
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        pipe.send(listening.getsockname()[1])
        _, acceptor = open_server(stand.service, listening)
        gc.collect()
        before = resident()
        while stand.context.open_sessions < count:  # noqa: ASYNC110 - nothing tells of the last one
            await asyncio.sleep(0.05)
        pipe.send("open")
        while not pipe.poll():  # noqa: ASYNC110 - a pipe of multiprocessing knows no event loop
            await asyncio.sleep(0.05)
        pipe.recv()
        gc.collect()
        pipe.send((resident() - before) / count)
        acceptor.close()
        os._exit(0)

    uvloop.run(serve())


def measure_memory(count: int) -> None:
    """Prints the octets of memory of an idle session that has said EHLO."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(theirs, count))
    process.start()
    port = ours.recv()
    peers = []
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port))
        peers.append(peer)
    ours.recv()
    for peer in peers:
        peer.sendall(b"EHLO client.example\r\n")
    for peer in peers:
        peer.recv(4096)
    time.sleep(0.5)
    ours.send("measure")
    print(f"{count} idle sessions after EHLO: {ours.recv():.0f} octets each, socket's object included")
    process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure each way")
    parser.add_argument("--sessions", type=int, default=10_000, help="how many idle sessions to hold")
    options = parser.parse_args()
    time_messages(options.seconds)
    measure_memory(options.sessions)


if __name__ == "__main__":
    main()
