"""``relay trace``: why was this mail rejected, where is it, who has it now? Read from the log."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from relay.cli import configuration, exits
from relay.cli.entry_text import as_json as entry_as_json
from relay.cli.journey_text import is_open, state_of, story
from relay.config import Config, ConfigErrors
from relay.config.units import parse_duration
from relay.control import journeys
from relay.telemetry.journey import Search

_LIMIT: Final = 20


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    try:
        return parse_duration(value) if value else 0.0
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from None


@click.command("trace")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("--since", callback=_age, metavar="AGE", help='Only what happened since so long ago, e.g. "2h".')
@click.option("--log", "log_path", metavar="FILE", help='The log; "-" is standard input. Default: log.destination.')
@click.option("--limit", type=click.IntRange(1, 10_000), default=_LIMIT, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message.")
@configuration.config_option
def command(
    words: tuple[str, ...], since: float, log_path: str | None, limit: int, as_json: bool, config_path: Path | None
) -> None:
    """Tell what became of a message, step by step, and why.

    WORD is what you know of it: an address (which finds alice+news@ for alice@, too) or its domain, a queue id, the
    [id] that ends a refusal or the whole line that has it, the client's IP address, an account, a reply code or
    status such as 5.7.1. With several words, all must fit. Refused mail has a story, too. Of mail that waits, the
    queue is asked for the reason and the next try.

    \b
      relay trace ann@example.org bob@example.com --since 1d
      journalctl -u relay -o cat | relay trace --log - 5.7.1
    """
    config = _config(config_path, is_needed=log_path is None)
    delimiters = config.smtp.recipient_delimiter if config is not None else "+"
    search = Search(words, since=_moment(since), limit=limit, delimiters=delimiters)
    try:
        with ExitStack() as stack:
            if log_path == "-":
                files = [journeys.kept(stack, sys.stdin.buffer)]
            else:
                path = Path(log_path) if log_path else _configured(config)
                files = journeys.open_logs(stack, path, time.time() - since if since else 0.0)
            found = journeys.find(search, files)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        hint = "; ask as root" if isinstance(fault, PermissionError) else ""
        exits.stop(exits.PROBLEM, f"The log cannot be read: {where}{fault.strerror or fault}{hint}")
    except EOFError as fault:  # a compressed file that is cut off
        exits.stop(exits.PROBLEM, f"The log cannot be read: {fault}")
    waiting, problem = journeys.in_queue(config, (each.key for each in found if is_open(each))) if config else ({}, "")
    if problem:
        click.echo(f"What waits is not known: {problem}", err=True)
    for journey in found:
        entries = waiting.get(journey.key, [])
        if as_json:
            queue = [entry_as_json(entry) for entry in entries]
            fields = {"id": journey.key, "state": state_of(journey, entries), "steps": journey.steps, "queue": queue}
            click.echo(json.dumps(fields))
        else:
            click.echo(story(journey, entries))
    if search.passed_over:
        click.echo(f"{search.passed_over} older ones left out (--limit).", err=True)
    if not found:
        exits.stop(exits.PROBLEM, "Nothing in the log fits.")


def _moment(age: float) -> str:
    """So long ago, as the log writes times; empty for no age."""
    if not age:
        return ""
    return datetime.fromtimestamp(time.time() - age, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _config(config_path: Path | None, *, is_needed: bool) -> Config | None:
    """The configuration, by which the log and the queue are found; None when it is not needed and cannot be had."""
    if is_needed:
        return configuration.load_or_stop(config_path)
    try:
        return configuration.source_of(config_path).load().config
    except ConfigErrors:
        return None


def _configured(config: Config | None) -> Path:
    assert config is not None  # it was needed
    destination = config.log.destination
    if destination in ("stdout", "stderr"):
        exits.stop(
            exits.USAGE,
            f"The log goes to {destination} (log.destination), so give it to this command:\n"
            "  journalctl -u relay -o cat | relay trace --log - WORD...      or      relay trace --log FILE WORD...",
        )
    return Path(destination)
