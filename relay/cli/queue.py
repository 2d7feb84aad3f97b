"""``relay queue``: acts on the running appliance; lists, read-only, also that of a stopped one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from relay.cli import configuration, exits
from relay.cli.content_text import printable_lines
from relay.cli.data_dir import enter_or_stop, spool_or_stop
from relay.cli.entry_text import as_json as entry_as_json
from relay.cli.entry_text import details, summary
from relay.config import Config
from relay.config.kinds import Domain
from relay.config.units import parse_duration
from relay.control.client import UnreachableError, UnreadableError, ask, checked_queue_id, look
from relay.control.content import ContentGoneError, header_section, portions
from relay.control.registry import HOLD, LIST, RELEASE, REMOVE, RETRY, SHOW, Command
from relay.control.vocabulary import QueueEntry, Selection

_Command = TypeVar("_Command", bound=Callable[..., Any])
NOTHING: Final = "Nothing matches."


@click.group("queue")
def command() -> None:
    """Look at the queue and act on what waits in it.

    An entry is a message for the recipients that share a next hop. Entries are chosen by queue id, by the recipients'
    domain, by age, or by several of these together. "list" and "show" work on a stopped appliance too. States: incoming
    (its turn comes), active (being delivered), deferred (tried again later), hold, corrupt (damaged on disk).
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
    config = _config(config_path)
    shown = _look(config, LIST, _selections(queue_ids, domain, older_than), _printer(as_json))
    is_all = not (queue_ids or domain or older_than)
    if not shown and not is_all:
        exits.stop(exits.PROBLEM, NOTHING)
    if not as_json:
        click.echo(f"{shown} {'in the queue' if is_all else 'match'}" if shown else "The queue is empty.")


@command.command("show")
@_selection_options
@click.option("--headers", "part", flag_value="headers", help="With the header section of the content.")
@click.option("--content", "part", flag_value="content", help="With the whole content, made safe to print.")
@click.option("--raw", "part", flag_value="raw", help="The content alone, octet for octet, for a file; one message.")
def show(
    queue_ids: tuple[str, ...],
    domain: str,
    older_than: float,
    as_json: bool,
    part: str | None,
    config_path: Path | None,
) -> None:
    """Show everything known about the chosen entries: state, envelope, reason, next try; and what is in them.

    \b
      relay queue show 6H2Z1BM7C0400 --headers
      relay queue show 6H2Z1BM7C0400 --raw > message.eml
    """
    if as_json and part in ("content", "raw"):
        raise click.UsageError("--json goes with --headers only; take --raw for the content.")
    if part == "raw" and len(queue_ids) != 1:
        raise click.UsageError("--raw is for one message: give its queue id.")
    config = _config(config_path)
    selections = _chosen(queue_ids, domain, older_than, everything=False)
    shown = Shown(config.spool_dir, as_json=as_json, part=part or "")
    _look(config, SHOW, selections, shown.take)
    if missing := [queue_id for queue_id in queue_ids if queue_id not in shown.seen]:
        exits.stop(exits.PROBLEM, f"Not in the queue: {', '.join(missing)}")
    if not shown.seen:
        exits.stop(exits.PROBLEM, NOTHING)
    if shown.has_failed:
        raise SystemExit(exits.PROBLEM)


class Shown:
    """Prints entries of ``relay queue show``; the content of a message once, however many next hops it has."""

    def __init__(self, spool_dir: Path, *, as_json: bool, part: str) -> None:
        self._spool_dir = spool_dir
        self._as_json = as_json
        self._part = part
        self.seen: set[str] = set()
        self.has_failed = False
        """A content could not be read."""

    def take(self, entry: QueueEntry) -> None:
        is_first = entry.queue_id not in self.seen
        self.seen.add(entry.queue_id)
        try:
            if self._as_json:
                headers = {"headers": "".join(self._text(entry))} if self._part else {}
                click.echo(json.dumps(entry_as_json(entry) | headers))
            elif self._part == "raw":
                if is_first:
                    _write_octets(portions(self._spool_dir, entry))
            else:
                click.echo(details(entry, time.time()))
                if self._part and is_first:
                    self._print_text(entry)
        except ContentGoneError as fault:
            self.has_failed = True
            click.echo(f"Warning: {fault}", err=True)

    def _text(self, entry: QueueEntry) -> Iterator[str]:
        content = portions(self._spool_dir, entry)
        return printable_lines(header_section(content) if self._part == "headers" else content)

    def _print_text(self, entry: QueueEntry) -> None:
        for text in self._text(entry):
            click.echo(text, nl=False)
        click.echo()


def _write_octets(content: Iterator[bytes]) -> None:
    for octets in content:
        sys.stdout.buffer.write(octets)


def _action(act: Command[Selection, QueueEntry], done: str, help_text: str) -> None:
    """Defines the command line's command for one that changes entries; ``done`` says what is done to them."""

    @command.command(act.name.rpartition(" ")[2], help=help_text)
    @_selection_options
    @click.option("--all", "everything", is_flag=True, help="Everything in the queue.")
    def run(
        queue_ids: tuple[str, ...],
        domain: str,
        older_than: float,
        as_json: bool,
        everything: bool,
        config_path: Path | None,
    ) -> None:
        config = _config(config_path)
        selections = _chosen(queue_ids, domain, older_than, everything=everything)
        _act(config, act, selections, done, as_json=as_json)


_action(RETRY, "tried again", "Try the chosen entries now, without waiting for their next try.")
_action(
    HOLD, "held", "Keep the chosen entries and do not try them until they are released. They do not expire meanwhile."
)
_action(RELEASE, "released", "Let held entries go on.")
_action(REMOVE, "removed", "Throw the chosen entries away. Nobody is told: no bounce is sent.")


def _config(config_path: Path | None) -> Config:
    config = configuration.load_or_stop(config_path)
    enter_or_stop(config)
    return config


def _selections(queue_ids: tuple[str, ...], domain: str, older_than: float) -> list[Selection]:
    return [Selection(queue_id, domain, older_than) for queue_id in queue_ids or ("",)]


def _chosen(queue_ids: tuple[str, ...], domain: str, older_than: float, *, everything: bool) -> list[Selection]:
    """The selections of a command that must not mean everything by accident."""
    if not everything and not queue_ids and not domain and not older_than:
        raise click.UsageError("Say which: QUEUE_ID, --domain or --older-than.")
    return _selections(queue_ids, domain, older_than)


def _printer(as_json: bool) -> Callable[[QueueEntry], None]:
    def show_entry(entry: QueueEntry) -> None:
        click.echo(json.dumps(entry_as_json(entry)) if as_json else summary(entry, time.time()))

    return show_entry


def _look(
    config: Config,
    command: Command[Selection, QueueEntry],
    selections: list[Selection],
    on_entry: Callable[[QueueEntry], None],
) -> int:
    """Shows the selected entries of the running or the stopped appliance; how many there were."""

    def on_stopped() -> None:
        spool_or_stop(config)
        click.echo(f"Not running; read from {config.spool_dir}.", err=True)

    try:
        reply = look(config, command, selections, on_entry, on_stopped)
    except UnreachableError as fault:
        exits.stop(exits.NOT_RUNNING, f"The appliance runs, but no delivery worker answers: {fault}")
    except UnreadableError as fault:
        exits.stop(exits.PROBLEM, str(fault))
    _warn(reply.problems)
    if reply.problems:
        raise SystemExit(exits.PROBLEM)
    return reply.parts


def _act(
    config: Config,
    command: Command[Selection, QueueEntry],
    selections: list[Selection],
    done: str,
    *,
    as_json: bool,
) -> None:
    try:
        count, problems = ask(config, command, selections, lambda _entry: None)
    except UnreachableError as fault:
        exits.stop(exits.NOT_RUNNING, f"The appliance must be running for this: {fault}")
    if count or as_json:
        operation = command.name.rpartition(" ")[2]
        click.echo(json.dumps({"operation": operation, "count": count}) if as_json else f"{count} {done}")
    _warn(problems)
    if not count:
        exits.stop(exits.PROBLEM, NOTHING)
    if problems:
        raise SystemExit(exits.PROBLEM)


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
