"""The thin shell around a session: its socket on the worker's poll, and TLS between the two."""

import socket
from collections.abc import Callable

from relay.net._acceptor import Acceptor
from relay.net._poll import Poll
from relay.smtp._context import Service
from relay.smtp._replies import Question
from relay.smtp._session import Session

class Connection(Session):
    """A Session on a socket: one call per buffer, one write per read. Made by an SmtpAcceptor only."""

    async def wait_for_answer(self, question: Question) -> None:
        """Brings the answer of a policy that had to wait back into the session."""

class SmtpAcceptor(Acceptor):
    """A listening socket whose connections become sessions of a service."""

    def __init__(
        self, poll: Poll, listening: socket.socket, on_trouble: Callable[[Exception], object], service: Service
    ) -> None: ...

def read_clocks() -> tuple[int, int]:
    """CLOCK_MONOTONIC and the time since the epoch, both in microseconds: what ServerContext.tick() takes."""
