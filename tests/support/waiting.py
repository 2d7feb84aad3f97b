"""Waiting in tests: for something to become so, never for a time to pass.

A test that shows that something does *not* happen waits for what would come after it, or lets the loop turn until it
has nothing to do (``settled``).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE: Final = 30.0
"""Seconds: many times what anything takes on a busy machine."""


def wait_until(
    condition: Callable[[], Any], what: str | Callable[[], str] = "", *, timeout: float = PATIENCE, every: float = 0.005
) -> Any:
    """Asks ``condition()`` until it is true, and returns what it gave; AssertionError with ``what`` after ``timeout``
    seconds. ``every``: seconds between two questions, longer where asking is work."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(every)
    return result


async def reached(
    condition: Callable[[], Any], what: str | Callable[[], str] = "", *, timeout: float = PATIENCE, every: float = 0.001
) -> Any:
    """The same, while the loop turns."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what() if callable(what) else what}")
        await asyncio.sleep(every)
    return result


async def settled(turns: int = 20) -> None:
    """Lets the loop turn: what was sent over loopback before has been read, and what was to be called has been."""
    for _ in range(turns):
        await asyncio.sleep(0.001)


def accepts(port: int) -> bool:
    """Whether somebody listens on loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def pause(seconds: float) -> None:
    """Lets time pass where time itself is what is tested: a process that stands still, a moment chosen at random."""
    time.sleep(seconds)


def hang() -> None:
    """Does not come back: for a process or a thread that hangs."""
    time.sleep(3600)


async def slow() -> None:
    """Half a second, for a part of an appliance that takes its time."""
    await asyncio.sleep(0.5)
