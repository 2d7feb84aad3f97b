"""One message to 100 recipients at one next hop: recipients per second at the sink."""

from __future__ import annotations

from typing import Final

from benchmarks.comparison import Comparison, Work
from benchmarks.results import Column, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.tools import Load

COLUMNS: Final = (
    Column("per_second", "recipients/s"),
    Column("accept_per_second", "messages/s in"),
    Column("cpu_us", "CPU µs/message"),
    Column("syncs", "syncs/message", 3),
    Column("messages", "messages each"),
)


def run(run: Run, settings: Settings) -> None:
    """50 sessions, pipelined."""
    recipients = settings.size or 100
    load = Load("own", "pipelined", recipients=recipients)
    work = Work(f"{recipients} recipients a message, 1 KiB", load)
    comparison = Comparison(
        run,
        settings.servers,
        settings.repetitions or 5,
        settings.seconds or 3.0,
        count_syncs=settings.syncs,
        greatest=20_000,
    )
    comparison.measure([work])
