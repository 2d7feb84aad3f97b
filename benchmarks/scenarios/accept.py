"""Taking in only: the servers are told not to deliver, and what counts is the generator's 250s.

Relay's next hop refuses connections, so it suspends it after the first try; Postfix gets defer_transports, Exim
queue_only, OpenSMTPD a paused mta. Haraka cannot be told and is left out.
"""

from __future__ import annotations

from typing import Final

from benchmarks.comparison import Comparison, Work
from benchmarks.results import Column, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.tools import Load

WORKS: Final = (
    Work("50 sessions, pipelined, 1 KiB", Load("own", "pipelined")),
    Work("50 sessions, lock-step, 1 KiB", Load("own", "lock-step")),
    Work("one session, lock-step, 1 KiB", Load("own", "lock-step", sessions=1)),
    Work("smtp-source, connections reused, 1 KiB", Load("postfix", "lock-step")),
)
COLUMNS: Final = (
    Column("accept_per_second", "accepted/s"),
    Column("accept_p50_ms", "p50 ms", 2),
    Column("accept_p99_ms", "p99 ms", 2),
    Column("cpu_us", "CPU µs/message"),
    Column("syncs", "syncs/message", 3),
    Column("pss_bytes", "PSS MiB", 1, 1 / 1024 / 1024),
    Column("messages", "messages each"),
)


def run(run: Run, settings: Settings) -> None:
    """Every wanted work by every server that can hold its mail back."""
    servers = [name for name in settings.servers if name != "haraka"]
    if "haraka" in settings.servers:
        run.note("haraka: left out, it cannot be told to hold mail back")
    works = [work for work in WORKS if settings.wanted(work.name)]
    comparison = Comparison(
        run,
        servers,
        settings.repetitions or 5,
        settings.seconds or 2.0,
        delivers=False,
        count_syncs=settings.syncs,
        greatest=60_000,
    )
    comparison.measure(works)
