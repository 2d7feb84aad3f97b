"""What a log writer's disk comes to in gauges and events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from relay.config.queue import SpoolSettings
from relay.spool.meter import SpoolMeter
from relay.telemetry import metrics
from relay.telemetry.page import CountersPage


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []

    def event(self, level: str, name: str, **fields: Any) -> None:
        self.seen.append((level, name, fields))


def writer(free: int, *, has_room: bool) -> Any:
    pool = SimpleNamespace(spare=0, created=0, recycled=0)
    return SimpleNamespace(
        free_bytes=free, free_inodes=7, is_accepting=True, has_room=lambda: has_room, snapshot=list, pool=pool
    )


def test_a_low_disk_is_an_event_that_names_what_is_free_and_the_limit() -> None:
    """``disk_low`` in a transaction was all that the log said, without a figure."""
    row = CountersPage().supervisor
    events = Events()
    meter = SpoolMeter(row, SpoolSettings(min_free_bytes=1000, min_free_inodes=10), events)  # type: ignore[arg-type]
    for free, has_room in ((5000, True), (900, False), (901, False), (5000, True), (5000, True)):
        meter.look(writer(free, has_room=has_room))
    assert [(level, name) for level, name, _ in events.seen] == [
        ("warning", "disk low"),
        ("info", "disk has room again"),
    ]
    assert events.seen[0][2] == {
        "free_bytes": 900,
        "min_free_bytes": 1000,
        "free_inodes": 7,
        "min_free_inodes": 10,
        "settings": "spool.min_free_bytes, spool.min_free_inodes",
    }
    assert row[metrics.index("relay_spool_refusing_workers", "disk_low")] == 0
