"""``relay queue``: acts on the running appliance; lists, read-only, also that of a stopped one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from relay.cli import configuration, exits
from relay.cli.entry_text import details, summary
from relay.cli.queue_client import (
    Entry,
    QueueUnreachableError,
    Selection,
    ask,
    checked_queue_id,
    is_running,
    read_stopped,
)
from relay.config import Config
from relay.config.kinds import Domain
from relay.config.units import parse_duration

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DONE: Final = {"retry": "tried again", "hold": "held", "release": "released", "remove": "removed"}


@click.group("queue")
def command() -> None:
    """Look at the queue and act on what waits in it.

    An entry is a message for the recipients that share a next hop. Entries are chosen by queue id, by the recipients'
    domain, by age, or by several of these together. "list" and "show" work on a stopped appliance too.
    """


def _domain(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    return _parsed(Domain().parse, value) if value else ""


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    return _parsed(parse_duration, value) if value else 0.0


def _queue_ids(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_parsed(checked_queue_id, value) for value in values)


def _parsed(parse: Callable[[str], Any], value: str) -> Any:
    try:
        return parse(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None


def _selection_options(function: _Command) -> _Command:
    for option in (
        configuration.config_option,
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option(
            "--older-than", callback=_age, metavar="AGE", help='Only what was received so long ago, e.g. "2h".'
        ),
        click.option("--domain", callback=_domain, metavar="DOMAIN", help="Only recipients at this domain."),
        click.argument("queue_ids", nargs=-1, metavar="[QUEUE_ID]...", callback=_queue_ids),
    ):
        function = option(function)
    return function


@command.command("list")
@_selection_options
def list_entries(
    queue_ids: tuple[str, ...], domain: str, older_than: float, as_json: bool, config_path: Path | None
) -> None:
    """List what waits: state, size, age, next try, sender, recipients, and the reason for the wait."""
    config = configuration.load_or_stop(config_path)
    shown = _look(config, "list", _selections(queue_ids, domain, older_than), _printer(as_json, summary))
    if not as_json:
        click.echo(f"{shown} in the queue" if shown else "The queue is empty." if not queue_ids else "Nothing matched.")
    if queue_ids and not shown:
        raise SystemExit(exits.PROBLEM)


@command.command("show")
@_selection_options
def show(queue_ids: tuple[str, ...], domain: str, older_than: float, as_json: bool, config_path: Path | None) -> None:
    """Show everything known about the chosen entries."""
    config = configuration.load_or_stop(config_path)
    selections = _chosen(queue_ids, domain, older_than, everything=False)
    if not _look(config, "show", selections, _printer(as_json, details)):
        exits.stop(exits.PROBLEM, "Nothing matched.")


def _action(operation: str, help_text: str) -> None:
    """Defines the command for an operation that changes entries."""

    @command.command(operation, help=help_text)
    @_selection_options
    @click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
    def act(
        queue_ids: tuple[str, ...],
        domain: str,
        older_than: float,
        as_json: bool,
        everything: bool,
        config_path: Path | None,
    ) -> None:
        config = configuration.load_or_stop(config_path)
        selections = _chosen(queue_ids, domain, older_than, everything=everything)
        _act(config, operation, selections, as_json=as_json)


_action("retry", "Try the chosen entries now, without waiting for their next try.")
_action("hold", "Keep the chosen entries and do not try them until they are released. They do not expire meanwhile.")
_action("release", "Let held entries go on.")
_action("remove", "Throw the chosen entries away. Nobody is told: no bounce is sent.")


def _selections(queue_ids: tuple[str, ...], domain: str, older_than: float) -> list[Selection]:
    return [Selection(queue_id, domain, older_than) for queue_id in queue_ids or ("",)]


def _chosen(queue_ids: tuple[str, ...], domain: str, older_than: float, *, everything: bool) -> list[Selection]:
    """The selections of a command that must not mean everything by accident."""
    if not everything and not queue_ids and not domain and not older_than:
        raise click.UsageError("Say which: QUEUE_ID, --domain or --older-than.")
    return _selections(queue_ids, domain, older_than)


def _printer(as_json: bool, text_of: Callable[[Entry, float], str]) -> Callable[[Entry], None]:
    def show_entry(entry: Entry) -> None:
        click.echo(json.dumps(entry, ensure_ascii=True) if as_json else text_of(entry, time.time()))

    return show_entry


def _look(config: Config, operation: str, selections: list[Selection], on_entry: Callable[[Entry], None]) -> int:
    """Shows the selected entries of the running or the stopped appliance; how many there were."""
    problems: set[str] = set()
    count = 0
    try:
        for selection in selections:
            reply = ask(config, operation, selection, on_entry)
            count += reply.count
            problems.update(reply.problems)
    except QueueUnreachableError as fault:
        if is_running(config.data_dir):
            exits.stop(exits.NOT_RUNNING, f"The appliance runs, but no delivery worker answers: {fault}")
        return _look_at_stopped(config, selections, on_entry)
    _warn(problems)
    if problems:
        raise SystemExit(exits.PROBLEM)
    return count


def _look_at_stopped(config: Config, selections: list[Selection], on_entry: Callable[[Entry], None]) -> int:
    from relay.spool import MissingRecord, SpoolError

    click.echo(f"Not running; read from {config.spool_dir}.", err=True)
    count = 0
    try:
        for selection in selections:
            for entry in read_stopped(config, selection):
                on_entry(entry)
                count += 1
    except (OSError, SpoolError, MissingRecord) as fault:
        exits.stop(exits.PROBLEM, f"{config.spool_dir} cannot be read: {fault}")
    return count


def _act(config: Config, operation: str, selections: list[Selection], *, as_json: bool) -> None:
    problems: set[str] = set()
    count = 0
    try:
        for selection in selections:
            reply = ask(config, operation, selection, lambda _entry: None)
            count += reply.count
            problems.update(reply.problems)
    except QueueUnreachableError as fault:
        exits.stop(exits.NOT_RUNNING, f"The appliance must be running for this: {fault}")
    click.echo(json.dumps({"operation": operation, "count": count}) if as_json else f"{count} {_DONE[operation]}")
    _warn(problems)
    if problems or not count:
        raise SystemExit(exits.PROBLEM)


def _warn(problems: set[str]) -> None:
    for problem in sorted(problems):
        click.echo(f"Warning: {problem}", err=True)
