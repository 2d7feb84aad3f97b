"""The command line: ``python -m benchmarks.load generate | sink | account``. What it all means is in README.md."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from benchmarks.load.plan import Dialogue, GeneratePlan, Mechanism, Protocol, SinkPlan, Tls

_LONG = 86_400.0
_Command = Callable[..., None]
_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_SHARED: list[Callable[[_Command], _Command]] = [
    click.option("--protocol", type=click.Choice(get_args(Protocol)), help="What is spoken."),
    click.option("--tls", type=click.Choice(get_args(Tls)), help="TLS, from STARTTLS or from the first octet."),
    click.option("--time-limit", type=click.FloatRange(0.01, _LONG), help="Seconds after which it ends in any case."),
    click.option("--ledger", type=_PATH, help="File with what became of each message, for account."),
    click.option("--control", help="host:port or unix:/path where the totals so far can be asked for."),
    click.option("--allow-remote", is_flag=True, help="Addresses that are not loopback."),
]


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def add(command: _Command) -> _Command:
        for option in reversed([*options, *_SHARED]):
            command = option(command)
        return command

    return add


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not given: the plan has the defaults."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def load() -> None:
    """A load generator and a sink for mail servers."""


@load.command()
@_options(
    click.option("--server", required=True, help="host:port, [v6]:port or unix:/path."),
    click.option("--messages", type=click.IntRange(0, 1 << 25), help="How many are offered."),
    click.option("--duration", type=click.FloatRange(0, _LONG), help="Seconds after which none is begun."),
    click.option("--sessions", type=click.IntRange(1, 100_000), help="Connections at a time."),
    click.option("--opening", type=click.IntRange(1, 100_000), help="Connections being opened at a time."),
    click.option("--messages-per-connection", type=click.IntRange(0), help="Then QUIT; 0: never."),
    click.option("--dialogue", type=click.Choice(get_args(Dialogue)), help="How much is sent without waiting."),
    click.option("--in-flight", type=click.IntRange(1, 1000), help="Transactions under way when streamed."),
    click.option("--bdat", is_flag=True, help="Streamed contents in BDAT (RFC 3030)."),
    click.option("--size", help="10KiB, or 1KiB:60,20KiB:40, or mix."),
    click.option("--recipients", type=click.IntRange(1, 10_000), help="Per message."),
    click.option("--recipient", multiple=True, help="Address template, with {r} and {n}."),
    click.option("--sender", help="Reverse-path."),
    click.option("--rate", type=click.FloatRange(0, min_open=True), help="Messages per second, open loop."),
    click.option("--warm-up", type=click.FloatRange(0, _LONG), help="Seconds that do not count."),
    click.option("--resumption/--no-resumption", default=None, help="Take up an earlier TLS session."),
    click.option("--ca", type=_FILE, help="Check the server's certificate with this."),
    click.option("--account", help="name:password for AUTH."),
    click.option("--mechanism", type=click.Choice(get_args(Mechanism)), help="Of AUTH; plain if not given."),
    click.option("--hold", type=click.FloatRange(0, _LONG), help="Seconds that sessions stay open afterwards."),
    click.option("--timeout", type=click.FloatRange(0.01, _LONG), help="Seconds that a reply may take."),
    click.option("--run", help="16 hexadecimal digits that name the run."),
    click.option("--json", "as_json", is_flag=True, help="The result as one JSON line."),
)
def generate(as_json: bool, **values: Any) -> None:
    """Sends messages to a server and measures it. Exit code 0 when all were accepted."""
    from benchmarks.load.source import ImpossibleError, generate

    plan = GeneratePlan(**_given(values))
    if plan.run is not None and not re.fullmatch(r"[0-9a-f]{16}", plan.run):
        raise click.UsageError("--run has 16 hexadecimal digits")
    if plan.bdat and plan.dialogue != "streamed":
        raise click.UsageError("--bdat goes with --dialogue streamed")
    try:
        result = generate(plan)
    except (ValueError, ImpossibleError) as error:
        raise click.UsageError(str(error)) from error
    print(json.dumps(result)) if as_json else _show(result)
    counts: Any = result["messages"]
    sys.exit(0 if counts["accepted"] == counts["offered"] and result["ended"] in {"messages", "duration"} else 1)


@load.command()
@_options(
    click.option("--listen", required=True, help="host:port (port 0: any) or unix:/path."),
    click.option("--by-address/--no-by-address", default=None, help="tempfail@, permfail@, drop@ and so on."),
    click.option("--refuse", multiple=True, help="STAGE=CODE[:SHARE]"),
    click.option("--slow", multiple=True, help="STAGE=SECONDS"),
    click.option("--drop", multiple=True, help="STAGE[:SHARE]"),
    click.option("--tarpit", type=click.FloatRange(0, 3600), help="Seconds between the octets of replies."),
    click.option("--max-connections", type=click.IntRange(0), help="More get 421."),
    click.option("--pipelining/--no-pipelining", default=None, help="Whether EHLO offers it."),
    click.option("--chunking/--no-chunking", default=None, help="Whether EHLO offers it."),
    click.option("--eight-bit/--no-eight-bit", default=None, help="Whether EHLO offers 8BITMIME and SMTPUTF8."),
    click.option("--certificate", type=_FILE, help="PEM file."),
    click.option("--key", type=_FILE, help="PEM file."),
    click.option("--account", multiple=True, help="name:password for AUTH PLAIN."),
    click.option("--verify", is_flag=True, help="Check the digest of every content."),
    click.option("--messages", type=click.IntRange(1), help="Ends after so many."),
    click.option("--seed", type=click.IntRange(1), help="For the shares."),
)
def sink(**values: Any) -> None:
    """Takes messages, or refuses them as told, and counts them. Prints JSON lines: that it listens, and the totals."""
    from benchmarks.load.sink import serve

    try:
        result = serve(SinkPlan(**_given(values)), lambda line: print(json.dumps(line), flush=True))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print(json.dumps(result), flush=True)


@load.command()
@click.option("--sent", type=_FILE, required=True, help="The generator's ledger.")
@click.option("--received", type=_FILE, required=True, help="The sink's ledger.")
def account(sent: Path, received: Path) -> None:
    """Tells what was lost, doubled or altered between the two. Exit code 0 when nothing was."""
    from benchmarks.load.account import account_of

    try:
        result = account_of(sent, received)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print(json.dumps(result))
    sys.exit(any(result[fault] for fault in ("lost", "doubled", "misdirected", "altered")))


def _show(result: dict[str, Any]) -> None:
    """The result as a table for a person."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result['messages_per_second']:,.0f} messages/s, {result['octets_per_second'] / 1e6:,.1f} MB/s"
    )
    for column in ("milliseconds", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(column, justify="right")
    for name in ("accept", "transaction", "connect"):
        row = result[f"{name}_seconds"]
        figures = (f"{row[column] * 1000:.3f}" for column in ("min", "mean", "p50", "p90", "p99", "p99.9", "max"))
        table.add_row(name, str(row["count"]), *figures)
    console = Console()
    console.print(table)
    for name in ("messages", "recipients", "connections", "errors"):
        console.print(f"{name}: " + (", ".join(f"{key} {value:,}" for key, value in result[name].items()) or "none"))
    console.print(f"ended: {result['ended']} after {result['elapsed_seconds']:.2f} s")
