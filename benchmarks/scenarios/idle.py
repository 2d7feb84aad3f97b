"""What an idle session costs: memory of the server's processes with N sessions that have said EHLO, less that before.

Servers for which so many would take too long or too much get fewer. Relay's sessions come from as many addresses as
its default limit of connections per client asks for. Kernel memory of the sockets is not in the figure; it is the
same for everybody.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Final

from benchmarks.comparison import describe
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import SERVERS, Server, Site
from benchmarks.servers.base import DOMAIN, ServerError, free_port

PER_ADDRESS: Final = 80
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "postfix": {"default_process_limit": 600},
}
FEWER: Final = {"postfix": 500, "exim": 500, "opensmtpd": 500, "haraka": 1000}
"""Postfix and Exim have a process per session; Haraka asks DNS about each client, which makes opening slow, and so does
OpenSMTPD's listen queue, which holds five.
"""
COLUMNS: Final = (
    Column("sessions", "sessions"),
    Column("bytes_per_session", "octets each"),
    Column("pss_bytes", "PSS with them, MiB", 1, 1 / 1024 / 1024),
    Column("pss_before_bytes", "PSS before, MiB", 1, 1 / 1024 / 1024),
    Column("processes", "processes"),
    Column("open_seconds", "seconds to open", 2),
)


def run(run: Run, settings: Settings) -> None:
    """Each server alone, in turn."""
    repetitions = settings.repetitions or 3
    servers = [name for name in settings.servers if name != "direct"]
    run.expect(repetitions * len(servers))
    for repetition in range(repetitions):
        for name in servers:
            run.doing(name)
            if why := SERVERS[name].missing():
                run.note(f"{name}: not measured, {why}")
            else:
                once(run, name, settings.size or 10_000, repetition)
            run.step()


def once(run: Run, name: str, wanted: int, repetition: int) -> None:
    """Opens the sessions, lets them rest, weighs."""
    count = min(wanted, FEWER.get(name, wanted))
    changed = dict(SETTINGS.get(name, {}))
    site = Site(run.folder, free_port(), {DOMAIN: free_port()}, settings=changed)
    server: Server = SERVERS[name](site)
    run.servers[name] = describe(server)
    try:
        with server, contextlib.ExitStack() as sessions:
            # The first sessions make the server load what it loads once; that is not what a session costs.
            for peer in opened(server.port, 20, server.opening):
                peer.close()
            server.group.settle()
            before = sum(server.group.pss().values())
            began = time.monotonic()
            for peer in opened(server.port, count, server.opening):
                sessions.enter_context(peer)
            taken = time.monotonic() - began
            server.group.settle()
            sizes = server.group.pss()
            total = sum(sizes.values())
    except (ServerError, OSError) as fault:
        run.note(f"{name}: {fault}")
        return
    values = {
        "sessions": count,
        "bytes_per_session": (total - before) / count,
        "pss_bytes": total,
        "pss_before_bytes": before,
        "processes": len(sizes),
        "open_seconds": taken,
    }
    run.add(Measurement(f"{wanted:,} idle sessions", name, repetition, values))


def opened(port: int, count: int, at_once: int | None) -> list[socket.socket]:
    """So many sessions past EHLO, from many loopback addresses. Raises OSError when one is refused."""
    at_once = at_once or 100
    peers: list[socket.socket] = []
    try:
        for number in range(count):
            place = number // PER_ADDRESS
            address = f"127.0.{1 + place // 250}.{1 + place % 250}"
            peers.append(socket.create_connection(("127.0.0.1", port), 60, source_address=(address, 0)))
            if number % at_once == at_once - 1:
                for peer in peers[-at_once:]:
                    greet(peer)
        for peer in peers[count - count % at_once :]:
            greet(peer)
    except OSError:
        for peer in peers:
            peer.close()
        raise
    return peers


def greet(peer: socket.socket) -> None:
    """Reads the greeting, says EHLO, reads the reply."""
    for sent, code in ((b"", b"220"), (b"EHLO idle.test\r\n", b"250")):
        if sent:
            peer.sendall(sent)
        reply = peer.recv(4096)
        if not reply.startswith(code):
            raise OSError(f"session refused: {reply.decode('ascii', 'replace').strip()}")
