"""What one mailbox worker does for all accounts now and then, one account after the other, in one thread."""

from __future__ import annotations

import asyncio
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
        for domain in sorted(self._mail_dir.iterdir()) if self._mail_dir.is_dir() else []:
            for folder in sorted(domain.iterdir()) if domain.is_dir() else []:
                if self.is_stopped:
                    return
                if (folder / "cur").is_dir():
                    yield folder
