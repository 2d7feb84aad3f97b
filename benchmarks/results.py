"""Measurements: collected by a scenario, kept as JSON, reduced to medians.

A measurement is a set of named numbers for one piece of work done by one server once. The JSON file of a run holds
all of them, the machine's facts, what was measured with which configuration, and the exact commands, so that every
figure on the results page can be traced and repeated.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import machine

FORMAT: Final = 1
RESULTS: Final = machine.ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Measurement:
    """``values`` in the units of their names: seconds, bytes, us, per_second."""

    work: str
    server: str
    repetition: int
    values: dict[str, float]


@dataclass(frozen=True)
class Column:
    """A column of a scenario's table: the value's name, its title, and how many decimals."""

    value: str
    title: str
    decimals: int = 0
    scale: float = 1.0

    def text(self, values: dict[str, float]) -> str:
        """The cell for one row; a dash where it was not measured."""
        if self.value not in values:
            return "–"
        return f"{values[self.value] * self.scale:,.{self.decimals}f}"


@dataclass
class Run:
    """One run of a scenario. ``step`` moves the progress bar; ``add`` takes a measurement."""

    scenario: str
    folder: Path
    """Where servers keep their queues: the disk that is measured."""
    results: Path = RESULTS
    console: Console = field(default_factory=lambda: Console(stderr=True))
    measurements: list[Measurement] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.facts = machine.facts(self.folder)
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.console,
        )  # fmt: skip
        self._task = self.progress.add_task(self.scenario, total=None)

    def __enter__(self) -> Self:
        self.facts["pace_before"] = machine.pace()
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.progress.stop()
        if kind is None:
            self.facts["pace_after"] = machine.pace()

    def expect(self, steps: int) -> None:
        """How many steps are still to come."""
        done = self.progress.tasks[0].completed
        self.progress.update(self._task, total=done + steps)

    def doing(self, what: str) -> None:
        """Says what is being done now."""
        self.progress.update(self._task, description=f"{self.scenario}: {what}")

    def step(self, what: str = "") -> None:
        """One step is done."""
        self.progress.advance(self._task)
        if what:
            self.doing(what)

    def add(self, measurement: Measurement) -> None:
        """Keeps a measurement."""
        self.measurements.append(measurement)

    def command(self, argv: Sequence[str]) -> None:
        """Remembers a command as it was given, once."""
        line = shlex.join(argv).replace(str(machine.ROOT) + "/", "")
        if line not in self.commands:
            self.commands.append(line)

    def note(self, text: str) -> None:
        """Something a reader of the figures has to know; once."""
        if text not in self.notes:
            self.notes.append(text)
            self.console.print(f"[dim]{text}[/dim]")

    def document(self) -> dict[str, Any]:
        """What is written to the JSON file."""
        words = sys.argv[2:] if sys.argv[1:2] == ["bench"] else sys.argv[1:]
        return {
            "format": FORMAT,
            "scenario": self.scenario,
            "command": shlex.join(["python", "-m", "benchmarks", *words]),
            "machine": self.facts,
            "servers": self.servers,
            "commands": self.commands,
            "notes": self.notes,
            "medians": medians(self.measurements),
            "measurements": [asdict(measurement) for measurement in self.measurements],
        }

    def save(self) -> Path:
        """Writes results/SCENARIO.json; the file's path. Paths in it are those below the source tree."""
        self.results.mkdir(parents=True, exist_ok=True)
        path = self.results / f"{self.scenario}.json"
        text = json.dumps(self.document(), indent=1, ensure_ascii=False)
        path.write_text(text.replace(f"{machine.ROOT}/", "") + "\n")
        return path


Medians = dict[str, dict[str, dict[str, float]]]
"""Work -> server -> value's name -> median."""


def medians(measurements: Iterable[Measurement]) -> Medians:
    """Each value's median over the repetitions, in the order things were measured."""
    gathered: dict[str, dict[str, dict[str, list[float]]]] = {}
    for measurement in measurements:
        row = gathered.setdefault(measurement.work, {}).setdefault(measurement.server, {})
        for name, value in measurement.values.items():
            row.setdefault(name, []).append(value)
    return {
        work: {
            server: {name: statistics.median(values) for name, values in row.items()} for server, row in servers.items()
        }
        for work, servers in gathered.items()
    }


def spread(measurements: Iterable[Measurement], work: str, server: str, value: str) -> tuple[float, float] | None:
    """Least and greatest of a value over the repetitions."""
    found = [
        one.values[value] for one in measurements if one.work == work and one.server == server and value in one.values
    ]
    return (min(found), max(found)) if found else None


def table(title: str, found: Medians, columns: Sequence[Column]) -> Table:
    """The medians as a table for the terminal."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("work")
    shown.add_column("server")
    for column in columns:
        shown.add_column(column.title, justify="right")
    for work, servers in found.items():
        for position, (server, values) in enumerate(servers.items()):
            shown.add_row(work if position == 0 else "", server, *(column.text(values) for column in columns))
        shown.add_section()
    return shown


def load(path: Path) -> dict[str, Any]:
    """A result file. Raises ValueError when it is of another format."""
    document: dict[str, Any] = json.loads(path.read_text())
    if document.get("format") != FORMAT:
        raise ValueError(f"{path}: not a result of format {FORMAT}")
    return document


def measurements_of(document: dict[str, Any]) -> list[Measurement]:
    """The measurements in a result file."""
    return [Measurement(**one) for one in document["measurements"]]
