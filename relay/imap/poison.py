"""Messages whose content raised a fault of ours: their answers are poor ones (fetch.py, search_keys.py, ordering.py,
threads.py), and who runs the server is told once of each.

Nothing of the content is told: the kind of the fault, and the line of our code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import extract_tb
from typing import Final

MAX_KNOWN: Final = 10_000
"""Messages of which it is known that they were told of; above it all is forgotten, and told again."""


Tell = Callable[[Mapping[str, object]], None]
"""Writes an event with these fields."""


class Poison:
    """One process's. Is called in threads."""

    def __init__(self, tell: Tell) -> None:
        self._tell: Final = tell
        self._known: set[tuple[str, str, int]] = set()

    def __call__(self, account: str, mailbox: str, uid: int, fault: Exception) -> None:
        """Tells of the message, unless that was done."""
        message = account, mailbox, uid
        if message in self._known:
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(message)
        frames = extract_tb(fault.__traceback__, limit=-1)
        where = f"{Path(frames[0].filename).name}:{frames[0].lineno}" if frames else ""
        self._tell({"account": account, "mailbox": mailbox, "uid": uid, "fault": type(fault).__name__, "at": where})
