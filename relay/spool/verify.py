"""Looking at a spool from outside: `relay spool verify` and `relay spool dump`.  (Signatures.)"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from relay.spool.reader import Record


class Finding(NamedTuple):
    """One line of the report."""

    level: str
    """``ok``, ``note`` or ``damage``."""
    where: str
    text: str


def verify(spool_dir: Path) -> Iterator[Finding]:
    """Checks every octet, read-only: segments, records, large files, journals. Meant for a stopped appliance."""
    raise NotImplementedError


def dump(spool_dir: Path, log: int | None = None) -> Iterator[Record]:
    """Every record on disk, finished or not, oldest log first; read-only."""
    raise NotImplementedError
