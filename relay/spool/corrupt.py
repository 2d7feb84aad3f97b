"""What is done with octets that are not as they were written: kept in corrupt/ and reported.

A file in corrupt/ is named log-segment-offset and holds the damaged octets as they are; it is synced before the segment
they come from can be recycled. Several workers may find the same damage: the file is made once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from relay.spool.files import Files, publish

_KEPT: Final = 64 << 20


class Damage(NamedTuple):
    """Something on disk that is not as it was written."""

    log: int
    segment: int
    offset: int
    size: int
    reason: str
    queue_id: str
    """Empty when not even that can be read."""
    is_torn: bool
    """True for the leftovers of a batch that was never acknowledged (nothing was lost)."""
    saved: str
    """File name below corrupt/, or empty."""


def keep(files: Files, spool_dir: Path, damage: Damage, octets: bytes) -> Damage:
    """``damage`` with its octets synced in corrupt/; zeroes are not kept, nor anything when the disk refuses."""
    if not octets.strip(b"\0"):
        return damage
    name = f"{damage.log:010d}-{damage.segment:010d}-{damage.offset:010d}"
    path = spool_dir / "corrupt" / name
    try:
        if files.file_size(path) is None:
            files.make_folder(path.parent)
            publish(files, path, octets[:_KEPT])
    except OSError:
        return damage
    return damage._replace(saved=name)
