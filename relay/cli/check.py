"""``relay check``."""

from __future__ import annotations

from pathlib import Path

import click

from relay.cli import configuration, exits
from relay.config import Config


@click.command("check")
@configuration.config_option
def command(config_path: Path | None) -> None:
    """Check the configuration file, the environment that overrides it, and the account file.

    Reports every error at once, each with file, line and key. Nothing is started or changed.
    """
    from relay.auth import AccountError, AccountFile

    config = configuration.load_or_stop(config_path)
    try:
        accounts = len(AccountFile(config.accounts_path).list())
    except AccountError as error:
        exits.stop(exits.CONFIGURATION, str(error))
    click.echo(f"{configuration.source_of(config_path)}: no errors")
    click.echo(_summary(config, accounts))


def _summary(config: Config, accounts: int) -> str:
    listeners = ", ".join(f"{each.name} on {show_endpoint(each.address, each.port)}" for each in config.listeners)
    lines = [
        f"  hostname   {config.hostname}",
        f"  data       {config.data_dir}",
        f"  listeners  {listeners}",
        f"  domains    {len(config.domains.local)} local ({accounts} accounts), {len(config.relay_domains)} relayed",
        f"  other mail {'to ' + str(config.smarthost) if config.smarthost else 'by MX lookup'}",
    ]
    return "\n".join(lines)


def show_endpoint(address: str, port: int) -> str:
    """Address and port as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
