"""The command line: ``python -m benchmarks SCENARIO`` and ``relay bench SCENARIO``."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import machine
from benchmarks.group import sweep
from benchmarks.results import RESULTS, Run, medians, table
from benchmarks.scenarios import SUMMARIES, scenario
from benchmarks.scenarios.settings import QUICK, QUICK_SERVERS, Settings
from benchmarks.servers import SERVERS
from benchmarks.servers.base import ServerError
from benchmarks.tools import ToolError

_DEFAULT_FOLDER = machine.ROOT / "build" / "bench"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="In about 20 minutes: shorter turns; only direct, Relay and Postfix.")
@click.pass_context
def main(context: click.Context, *, quick: bool) -> None:
    """Measure Relay, and other mail servers beside it, on this machine.

    Without a scenario: every one with its usual counts, then the results page. Everything stays on loopback.
    """
    if context.invoked_subcommand is None:
        for name in SUMMARIES:
            measure(name, QUICK.get(name, QUICK_SERVERS) if quick else Settings(), _DEFAULT_FOLDER, RESULTS)
        context.invoke(report)
    elif quick:
        raise click.UsageError("--quick is for all scenarios; one of them takes --seconds and --repetitions.")


def measure(name: str, settings: Settings, folder: Path, results: Path) -> None:
    """Runs one scenario: progress on standard error, the table on standard output, the figures in ``results``."""
    raise_limits()
    sweep()
    # A run that is told to stop ends its servers on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder.mkdir(parents=True, exist_ok=True)
    ground = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
    ground.chmod(0o755)  # servers that give root up must be able to pass
    module = scenario(name)
    try:
        with Run(name, ground, results) as run:
            module.run(run, settings)
    except (ServerError, ToolError) as fault:
        raise click.ClickException(str(fault)) from None
    finally:
        shutil.rmtree(ground, ignore_errors=True)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(f"{name}: medians", medians(run.measurements), module.COLUMNS))
    for note in run.notes:
        console.print(f"- {note}", highlight=False)
    if run.measurements:
        console.print(f"written: {run.save()}")


def raise_limits() -> None:
    """As many descriptors as the hard limit allows: idle sessions need two each on one machine."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _add(name: str, summary: str) -> None:
    @main.command(name, help=summary)
    @click.option(
        "--server",
        "servers",
        multiple=True,
        type=click.Choice(list(SERVERS)),
        help="Only these servers; may be given several times.",
    )
    @click.option("--repetitions", type=click.IntRange(1), help="How often each is measured.")
    @click.option("--seconds", type=float, help="How long each server works in each repetition, about.")
    @click.option("--size", type=click.IntRange(1), help="How many sessions, messages, recipients or kills.")
    @click.option("--work", "works", multiple=True, help="Only the works whose names contain this.")
    @click.option("--folder", type=click.Path(path_type=Path), default=_DEFAULT_FOLDER, show_default=True,
                  help="Where queues are kept: the disk that is measured.")  # fmt: skip
    @click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True,
                  help="Where the figures are written.")  # fmt: skip
    def command(
        servers: tuple[str, ...], repetitions: int | None, seconds: float | None, size: int | None,
        works: tuple[str, ...], folder: Path, results: Path,
    ) -> None:  # fmt: skip
        settings = Settings(repetitions=repetitions, seconds=seconds, size=size, works=works)
        if servers:
            settings = Settings(servers, repetitions, seconds, size, works)
        measure(name, settings, folder, results)


for _name, _summary in SUMMARIES.items():
    _add(_name, _summary)


@main.command("report")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def report(results: Path = RESULTS) -> None:
    """Make the results page and its plots from the figures in results/."""
    from benchmarks.report import write

    click.echo(f"written: {write(results)}")


@main.command("fetch")
@click.argument("names", nargs=-1)
def fetch(names: tuple[str, ...]) -> None:
    """Unpack other servers (exim, opensmtpd, haraka) below build/servers, without installing them."""
    for name in names or ("opensmtpd", "exim", "haraka"):
        kind: Any = SERVERS.get(name)
        if kind is None or not hasattr(kind, "fetch"):
            raise click.UsageError(f"{name}: cannot be fetched")
        click.echo(f"{name}: {kind.fetch()}")


@main.command("servers")
def servers() -> None:
    """Say which servers can be measured here."""
    for name, kind in SERVERS.items():
        why = kind.missing()
        click.echo(f"{name:10} {kind.version() if why is None else why}")
