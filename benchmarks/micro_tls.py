"""What TLS costs a server that listens: handshakes, full and resumed, against OpenSSL by itself; idle sessions.

    python -m benchmarks.micro_tls [--connections 300] [--rounds 5] [--sessions 500]

**Handshakes in memory**: processor time of the server's side alone, ``ssl`` with bare contexts (what OpenSSL and
Python's binding take) against Relay's TlsServer (tickets with shared keys, a certificate per name). **Connections**: a
client process and a server process over loopback, one message per connection under STARTTLS into Relay's real session
(spool and log thrown away), against a bare loop that accepts, shakes hands, answers one line and closes. ``uvloop`` is
the same dialogue on asyncio's own TLS (``loop.start_tls``), for ADR 5. The rounds are interleaved and the medians of
the ratios are taken; the rate has the client's work in it, since both share the machine.
``openssl s_time`` (TLS 1.2, no message) against the same two servers is printed where it is installed.

Not shown here: the disk, the queue, the network.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.micro_session import CONTENT, NullLog, NullSpool
from relay.config.model import CertificateFiles, Config
from relay.net.certificates import Files
from relay.net.tickets import TicketKeys
from relay.net.tls import ServerTls
from relay.smtp import read_clocks
from relay.telemetry import metrics
from tests.smtp.serving import open_server
from tests.smtp.stand import Stand, tell
from tests.support.tls import MemoryClient, client_context, make_pair

MESSAGE = b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<anna@local.test>\r\nDATA\r\n"


# ---- servers --------------------------------------------------------------------------------------------------------


def bare_context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    return context


def relay_tls(files: Files, row: memoryview[int]) -> ServerTls:
    config = Config(hostname="mx.relay.example", data_dir=files.cert.parent, certificates=(CertificateFiles(*files),))
    return ServerTls(config, TicketKeys(time.monotonic()), lambda *_: None, row)


def serve_bare(listening: socket.socket, files: Files) -> None:
    """OpenSSL and nothing else: a handshake, a line each way."""
    context = bare_context(files)
    while True:
        accepted, _ = listening.accept()
        try:
            with context.wrap_socket(accepted, server_side=True) as connection:
                connection.recv(100)
                connection.sendall(b"221 Bye\r\n")
        except OSError:
            accepted.close()


class PromptSpool(NullSpool):
    """Answers in the next turn of the loop."""

    def append(self, *arguments: object) -> None:
        waiter: Any = arguments[2]
        asyncio.get_running_loop().call_soon(tell, [waiter])


def relay_stand(files: Files, *, is_implicit: bool) -> Stand:
    stand = Stand(spool=PromptSpool(), log=NullLog(), tls=lambda row: relay_tls(files, row), is_implicit=is_implicit,
                  max_connections=1_000_000, max_connections_per_client=1_000_000, early_talk="everybody")  # fmt: skip
    stand.context.tick(*read_clocks())
    return stand


def serve_relay(listening: socket.socket, files: Files, *, is_implicit: bool = False) -> None:
    async def serve() -> None:
        stand = relay_stand(files, is_implicit=is_implicit)
        _server = open_server(stand.service, listening)
        await asyncio.Event().wait()

    uvloop.run(serve())


def serve_relay_implicit(listening: socket.socket, files: Files) -> None:
    serve_relay(listening, files, is_implicit=True)


class AsyncioTls(asyncio.Protocol):
    """The replies of the dialogue without an SMTP session behind them, on the loop's own TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.transport: Any = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        is_first, self.transport = self.transport is None, transport
        if is_first:
            transport.write(b"220 a ESMTP\r\n")

    def data_received(self, octets: bytes) -> None:
        if octets.startswith(b"STARTTLS"):
            self.transport.write(b"220 Ready\r\n")
            self.task = asyncio.ensure_future(self.secure())
        elif octets.startswith(b"EHLO") and octets.endswith(b"DATA\r\n"):
            self.transport.write(b"250 a\r\n250 Ok\r\n250 Ok\r\n354 Go\r\n")
        elif octets.endswith(b"QUIT\r\n"):
            self.transport.write(b"250 Ok\r\n221 Bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 Ok\r\n")

    async def secure(self) -> None:
        self.transport = await asyncio.get_running_loop().start_tls(
            self.transport, self, self.context, server_side=True, ssl_handshake_timeout=20, ssl_shutdown_timeout=1
        )


def serve_asyncio(listening: socket.socket, files: Files) -> None:
    async def serve() -> None:
        context = bare_context(files)
        await asyncio.get_running_loop().create_server(lambda: AsyncioTls(context), sock=listening)
        await asyncio.Event().wait()

    uvloop.run(serve())


@contextmanager
def serving(serve: Callable[[socket.socket, Files], None], files: Files) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and pid."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listening, files), daemon=True)
        process.start()
        port = listening.getsockname()[1]
    assert process.pid is not None
    try:
        yield port, process.pid
    finally:
        process.kill()
        process.join()


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


# ---- the client -----------------------------------------------------------------------------------------------------


def read_to(connection: socket.socket, end: bytes) -> None:
    said = b""
    while not said.endswith(b"\r\n") or end not in said:
        octets = connection.recv(65536)
        if not octets:
            raise ConnectionError(said)
        said += octets


Visited = tuple[bool, ssl.SSLSession | None]
"""Whether the session was resumed, and what to resume next."""


def bare_visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Visited:
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session)
    connection.sendall(b"QUIT\r\n")
    read_to(connection, b"221")
    visited = bool(connection.session_reused), connection.session
    connection.close()
    return visited


def message_visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Visited:
    """One message under STARTTLS: greeting, EHLO, STARTTLS, handshake, envelope in one group, content and QUIT."""
    plain = socket.create_connection(("127.0.0.1", port))
    read_to(plain, b"220")
    plain.sendall(b"EHLO a.test\r\n")
    read_to(plain, b"250 ")
    plain.sendall(b"STARTTLS\r\n")
    read_to(plain, b"220")
    connection = context.wrap_socket(plain, session=session)
    connection.sendall(MESSAGE)
    read_to(connection, b"354")
    connection.sendall(CONTENT + b".\r\nQUIT\r\n")
    read_to(connection, b"221")
    visited = bool(connection.session_reused), connection.session
    connection.close()
    return visited


Visit = Callable[[int, ssl.SSLContext, ssl.SSLSession | None], Visited]


def time_visits(visit: Visit, port: int, pid: int, count: int, *, resumed: bool) -> tuple[float, float]:
    """Connections a second, and the server's microseconds of processor time for each."""
    context = client_context()
    _, session = visit(port, context, None)
    server, wall, reused = processor_time(pid), time.perf_counter(), 0
    for _ in range(count):
        was_resumed, session = visit(port, context, session if resumed else None)
        reused += was_resumed
    wall, server = time.perf_counter() - wall, processor_time(pid) - server
    assert reused == (count if resumed else 0), f"{reused} of {count} resumed"
    return count / wall, server / count * 1e6


def connections(files: Files, count: int, rounds: int) -> None:
    ways: dict[str, tuple[Callable[[socket.socket, Files], None], Visit]] = {
        "bare": (serve_bare, bare_visit),
        "relay": (serve_relay, message_visit),
        "uvloop": (serve_asyncio, message_visit),
    }
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, (serve, visit) in ways.items():
            with serving(serve, files) as (port, pid):
                for resumed in (False, True):
                    found.setdefault((name, resumed), []).append(
                        time_visits(visit, port, pid, count, resumed=resumed)
                    )  # fmt: skip
    for (name, resumed), figures in found.items():
        bare = found["bare", resumed]
        rate, server = (statistics.median(each[index] for each in figures) for index in (0, 1))
        of_rate = statistics.median(mine[0] / theirs[0] for mine, theirs in zip(figures, bare, strict=True))
        of_server = statistics.median(theirs[1] / mine[1] for mine, theirs in zip(figures, bare, strict=True))
        kind = "resumed" if resumed else "full"
        spread = f"{min(each[0] for each in figures):.0f} to {max(each[0] for each in figures):.0f}"
        print(f"{name:7} {kind:8} {rate:6.0f}/s ({spread}), {of_rate:4.0%} of the bare rate; server {server:5.0f} us, "
              f"bare/server {of_server:4.0%}")  # fmt: skip


def s_time(files: Files) -> None:
    if not shutil.which("openssl"):
        return
    for name, serve in (("bare", serve_bare), ("relay", serve_relay_implicit)):
        for kind in ("-new", "-reuse"):
            with serving(serve, files) as (port, _):
                done = subprocess.run(
                    ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", kind, "-tls1_2", "-time", "3"],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
            found = re.search(r"([\d.]+) connections in (\d+) real seconds", done.stdout.replace("\n", " "))
            if found:
                print(f"{name:7} openssl s_time {kind:7} {float(found[1]) / int(found[2]):6.0f}/s")


# ---- in memory ------------------------------------------------------------------------------------------------------


def bare_handshake(context: ssl.SSLContext, client: MemoryClient) -> float:
    """Seconds of the server's side, without Relay."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begin = time.process_time()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    spent, is_done = time.process_time() - begin, False
    while not (is_done and client.is_done):
        octets = client.step()
        begin = time.process_time()
        if not is_done:
            incoming.write(octets)
            try:
                server.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                pass
        octets = outgoing.read()
        spent += time.process_time() - begin
        client.incoming.write(octets)
    client.read()
    return spent


def relay_handshake(tls: ServerTls, client: MemoryClient) -> float:
    """The same with Relay's machine."""
    begin = time.process_time()
    server = tls.accept()
    spent = time.process_time() - begin
    while not (server.is_established and client.is_done):
        octets = client.step()
        begin = time.process_time()
        if not server.is_established:
            server.handshake(octets)
        octets = server.take_output()
        spent += time.process_time() - begin
        client.incoming.write(octets)
    client.read()
    return spent


def in_memory(files: Files, count: int, rounds: int) -> None:
    row = memoryview(array("Q", [0]) * metrics.ROW_CELLS)
    context, tls, clients = bare_context(files), relay_tls(files, row), client_context()
    ways: dict[str, Callable[[MemoryClient], float]] = {
        "bare": lambda client: bare_handshake(context, client),
        "relay": lambda client: relay_handshake(tls, client),
    }
    found: dict[tuple[str, bool], list[float]] = {}
    for _ in range(rounds):
        for name, shake in ways.items():
            for resumed in (False, True):
                client = MemoryClient(clients)
                shake(client)
                spent = 0.0
                for _ in range(count):
                    client = MemoryClient(clients, session=client.session if resumed else None)
                    spent += shake(client)
                found.setdefault((name, resumed), []).append(spent / count * 1e6)
    for (name, resumed), figures in found.items():
        share = statistics.median(
            theirs / mine for mine, theirs in zip(figures, found["bare", resumed], strict=True)
        )  # fmt: skip
        print(f"{name:7} {'resumed' if resumed else 'full':8} {statistics.median(figures):5.0f} us of the server in "
              f"memory ({min(figures):.0f} to {max(figures):.0f}), bare/this {share:4.0%}")  # fmt: skip


# ---- idle sessions --------------------------------------------------------------------------------------------------


def idle(files: Files, count: int) -> None:
    """Resident memory of a session that has said EHLO under TLS and waits."""
    for name, serve in (("relay", serve_relay), ("uvloop", serve_asyncio)):
        with serving(serve, files) as (port, pid):
            context = client_context()
            message_visit(port, context, None)
            time.sleep(0.3)
            before = resident_of(pid)
            clients = []
            for _ in range(count):
                plain = socket.create_connection(("127.0.0.1", port))
                read_to(plain, b"220")
                plain.sendall(b"EHLO a.test\r\n")
                read_to(plain, b"250 ")
                plain.sendall(b"STARTTLS\r\n")
                read_to(plain, b"220")
                connection = context.wrap_socket(plain)
                connection.sendall(b"EHLO a.test\r\n")
                read_to(connection, b"250 ")
                clients.append(connection)
            time.sleep(0.3)
            print(f"{name:7} {(resident_of(pid) - before) / count / 1024:5.1f} KiB for each of {count} idle sessions")
            for connection in clients:
                connection.close()


def resident_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=300, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=500, help="how many idle sessions to hold")
    options = parser.parse_args()
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        for kind, rsa_key in (("P-256", False), ("RSA 2048", True)):
            files = make_pair(Path(folder) / kind, "mx.relay.example", rsa_key=rsa_key)
            print(f"-- certificate with a key of {kind}, {ssl.OPENSSL_VERSION}")
            in_memory(files, options.connections, options.rounds)
            connections(files, options.connections, options.rounds)
            s_time(files)
            if not rsa_key:
                idle(files, options.sessions)


if __name__ == "__main__":
    main()
