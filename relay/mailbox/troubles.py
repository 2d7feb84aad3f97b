"""Which files of mailboxes cannot be used, for the log: somebody has to be told, and not a thousand times.

Theory: one bad file is met by every command that looks at its mailbox. It is told once an hour by each process. What is
remembered is bounded: a disk that fails as a whole is told file by file up to MOST, then a while nothing.

Clients are never told a path (relay/imap, relay/pop3 say what they could not do).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

HOUR: Final = 3600.0
MOST: Final = 10_000


class Event(Protocol):
    """LogSink.event (relay/telemetry/sink.py)."""

    def __call__(self, level: str, event: str, /, **fields: object) -> None: ...


class Troubles:
    """For all stores of a process; for several threads."""

    def __init__(self, event: Event | None = None, now: Callable[[], float] = time.monotonic) -> None:
        """Without ``event`` nobody is told. ``now`` in seconds."""
        self._event = event
        self._now = now
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def report(self, path: Path | str, cause: OSError | str) -> None:
        """``path`` cannot be used because of ``cause``."""
        if self._event is not None and self._is_news(_without_flags(str(path))):
            text = cause if isinstance(cause, str) else cause.strerror or str(cause)
            self._event("warning", "mailbox file not usable", file=str(path), cause=text)

    def _is_news(self, path: str) -> bool:
        now = self._now()
        with self._lock:
            if now - self._told.get(path, -HOUR) < HOUR:
                return False
            if len(self._told) >= MOST:
                self._told = {each: at for each, at in self._told.items() if now - at < HOUR}
            if len(self._told) >= MOST:
                return False
            self._told[path] = now
        return True


def _without_flags(path: str) -> str:
    """What stays of a message's path when its flags change and it is no longer new."""
    folder, _, name = path.rpartition("/")
    folder = folder.removesuffix("/new").removesuffix("/cur")
    return f"{folder}/{name.partition(':2,')[0]}"


SILENT: Final = Troubles()
