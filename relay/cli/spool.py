"""``relay spool``: reads what is on disk; changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from relay.cli import configuration, exits
from relay.cli.data_dir import spool_or_stop
from relay.cli.entry_text import rfc3339
from relay.control.client import is_running


@click.group("spool")
def command() -> None:
    """Look at what is on disk. Nothing is changed."""


@command.command("verify")
@click.option("--quiet", is_flag=True, help="Print damage only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@configuration.config_option
def verify(quiet: bool, as_json: bool, config_path: Path | None) -> None:
    """Check every octet of the spool: segments, records, large contents, journals.

    Meant for a stopped appliance; on a running one, what is being written at the moment may be reported.
    """
    from relay.spool import verify as findings

    config = configuration.load_or_stop(config_path)
    spool_or_stop(config)
    if is_running(config.data_dir):
        click.echo("The appliance is running: what is being written now may be reported.", err=True)
    damages = 0
    with Console(stderr=True).status("Checking", spinner="line"):
        for finding in findings(config.spool_dir):
            damages += finding.level == "damage"
            if finding.level == "damage" or not quiet:
                text = f"{finding.level:<6} {finding.where}: {finding.text}"
                click.echo(json.dumps(finding._asdict()) if as_json else text)
    if damages:
        exits.stop(exits.PROBLEM, f"{damages} damaged")
    if not quiet and not as_json:
        click.echo("no damage")


@command.command("dump")
@click.option("--log", type=click.IntRange(min=0), metavar="NUMBER", help="Only the records of this log.")
@configuration.config_option
def dump(log: int | None, config_path: Path | None) -> None:
    """Print the head and envelope of every record, finished or not, one JSON object a line."""
    from relay.spool import dump as records
    from relay.spool import list_logs

    config = configuration.load_or_stop(config_path)
    spool_or_stop(config)
    if log is not None and log not in list_logs(config.spool_dir):
        exits.stop(exits.PROBLEM, f"there is no log {log} in {config.spool_dir}")
    for record in records(config.spool_dir, log):
        envelope = record.envelope
        client = envelope.client._asdict()
        fields = {
            "log": record.log,
            "segment": record.segment,
            "offset": record.offset,
            "sequence": record.sequence,
            **envelope._asdict(),
            "received_at": rfc3339(envelope.received_at),
            "client": {name: value for name, value in client.items() if value},
            "carried": envelope.carried and envelope.carried._asdict(),
            "content_size": record.content_size,
            "is_large": record.large is not None,
        }
        click.echo(json.dumps(fields, default=_text))


def _text(value: object) -> str:
    """Addresses are octets; those that are not UTF-8 are shown by their escapes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
