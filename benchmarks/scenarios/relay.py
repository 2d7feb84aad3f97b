"""End to end, 50 sessions: generator -> server -> sink, beside the direct path and other servers."""

from __future__ import annotations

from typing import Final

from benchmarks.comparison import Comparison, Work
from benchmarks.results import Column, Run
from benchmarks.scenarios.settings import FAST, Settings
from benchmarks.tools import Load

KIB: Final = 1024
STREAM: Final = ("--bdat", "--in-flight", "16")
"""Pipelined to the full: nothing is waited for, as RFC 3030 allows; the others wait for the 354 (RFC 2920 3.1)."""
WORKS: Final = (
    Work("smtp-source, a connection per message, 1 KiB", Load("postfix", "new-connection")),
    Work("smtp-source, connections reused, 1 KiB", Load("postfix", "lock-step")),
    Work("smtp-source, connections reused, 10 KiB", Load("postfix", "lock-step", 10 * KIB), FAST),
    Work("smtp-source, connections reused, 100 KiB", Load("postfix", "lock-step", 100 * KIB), FAST),
    Work("smtp-source, connections reused, 1 MiB", Load("postfix", "lock-step", KIB * KIB), FAST),
    Work("own generator, a connection per message, 1 KiB", Load("own", "new-connection"), FAST),
    Work("own generator, lock-step, 1 KiB", Load("own", "lock-step"), FAST),
    Work("own generator, pipelined, 1 KiB", Load("own", "pipelined")),
    Work("own generator, BDAT, 16 in flight, 1 KiB", Load("own", "streamed", more=STREAM), FAST),
    Work("own generator, pipelined, 100 KiB", Load("own", "pipelined", 100 * KIB), FAST),
    Work("own generator, pipelined, 1 MiB", Load("own", "pipelined", KIB * KIB), FAST),
    Work("own generator, pipelined, realistic mix of sizes", Load("own", "pipelined", more=("--size", "mix")), FAST),
)
"""The heavy ones, and variations of others, are not given to servers that would take minutes for them."""
COLUMNS: Final = (
    Column("per_second", "messages/s"),
    Column("cpu_us", "CPU µs/message"),
    Column("syncs", "syncs/message", 3),
    Column("pss_bytes", "PSS MiB", 1, 1 / KIB / KIB),
    Column("generator_cpu_us", "generator µs", 1),
    Column("sink_cpu_us", "sink µs", 1),
    Column("messages", "messages each"),
)


def run(run: Run, settings: Settings) -> None:
    """Every wanted work by every server."""
    comparison = Comparison(
        run, settings.servers, settings.repetitions or 5, settings.seconds or 3.0, count_syncs=settings.syncs
    )
    comparison.measure([work for work in WORKS if settings.wanted(work.name)])
