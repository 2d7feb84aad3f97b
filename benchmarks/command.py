"""The command line: ``python -m benchmarks SCENARIO`` and ``relay bench SCENARIO``."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console

from benchmarks import machine
from benchmarks.group import sweep
from benchmarks.results import RESULTS, Run, medians, table
from benchmarks.scenarios import SIZES, SUMMARIES, WITHOUT, scenario
from benchmarks.scenarios.settings import QUICK, SHORT, USUAL, Settings
from benchmarks.servers import READERS, SERVERS
from benchmarks.servers.base import ServerError
from benchmarks.tools import ToolError

_DEFAULT_FOLDER = machine.ROOT / "build" / "bench"
_QUICK_RESULTS = machine.ROOT / "build" / "quick" / "results"


class _Sections(click.Group):
    """The scenarios stand apart in the help, with their whole summaries, in the order in which they run."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = sorted(name for name in self.commands if name not in SUMMARIES)
        for title, names in (("Scenarios", list(SUMMARIES)), ("Other commands", others)):
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])


class Chosen(NamedTuple):
    """What --quick and --short decide."""

    sets: Mapping[str, Settings]
    results: Path

    def settings(self, name: str) -> Settings:
        """What a scenario takes when nothing else is said."""
        return self.sets.get(name) or USUAL.get(name) or Settings()


@click.group(cls=_Sections, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="A look within six minutes: direct, Relay and Postfix; less of everything.")
@click.option("--short", is_flag=True, help="All works and servers in short turns, within half an hour.")
@click.pass_context
def main(context: click.Context, *, quick: bool, short: bool) -> None:
    """Measure Relay, and other mail servers beside it, on this machine.

    Without a scenario: every one, one after the other (an hour or more), then the results page with its plots.
    What is not installed is left out, and a line says how to get it. Everything stays on loopback.

    Figures go to benchmarks/results and benchmarks/RESULTS.md; those of --quick to build/quick.
    """
    if quick and short:
        raise click.UsageError("--quick or --short, not both.")
    sets = QUICK if quick else SHORT if short else USUAL
    results = _QUICK_RESULTS if quick else RESULTS
    context.obj = Chosen(sets, results)
    if context.invoked_subcommand is None:
        _all(context.obj)
        context.invoke(report, results=results)


def _all(chosen: Chosen) -> None:
    """Every scenario; one that fails is named, and the others go on."""
    console = Console(stderr=True)
    for number, name in enumerate(SUMMARIES, 1):
        console.print(f"[bold]{name}[/bold], {number} of {len(SUMMARIES)}")
        try:
            measure(name, chosen.settings(name), _DEFAULT_FOLDER, chosen.results)
        except click.ClickException as fault:
            console.print(f"{name}: failed, {fault.format_message()}", style="red", markup=False)


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


def _options(name: str) -> dict[str, click.Option]:
    """Those of a scenario, by the setting they change."""
    servers = list(READERS if name == "mailbox" else SERVERS)
    possible = {
        "servers": click.Option(
            ["--server", "servers"], multiple=True, type=click.Choice(servers), help="Only these; may be repeated."
        ),
        "repetitions": click.Option(["--repetitions"], type=click.IntRange(1), help="How often each is measured."),
        "seconds": click.Option(
            ["--seconds"], type=click.FloatRange(0, min_open=True),
            help="About how long each turn lasts." if name != "crash" else "Between two kills, about.",
        ),
        "size": click.Option(["--size"], type=click.IntRange(1), help=SIZES.get(name)),
        "works": click.Option(
            ["--work", "works"], multiple=True, help="Only the works whose names contain this; may be repeated."
        ),
    }  # fmt: skip
    return {
        setting: option
        for setting, option in possible.items()
        if name not in WITHOUT.get(setting, ()) and (setting != "size" or name in SIZES)
    }


def _command(name: str, summary: str) -> click.Command:
    """``python -m benchmarks NAME``."""
    options = _options(name)

    def run(folder: Path, results: Path | None, **given: Any) -> None:
        chosen: Chosen = click.get_current_context().obj
        settings = replace(chosen.settings(name), **{key: value for key, value in given.items() if value})
        measure(name, settings, folder, results or chosen.results)

    places: list[click.Parameter] = [
        click.Option(["--folder"], type=click.Path(path_type=Path), default=_DEFAULT_FOLDER,
                     show_default="build/bench", help="Where queues are kept: the disk that is measured."),
        click.Option(["--results"], type=click.Path(path_type=Path),
                     help="Where the figures are written; if not given: benchmarks/results."),
    ]  # fmt: skip
    return click.Command(name, help=summary, callback=run, params=[*options.values(), *places])


for _name, _summary in SUMMARIES.items():
    main.add_command(_command(_name, _summary))


@main.command("report")
@click.option("--results", type=click.Path(path_type=Path), help="If not given: benchmarks/results.")
@click.pass_obj
def report(chosen: Chosen, results: Path | None) -> None:
    """Make the results page and its plots from the figures there are."""
    from benchmarks import plots
    from benchmarks.report import write

    if not plots.is_possible():
        click.echo("no plots: matplotlib is missing (pip install -r deploy/lock/bench.txt)", err=True)
    click.echo(f"written: {write(results or chosen.results)}")


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
    for name, kind in {**SERVERS, **READERS, "relay": SERVERS["relay"]}.items():
        why = kind.missing()
        click.echo(f"{name:10} {kind.version() if why is None else why}")
