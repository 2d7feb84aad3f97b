"""The outcomes journal.  (Signatures.)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Entry = tuple[Any, ...]


class Journal:
    """The journal of one delivery worker (shard) for one life of its process; blocking writes into the page cache.

    Opened after load_journals: everything that existed then counts as absorbed by the first compact().
    """

    size: int
    """Octets written since the last compact()."""

    def __init__(self, spool_dir: Path, *, shard: int, shards: int, generation: int) -> None:
        raise NotImplementedError

    def append(self, entries: Sequence[Entry]) -> None:
        """*Written*, not synced, with one write: survives the death of the process, not of the machine.
        SpoolError (and nothing of it stays) when the disk refuses."""
        raise NotImplementedError

    async def sync(self) -> None:
        """*Synced* when it returns: everything appended before the call. Callers share syncs. SpoolError on failure:
        then nothing since the last good sync counts as durable and only compact() can repair it."""
        raise NotImplementedError

    async def compact(self, entries: Iterable[Entry]) -> None:
        """Replaces everything this journal said by ``entries`` (this shard's share of the whole state, as of the call;
        consumed in a thread, so hand over a list or an iterator over frozen data). What is appended meanwhile is kept.
        Published when it returns. Then removes all journals that are absorbed: our own older ones, and those of earlier
        lives once every shard of this generation has compacted. No coordination between workers is needed."""
        raise NotImplementedError

    @property
    def wants_compaction(self) -> bool:
        """Whether the file has outgrown the state it describes."""
        raise NotImplementedError

    async def close(self) -> None:
        """Synced and closed."""


def load_journals(spool_dir: Path) -> Iterator[Entry]:
    """The entries of all journals in the order of their making; torn and damaged parts are skipped."""
    raise NotImplementedError
