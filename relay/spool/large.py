"""Large contents: a file of their own, written while they arrive.  (Signatures.)"""

from __future__ import annotations

from collections.abc import Callable

from relay.spool.errors import SpoolError


class LargeContent:
    """One content streaming into ``log-N/large/<name>``; made by LogWriter.open_large. Loop thread only.

    Nothing here blocks: octets are handed to a thread. A write error shows itself in commit().
    """

    size: int
    """Octets handed over so far."""

    def write(self, octets: bytes) -> bool:
        """Hands ``octets`` over; False = please stop reading from the peer until ``on_drained`` is called."""
        raise NotImplementedError

    def commit(self, committed: Callable[[SpoolError | None], None]) -> None:
        """Syncs and publishes the file (rename, directory fsync), then calls ``committed`` on the loop thread.
        Only after that may the record be appended with it. On an error the file is removed."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drops the file; may be called at any time before the record is appended."""
        raise NotImplementedError
