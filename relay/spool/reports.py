"""Which segments of a log are finished, from the reports of the delivery workers. Pure.

Theory: each delivery worker (shard) answers for some recipients of each record, chosen by a hash that depends on the
configuration and on the number of shards. So one shard's word counts only together with that of all the others of
the same generation. Reports say how things are, not what has changed: a lost or repeated one does no harm. "Finished"
never becomes untrue, so a set of reports of an older generation, once complete, stays valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class ShardReports:
    """The last report of each shard of the latest generation that has reported."""

    def __init__(self) -> None:
        self._of = (0, 0)
        self._reports: dict[int, tuple[int, Mapping[int, int]]] = {}

    def report(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], shards: int, generation: int
    ) -> None:
        """``shard`` of ``shards`` has read the log up to ``tail`` and has so many entries outstanding per segment."""
        if self._of != (generation, shards):
            if generation < self._of[0]:
                return
            self._of = (generation, shards)
            self._reports.clear()
        self._reports[shard] = (tail[0], dict(outstanding))

    def finished(self, segments: Iterable[int]) -> list[int]:
        """Those of ``segments`` (closed ones) in which nobody has anything left to do."""
        if not self._reports or len(self._reports) < self._of[1]:
            return []
        reports = self._reports.values()
        return [
            segment
            for segment in segments
            if all(read_before > segment and not outstanding.get(segment) for read_before, outstanding in reports)
        ]
