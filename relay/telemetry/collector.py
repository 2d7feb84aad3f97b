"""The shared page as prometheus_client sees it: all rows summed at the moment of the scrape.

Theory: processes count in cells; only here, and only when somebody asks, do the cells become samples. Rows of dead
processes are part of the sums (page.py), so counters never go back while the appliance runs. What the page's process
cells say (who runs, in which state) is exposed too, and memory and CPU time of each process from /proc.

A row is read cell by cell while its process counts on: samples of one scrape may be some microseconds apart. A
histogram's count is the sum of its buckets, so it always agrees with them.
"""

from __future__ import annotations

import os
import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from relay import __version__
from relay.telemetry.declaration import COUNTER, HISTOGRAM, MAX, Metric
from relay.telemetry.metrics import TABLE, first_cell
from relay.telemetry.page import ROLES, STATES, CountersPage, Process

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

COMPUTED: Final = (
    ("relay_build_info", "1, with the version as label.", ("version",)),
    ("relay_worker_processes", "Processes by role and state.", ("role", "state")),
    ("relay_worker_resident_bytes", "Resident memory of the processes of a role.", ("role",)),
    ("relay_worker_resident_max_bytes", "Resident memory of the largest process of a role.", ("role",)),
    ("relay_worker_open_files", "Open file descriptors of the processes of a role.", ("role",)),
    ("relay_worker_beat_age_seconds", "Time since the last beat of the process that has not beaten for longest.",
     ("role",)),
)  # fmt: skip
"""Gauges that have no cell: they are worked out at scrape (name, help, labels)."""


class PageCollector(Collector):
    """All metrics of one appliance."""

    def __init__(self, page: CountersPage) -> None:
        self._page = page

    def collect(self) -> Iterator[Family]:
        """One family for each declared metric, then the computed ones."""
        rows = [row for _, row in self._page.used_rows()]
        for metric in TABLE:
            yield _family(metric, rows)
        yield from _computed(self._page.processes())


def registry(page: CountersPage) -> CollectorRegistry:
    """A registry with nothing in it but the page."""
    registry = CollectorRegistry(auto_describe=True)
    registry.register(PageCollector(page))
    return registry


def _family(metric: Metric, rows: list[memoryview[int]]) -> Family:
    names = [label.name for label in metric.labels]
    cell = first_cell(metric)
    if metric.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=names)
        for values in metric.combinations:
            counts = [sum(row[at] for row in rows) for at in range(cell, cell + metric.block)]
            histogram.add_metric(list(values), _buckets(metric, counts), _scaled(metric, counts[-1]))
            cell += metric.block
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    family = (CounterMetricFamily if metric.kind == COUNTER else GaugeMetricFamily)(
        metric.name, metric.help, labels=names
    )
    merge = max if metric.merge == MAX else sum
    for values in metric.combinations:
        family.add_metric(list(values), _scaled(metric, merge(row[cell] for row in rows)))
        cell += 1
    return family


def _buckets(metric: Metric, counts: list[int]) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for bound, count in zip(metric.bounds, counts, strict=False):
        total += count
        buckets.append((repr(float(_scaled(metric, bound))), float(total)))
    buckets.append(("+Inf", float(total + counts[len(metric.bounds)])))
    return buckets


def _scaled(metric: Metric, value: int) -> float:
    # Dividing by a whole number gives the nearest float of the decimal: 300 µs is 0.0003, not 0.00029999.
    return value if metric.scale == 1 else value / round(1 / metric.scale)


def _computed(processes: list[Process]) -> Iterable[Family]:
    build, states, resident, largest, files, beats = (
        GaugeMetricFamily(name, text, labels=list(labels)) for name, text, labels in COMPUTED
    )
    build.add_metric([__version__], 1)
    tally = Tally((process.role, process.state) for process in processes)
    now = time.monotonic_ns() // 1000
    for role in ROLES:
        for state in STATES[1:]:
            states.add_metric([role, state], tally[role, state])
        own = [process for process in processes if process.role == role]
        sizes = [resident_bytes(process.pid) for process in own]
        resident.add_metric([role], sum(sizes))
        largest.add_metric([role], max(sizes, default=0))
        files.add_metric([role], sum(open_files(process.pid) for process in own))
        ages = [now - process.beat for process in own if process.beat]
        beats.add_metric([role], max(0, *ages, 0) / 1_000_000)
    return build, states, resident, largest, files, beats


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, 0 when it is gone or may not be looked at."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return 0


def open_files(pid: int) -> int:
    """Open file descriptors of a process, 0 when it is gone or may not be looked at."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size  # the count since Linux 6.2, else 0
    except OSError:
        return 0


_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
