"""Small spools on the real disk for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from relay.mail.envelope import Envelope
from relay.spool._record import record_size
from relay.spool.errors import SpoolError
from relay.spool.files import OS, Files
from relay.spool.folder import lock_data_dir
from relay.spool.log import Commit, Item, Log


class Settings(NamedTuple):
    """Stands for config.spool."""

    segment_size: int = 64 << 10
    spare_segments: int = 1
    min_free_bytes: int = 0
    min_free_inodes: int = 0


class Waiter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[SpoolError | None] = []

    def spooled(self, error: SpoolError | None) -> None:
        self.told.append(error)


def envelope(name: str) -> bytes:
    return Envelope(name, 1_700_000_000_000_000, b"a@b.test", (b"c@d.test",), 0, 0).pack()


def item(name: str, content: bytes) -> Item:
    packed = envelope(name)
    return packed, [content], b"", record_size(packed, b"", [content]), None


def make_spool(data_dir: Path) -> Path:
    lock = lock_data_dir(data_dir)
    lock.close()
    return lock.spool_dir


def make_log(
    spool_dir: Path,
    batches: Sequence[dict[str, bytes]],
    files: Files = OS,
    segment_size: int = Settings().segment_size,
) -> tuple[Log, list[Commit]]:
    """A log with these batches, still open."""
    log = Log(spool_dir, segment_size, 1, files)
    commits: list[Commit] = []
    for batch in batches:
        items = [item(name, content) for name, content in batch.items()]
        while items:
            commits.append(log.commit(items))
            items = items[commits[-1].taken :]
    return log, commits
