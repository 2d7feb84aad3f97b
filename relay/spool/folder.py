"""The layout below data_dir/spool, its lock, its format version and the numbers that are never used twice.  (Signatures.)"""

from __future__ import annotations

from pathlib import Path


class DataLock:
    """Held for the life of the appliance; inherited by workers, so that it lasts as long as any of them."""

    spool_dir: Path
    run: int
    """Counts the starts of the appliance on this data directory."""

    def close(self) -> None:
        """Gives the lock up."""


def lock_data_dir(data_dir: Path, wait_seconds: float = 0.0) -> DataLock:
    """Makes or checks data_dir/spool and locks it (flock on spool/lock). SpoolError, fit for an operator: a second
    instance, an unknown FORMAT version, a folder that is not a spool. Foreign ``lost+found`` is tolerated."""
    raise NotImplementedError


def is_running(data_dir: Path) -> bool:
    """Whether an appliance holds the lock; changes nothing on disk."""
    raise NotImplementedError


def list_logs(spool_dir: Path) -> list[int]:
    """Numbers of the logs there are, oldest first."""
    raise NotImplementedError


def is_owned(spool_dir: Path, log: int) -> bool:
    """Whether a living process writes (or has adopted) this log."""
    raise NotImplementedError
