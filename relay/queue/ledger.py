"""What of each record and segment is not finished yet. Signatures; the body follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relay.queue.entry import Entry


class Ledger:
    """Given to Scheduler, which keeps it; the worker asks it for reports."""

    def outstanding(self, log: int) -> dict[int, int]:
        """Segment number to records not finished here, of one log: for LogWriter.finished reports. No zeros."""
        raise NotImplementedError

    def changed_logs(self) -> set[int]:
        """Logs whose counts changed since the last call (a report is due); clears the set."""
        raise NotImplementedError

    def snapshot(self, entries: Iterator[Entry], exists: Callable[[int, int], bool]) -> Iterator[tuple[object, ...]]:
        """The journal entries a compacted journal needs; segments that do not exist any more are forgotten."""
        raise NotImplementedError

    def copy_candidates(self, log: int, tail_segment: int, now: int) -> list[int]:
        """Closed segments held by so few records that copying these forward is worth it."""
        raise NotImplementedError
