"""Where to listen and to connect: ``host:port``, ``[v6]:port`` or ``unix:/path``; loopback, unless said otherwise."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from pathlib import Path

BACKLOG = 4096


def resolve(text: str, *, allow_remote: bool) -> tuple[int, object]:
    """(family, address) as the socket module takes them. ValueError when it is not allowed or not an address."""
    if text.startswith("unix:"):
        return socket.AF_UNIX, text.removeprefix("unix:")
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{text!r}: write host:port, [v6]:port or unix:/path")
    try:
        found = socket.getaddrinfo(match[1] or match[2], int(match[3]), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"{text!r}: {error.strerror}") from error
    # IPv4 first, so that "localhost" means the same on every machine.
    family, _, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    if not allow_remote and not ipaddress.ip_address(address[0]).is_loopback:
        raise ValueError(f"{text!r} is not on loopback; --allow-remote allows it")
    return family, address


def pack(family: int, address: object) -> tuple[int, bytes]:
    """The address as ``struct sockaddr``, for the compiled streams."""
    if family == socket.AF_UNIX:
        return family, struct.pack("=H", family) + str(address).encode() + b"\0"
    assert isinstance(address, tuple)
    host, port = address[:2]
    if family == socket.AF_INET:
        return family, struct.pack("=H", family) + struct.pack("!H4s8x", port, socket.inet_pton(family, host))
    packed = socket.inet_pton(family, host)
    return family, struct.pack("=H", family) + struct.pack("!HI16s", port, address[2], packed) + struct.pack(
        "=I", address[3]
    )


def listen(text: str, *, allow_remote: bool) -> socket.socket:
    """A listening socket. What an earlier run left at a Unix path is removed."""
    family, address = resolve(text, allow_remote=allow_remote)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_UNIX:
            Path(str(address)).unlink(missing_ok=True)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)  # type: ignore[arg-type] # the shape is the family's
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ValueError(f"{text}: {error.strerror}") from error
    return sock


def name(sock: socket.socket) -> str:
    """The address of a listening socket, as resolve() takes it."""
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{address}"
    return f"[{address[0]}]:{address[1]}" if sock.family == socket.AF_INET6 else f"{address[0]}:{address[1]}"
