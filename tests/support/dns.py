"""A DNS server on loopback for an appliance under test; it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.net.dns_server import Zone, serving


@contextmanager
def nameserver(zone: Zone) -> Iterator[str]:
    """Serves ``zone``; yields ``address:port``."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    where: list[str] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with serving(zone) as (address, port):
            where.append(f"{address}:{port}")
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the name server did not start")
    try:
        yield where[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
