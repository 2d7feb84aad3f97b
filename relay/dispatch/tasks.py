"""Coroutines of one delivery worker that run beside its loop's callbacks: none is lost, none fails unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Those that have been started and have not ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs ``work``; what it raises goes to the loop's exception handler."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self, seconds: float) -> None:
        """Returns when all that run now have ended, after ``seconds`` at most."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    def cancel(self) -> None:
        """Cancels all that run."""
        for task in list(self._running):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            report_failure("task failed", fault)


def report_failure(message: str, fault: BaseException) -> None:
    """Reports what nobody expected to the loop's exception handler, which logs it; no part of it is for
    senders (I8)."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": fault})
