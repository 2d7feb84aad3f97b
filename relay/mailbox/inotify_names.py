"""What inotify named of a mailbox's files: names in ``cur`` that came or went, whoever moved them.

Theory: in a large folder the modification time after a change of our own is trusted, and a foreign change in the same
moment has no time of its own. But inotify names every file. A name that is as the log says was ours, or does not
matter; one that is not shows the foreign change, and a look follows at once. It costs a ``stat`` for each name.

Not here: the watches (relay/mailbox/watch.py), the look (relay/mailbox/rescan.py).
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Final

from relay.mailbox.columns import Picture
from relay.mailbox.rescan import expected

MOST: Final = 256
"""Names that are kept; with more, a look costs less (100,000 messages: up to 1 ms a name, 0.29 s a look)."""


class ChangedNames:
    """Of one mailbox. Filled on the loop's thread, asked by those that hold the mailbox."""

    def __init__(self) -> None:
        self._names: deque[str] = deque()
        self._is_more = False

    def __bool__(self) -> bool:
        return self._is_more or bool(self._names)

    def name(self, name: str) -> None:
        """The file ``name`` came to ``cur``, or went."""
        if len(self._names) < MOST:
            self._names.append(name)
        else:
            self._is_more = True

    def lost(self) -> None:
        """Events were lost."""
        self._is_more = True

    def clear(self) -> None:
        """Another look has seen, or will see, all that happened before."""
        self._is_more = False
        self._names.clear()

    def show_foreign_change(self, folder: Path, picture: Picture, odd: dict[int, str]) -> bool:
        """Whether something of it is not as ``picture`` (and ``odd``: see relay/mailbox/rescan.py) says; forgets it."""
        is_more, names = self._is_more, set()
        self._is_more = False
        while self._names:
            names.add(self._names.popleft())
        if is_more:
            return True
        return any(_is_foreign(folder, picture, odd, name) for name in names if not name.startswith("."))


def _is_foreign(folder: Path, picture: Picture, odd: dict[int, str], name: str) -> bool:
    base = name.partition(":")[0]
    row = picture.row_named(base)
    if row < 0:
        return os.path.lexists(folder / "cur" / name)
    path = odd.get(picture.uids[row]) or expected(base, picture.flags[row])
    return not os.path.lexists(folder / path)
