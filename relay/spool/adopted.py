"""Logs whose process is gone: their segments are removed as they are finished.  (Signatures.)"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class AdoptedLog:
    """A dead log, locked by us: same rules for finished() as LogWriter; its segments are removed, and in the end its folder."""

    number: int
    is_empty: bool
    """True when nothing is left: the folder is gone."""

    def finished(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], *, shards: int, generation: int
    ) -> None:
        """As LogWriter.finished. Blocking (unlink); a few milliseconds at most."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives the log up; what is left of it can be adopted again."""


def adopt(spool_dir: Path, log: int) -> AdoptedLog | None:
    """Takes over a log; None when its owner is alive or it is gone."""
    raise NotImplementedError
