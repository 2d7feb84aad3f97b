"""How much room the disk has left (I9: a full disk refuses new mail before it can harm mail already held)."""

from __future__ import annotations

from pathlib import Path

from relay.spool.files import Files


class Room:
    """A cached look at the file system; look() blocks, the rest does not.

    When the disk is low it stays so until there is a twentieth more than the minimum, so that a disk at the limit does
    not answer yes and no in turns.
    """

    def __init__(self, files: Files, folder: Path, min_bytes: int, min_inodes: int) -> None:
        self._files = files
        self._folder = folder
        self._min_bytes = min_bytes
        self._min_inodes = min_inodes
        self.free_bytes = 0
        self.free_inodes = -1
        """-1 where the file system does not count them."""
        self.is_enough = True
        self.look()

    def look(self) -> None:
        """Asks the file system. When it does not answer, things stay as they were."""
        try:
            self.free_bytes, self.free_inodes = self._files.free(self._folder)
        except OSError:
            return
        more = 0 if self.is_enough else 1
        self.is_enough = self._reaches(more)

    def has(self, octets: int) -> bool:
        """Whether ``octets`` can be taken for comfort, and a disk that was low would count as recovered after that.

        Less would be a trap: what is taken between the two limits keeps a low disk low for ever.
        """
        return self.free_bytes - octets >= self._min_bytes + self._min_bytes // 20

    def _reaches(self, more: int) -> bool:
        min_bytes = self._min_bytes + more * self._min_bytes // 20
        min_inodes = self._min_inodes + more * self._min_inodes // 20
        return self.free_bytes >= min_bytes and (self.free_inodes < 0 or self.free_inodes >= min_inodes)
