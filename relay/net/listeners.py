"""Listening TCP sockets that several processes can hold on one address (SO_REUSEPORT).

Theory: the kernel spreads new connections over all sockets of one address and port that were opened with SO_REUSEPORT
by the same user. Connections that wait in a socket's backlog die with the last descriptor of that socket; so the
supervisor keeps one per worker slot open (docs/operations/processes.md), and a worker that ends takes nobody with it.

SO_REUSEPORT also lets a second appliance of the same user join the address and take half of the connections without a
word. ``probe`` asks first, with a plain bind, whether somebody else is there.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple

BACKLOG: Final = 4096
"""Connections that may wait for accept; the kernel caps it at net.core.somaxconn."""


class Endpoint(NamedTuple):
    """Where a listener listens; its identity over reloads."""

    name: str
    """The listener's name in the configuration; a worker finds its sockets by it."""
    address: str
    """An IP address in text form, or ``localhost``."""
    port: int
    """0 = any free port, the same for all sockets of the endpoint."""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.name} on {host}:{self.port}"


def probe(endpoint: Endpoint) -> None:
    """OSError when the address is not ours, not allowed, or taken by another program; leaves nothing open."""
    with _socket(endpoint) as probing:
        _bind(probing, endpoint, endpoint.port)


def open_listener(endpoint: Endpoint, port: int | None = None) -> socket.socket:
    """A new listening, non-blocking, close-on-exec socket; OSError, with the endpoint in its text, when it cannot be
    had.

    ``port`` is the one that the endpoint's first socket was given, where the configuration says 0.
    """
    listening = _socket(endpoint)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(listening, endpoint, endpoint.port if port is None else port)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _socket(endpoint: Endpoint) -> socket.socket:
    try:
        version = ipaddress.ip_address(_host(endpoint)).version
    except ValueError as fault:
        raise OSError(f"{endpoint}: not an IP address") from fault
    made = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    # Connections of the last run that linger in TIME_WAIT must not keep us from starting.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if version == 6:
        # ``::`` means IPv6 alone, so that ``0.0.0.0`` beside it is not in its way, whatever net.ipv6.bindv6only says.
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def _bind(unbound: socket.socket, endpoint: Endpoint, port: int) -> None:
    try:
        unbound.bind((_host(endpoint), port))
    except OSError as fault:
        raise OSError(fault.errno, f"{endpoint}: {fault.strerror}") from fault


def _host(endpoint: Endpoint) -> str:
    return "127.0.0.1" if endpoint.address == "localhost" else endpoint.address
