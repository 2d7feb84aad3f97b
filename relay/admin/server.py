"""The connections of the admin port: bounded in number and in time, whatever is at their other end.

Theory: aiohttp bounds the parts of a request; this bounds the whole. At most ``MAX_CONNECTIONS`` at once, the next is
closed at once; and none lives longer than ``MAX_SECONDS``, so that a peer that sends a request one octet a minute, or
does not read its answer, holds nothing for long. One timer a second looks after all of them.

Not here: who accepts. ``factory`` makes a protocol for each accepted connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from relay.telemetry import metrics

MAX_CONNECTIONS: Final = 64
MAX_SECONDS: Final = 15.0
_SWEEP_SECONDS: Final = 1.0


class AdminServer:
    """The application, ready to be given connections. Use it on one loop: start, factory, close."""

    def __init__(
        self,
        app: web.Application,
        *,
        row: memoryview[int] | None = None,
        max_connections: int = MAX_CONNECTIONS,
        max_seconds: float = MAX_SECONDS,
        sweep_seconds: float = _SWEEP_SECONDS,
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=2 * max_seconds,  # ours comes first
            lingering_time=1.0,
            max_line_size=4096,
            max_field_size=4096,
            max_headers=64,
            tcp_keepalive=False,
        )
        self._row = row
        self._max_connections = max_connections
        self._max_seconds = max_seconds
        self._sweep_seconds = sweep_seconds
        self._since: dict[RequestHandler, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Sets the application up; after this ``factory`` may be called."""
        await self._runner.setup()
        self._arm()

    def factory(self) -> asyncio.BaseProtocol:
        """The protocol of a new connection: for ``loop.create_server``."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("the admin server was not started")
        if len(server.connections) >= self._max_connections:
            self._count("limit")
            return _Refusal()
        return server()

    async def drain(self, within: float = 2.0) -> None:
        """Waits until the connections that are open have had their answer, ``within`` seconds at most. The listener
        must be closed before: a client whose connection was accepted a moment ago has not sent its request yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while (server := self._runner.server) is not None and server.connections:
            if loop.time() >= deadline:
                return
            await asyncio.sleep(0.01)

    async def close(self, within: float = 2.0) -> None:
        """Ends all connections, those with a request in work after ``within`` seconds at most."""
        if self._timer is not None:
            self._timer.cancel()
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()
            await server.shutdown(within)
        await self._runner.cleanup()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)

    def _sweep(self) -> None:
        server = self._runner.server
        if server is None:
            return
        now = asyncio.get_running_loop().time()
        self._since = {each: self._since.get(each, now) for each in server.connections}
        for each, since in self._since.items():
            transport = each.transport
            if now - since >= self._max_seconds and transport is not None:
                self._count("timeout")
                transport.abort()
        self._arm()

    def _count(self, reason: str) -> None:
        if self._row is not None:
            self._row[metrics.index("relay_admin_connections_refused_total", reason)] += 1


class _Refusal(asyncio.Protocol):
    """Closes at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
