"""The thin asyncio transport under a session: a compiled Protocol for uvloop."""

import asyncio
from collections.abc import Awaitable, Callable

from relay.policy.verdict import Verdict
from relay.smtp._context import Service
from relay.smtp._session import Session

class Connection(Session):
    """A Session on a transport: one call per buffer, one write per read."""

    def __init__(self, service: Service) -> None: ...
    def connection_made(self, transport: asyncio.Transport) -> None: ...
    def data_received(self, octets: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def close(self) -> None:
        """Closes our side once what was said is written; all of it when the peer need not be waited for."""

    def discard(self, size: int) -> None:
        """Counts what comes after the last reply; cuts the connection when it is too much."""

    async def wait_for_answer(self, question: Awaitable[Verdict | None]) -> None:
        """Brings the answer of a policy that had to wait back into the session."""

def make_protocol_factory(service: Service) -> Callable[[], asyncio.Protocol]:
    """What ``loop.create_server(factory, sock=...)`` takes for the listener that ``service`` stands for."""

def read_clocks() -> tuple[int, int]:
    """CLOCK_MONOTONIC and the time since the epoch, both in microseconds: what ServerContext.tick() takes."""
