"""What is done for all accounts now and then, one account after the other, in one thread of one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path


class Round(ABC):
    """Goes through all accounts; a turn that comes while it does is left out."""

    def __init__(self, mail_dir: Path) -> None:
        self._mail_dir = mail_dir
        self._stop = threading.Event()
        self._running: asyncio.Future[None] | None = None

    def turn(self) -> None:
        """Begins, unless it is at it. On the loop's thread."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(None, self.run)

    def stop(self) -> None:
        """Ends it after the account that it is at."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    @abstractmethod
    def run(self) -> None:
        """All accounts once. Blocking."""

    def accounts(self) -> Iterator[Path]:
        """The folders of all accounts that have a mailbox, until it is stopped."""
        for domain in _below(self._mail_dir):
            for folder in _below(domain):
                if self.is_stopped:
                    return
                if os.path.isdir(folder / "cur"):
                    yield folder


def _below(folder: Path) -> list[Path]:
    """What is in a folder; nothing when it is not there, or not ours to look at."""
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []
