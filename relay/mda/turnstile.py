"""Lets many in at the same time, or one alone. On the loop's thread."""

from __future__ import annotations

import asyncio


class Turnstile:
    """Whoever wants to be alone goes before those who come after."""

    def __init__(self) -> None:
        self._inside = 0
        self._is_alone = False
        self._wait_alone = 0
        self._changed: list[asyncio.Future[None]] = []

    async def enter(self, *, alone: bool) -> None:
        """Waits until that may be; ``leave`` follows."""
        if not alone:
            while self._is_alone or self._wait_alone:
                await self._change()
            self._inside += 1
            return
        self._wait_alone += 1
        try:
            while self._is_alone or self._inside:
                await self._change()
            self._is_alone = True
            self._inside += 1
        finally:
            self._wait_alone -= 1
            self._tell()

    def leave(self) -> None:
        """Once for each that entered."""
        self._inside -= 1
        if not self._inside:
            self._is_alone = False
            self._tell()

    async def _change(self) -> None:
        change = asyncio.get_running_loop().create_future()
        self._changed.append(change)
        await change

    def _tell(self) -> None:
        waiting, self._changed = self._changed, []
        for change in waiting:
            if not change.done():
                change.set_result(None)
