"""A listening socket for sessions on the running loop, as a worker has it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from relay.net._poll import Poll
from relay.smtp import Service, SmtpAcceptor


def raise_it(fault: Exception) -> None:
    """For where no trouble is expected."""
    raise fault


def open_server(service: Service, listening: socket.socket) -> tuple[Poll, SmtpAcceptor]:
    """Accepts on ``listening`` until the process ends, or both are closed."""
    poll = Poll()
    asyncio.get_running_loop().add_reader(poll.fileno, poll.turn)
    return poll, SmtpAcceptor(poll, listening, raise_it, service)


@contextlib.contextmanager
def serving(service: Service, listening: socket.socket | None = None) -> Iterator[tuple[str, int]]:
    """Accepts on ``listening``, or a free port of loopback; its address. All connections must be closed at the end."""
    listening = listening or socket.create_server(("127.0.0.1", 0))
    address: tuple[str, int] = listening.getsockname()[:2]
    poll, acceptor = open_server(service, listening)
    try:
        yield address
    finally:
        acceptor.close()
        asyncio.get_running_loop().remove_reader(poll.fileno)
        poll.close()
