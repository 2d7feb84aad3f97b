"""What strangers wrote, made to be slow: microseconds for each KiB, for every parser that sees it.

Each parser is given all inputs of its kind (hostile_cases.py) at four lengths; what counts is its worst input at each.
A parser that is linear has about one figure in all columns; where a budget caps the work, the figure falls from
there on. The two longest are tried with the worst inputs of the length before alone. CPU time of one thread, least of
the repetitions.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks.hostile_cases import KINDS, Parser, repeated
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings

KIB: Final = 1024
LENGTHS: Final = {"us_1k": KIB, "us_32k": 32 * KIB, "us_1m": 1024 * KIB, "us_16m": 16_384 * KIB}
COLUMNS: Final = (
    Column("us_1k", "µs a KiB at 1 KiB", 1),
    Column("us_32k", "at 32 KiB", 1),
    Column("us_1m", "at 1 MiB", 1),
    Column("us_16m", "at 16 MiB", 1),
)
_ALL_UP_TO: Final = 32 * KIB
_WORST: Final = 3


def cost(parser: Parser, value: bytes) -> float:
    """Microseconds of CPU for each KiB."""
    began = time.thread_time_ns()
    parser(value)
    return (time.thread_time_ns() - began) / 1e3 / (len(value) / KIB)


def worst(parser: Parser, units: dict[str, bytes], repetitions: int) -> dict[str, float]:
    """The cost at each length with the input that costs most there."""
    found: dict[str, float] = {}
    tried = units
    for name, octets in LENGTHS.items():
        costs = {}
        for title, unit in tried.items():
            value = repeated(unit, octets)
            costs[title] = min(cost(parser, value) for _ in range(repetitions if octets <= _ALL_UP_TO else 1))
        found[name] = max(costs.values())
        if octets >= _ALL_UP_TO:
            tried = {title: units[title] for title in sorted(costs, key=costs.__getitem__)[-_WORST:]}
    return found


def run(run: Run, settings: Settings) -> None:
    """Friendly and hostile inputs for each parser."""
    repetitions = settings.repetitions or 3
    works = [
        (f"{name}, {manner}", parser, units)
        for kind in KINDS.values()
        for name, parser in kind.parsers().items()
        for manner, units in (("usual", kind.friendly), ("hostile", kind.hostile))
        if settings.wanted(f"{name}, {manner}")
    ]
    run.expect(len(works))
    for work, parser, units in works:
        run.step(work)
        parser(b"")  # imports and tables
        run.add(Measurement(work, "relay", 0, worst(parser, units, repetitions)))
