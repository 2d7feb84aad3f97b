"""``relay trace``: why was this mail rejected, where is it, who has it now? Read from the log."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click

from relay.cli import configuration, exits
from relay.cli.entry_text import Entry, as_told
from relay.cli.journey_text import is_open, state_of, tell
from relay.config import Config, ConfigErrors
from relay.config.units import parse_duration
from relay.control.queue_client import QueueUnreachableError, Selection, ask, is_running, read_stopped
from relay.spool import MissingRecord, SpoolError
from relay.telemetry.journey import LONGEST_LINE, Journey, Search

_LIMIT: Final = 20
_ASKED_SINGLY: Final = 100
"""Messages that the queue is asked about one by one; for more, it is read as a whole."""
_IN_MEMORY: Final = 16 << 20


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
    client's IP address, an account, a reply code or status such as 5.7.1. With several words, all must fit. Refused
    mail has a story, too. Of mail that waits, the queue is asked for the reason and the next try.

    \b
      relay trace ann@example.org bob@example.com --since 1d
      journalctl -u relay -o cat | relay trace --log - 5.7.1
    """
    config = _config(config_path, is_needed=log_path is None)
    delimiters = config.smtp.recipient_delimiter if config is not None else "+"
    search = Search(words, since=_moment(since), limit=limit, delimiters=delimiters)
    try:
        with ExitStack() as stack:
            files = _files(stack, log_path, config, since)
            for reading in (search.see, search.gather):
                for file in files:
                    file.seek(0)
                    for line in _lines(file):
                        reading(line)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        hint = "; ask as root" if isinstance(fault, PermissionError) else ""
        exits.stop(exits.PROBLEM, f"The log cannot be read: {where}{fault.strerror or fault}{hint}")
    except EOFError as fault:  # a compressed file that is cut off
        exits.stop(exits.PROBLEM, f"The log cannot be read: {fault}")
    journeys = search.journeys()
    waiting = _in_queue(config, [each for each in journeys if is_open(each)])
    for journey in journeys:
        entries = waiting.get(journey.key, [])
        if as_json:
            queue = [as_told(entry) for entry in entries]
            told = {"id": journey.key, "state": state_of(journey, entries), "steps": journey.steps, "queue": queue}
            click.echo(json.dumps(told))
        else:
            click.echo(tell(journey, entries))
    if search.passed_over:
        click.echo(f"{search.passed_over} older ones left out (--limit).", err=True)
    if not journeys:
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


def _in_queue(config: Config | None, journeys: list[Journey]) -> dict[str, list[Entry]]:
    """What the queue, running or stopped, says of these messages now, by queue id; nothing when it cannot be asked: the
    story in the log is told all the same."""
    found: dict[str, list[Entry]] = {}
    if config is None or not journeys:
        return found
    wanted = {journey.key for journey in journeys}

    def take(entry: Entry) -> None:
        if entry["queue_id"] in wanted:
            found.setdefault(entry["queue_id"], []).append(entry)

    selections = [Selection(key) for key in sorted(wanted)] if len(wanted) <= _ASKED_SINGLY else [Selection()]
    try:
        for selection in selections:
            ask(config, "show", selection, take)
    except QueueUnreachableError as fault:
        if is_running(config.data_dir):
            click.echo(f"What waits is not known: {fault}", err=True)
        elif config.spool_dir.is_dir():
            with suppress(OSError, SpoolError, MissingRecord):
                for entry in read_stopped(config, Selection()):
                    take(entry)
    return found


def _files(stack: ExitStack, log_path: str | None, config: Config | None, since: float) -> list[IO[bytes]]:
    """What is read, oldest first; every file can be read twice."""
    if log_path == "-":
        return [_kept(stack)]
    if log_path:
        path = Path(log_path)
    else:
        assert config is not None
        path = _configured(config)
    earliest = time.time() - since if since else 0.0
    return [stack.enter_context(_open(each)) for each in _rotated(path, earliest)]


def _kept(stack: ExitStack) -> IO[bytes]:
    """Standard input, kept aside so that it can be read twice."""
    kept = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the stack closes it
    for line in _lines(sys.stdin.buffer):
        kept.write(line)
    return kept


def _configured(config: Config) -> Path:
    destination = config.log.destination
    if destination in ("stdout", "stderr"):
        exits.stop(
            exits.USAGE,
            f"The log goes to {destination} (log.destination), so give it to this command:\n"
            "  journalctl -u relay -o cat | relay trace --log - WORD...      or      relay trace --log FILE WORD...",
        )
    return Path(destination)


def _rotated(path: Path, earliest: float) -> list[Path]:
    """``path`` and those that logrotate made of it (``.1``, ``.2.gz``, ``-20260101``), without those older than
    ``earliest``, oldest first."""
    beside = [each for each in path.parent.glob(f"{path.name}[.-]*") if each.is_file()]
    dated = [(each.stat().st_mtime, each) for each in beside]
    return [each for changed, each in sorted(dated) if changed >= earliest] + [path]


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; one without an end is cut into pieces, which are no lines of ours."""
    while line := file.readline(LONGEST_LINE):
        yield line
