"""``relay check``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from relay.cli import configuration, exits
from relay.config import Config


@click.command("check")
@configuration.config_option
def command(config_path: Path | None) -> None:
    """Check the configuration file, the environment that overrides it, the account file and the certificates.

    Reports every error at once, each with file, line and key. Nothing is started or changed.
    """
    from relay.auth import AccountError, AccountFile
    from relay.net.certificates import CertificateError
    from relay.net.tls import load_all

    config = configuration.load_or_stop(config_path)
    try:
        if configuration.source_of(config_path).path is not None:  # else the demo, which makes its account at start
            check_postmaster(config)
        accounts = len(AccountFile(config.accounts_path).list())
        certificates = load_all(config)
    except (AccountError, CertificateError) as error:
        exits.stop(exits.CONFIGURATION, str(error))
    now = datetime.now(UTC)
    for each in certificates:
        if trouble := each.trouble(now):
            click.echo(f"{each.files.cert}: {trouble}", err=True)
    click.echo(f"{configuration.source_of(config_path)}: no errors")
    click.echo(_summary(config, accounts, min((each.expires_at for each in certificates), default=None)))


def check_postmaster(config: Config) -> None:
    """Ends the command when `postmaster` names nobody; warns when there is nobody. Raises AccountError."""
    from relay.auth import AccountFile
    from relay.policy import postmaster_trouble

    try:
        trouble, is_error = postmaster_trouble(config, AccountFile(config.accounts_path))
    except (OSError, ValueError) as fault:
        exits.stop(exits.CONFIGURATION, str(fault))
    if is_error:
        exits.stop(exits.CONFIGURATION, trouble)
    if trouble:
        click.echo(f"warning: {trouble}", err=True)


def _summary(config: Config, accounts: int, expires_at: datetime | None) -> str:
    """What the configuration comes to; ``expires_at`` is when the first certificate expires, if there is one."""
    tls = f"{len(config.certificates)} certificates, the first expires {expires_at:%Y-%m-%d}" if expires_at else ""
    listeners = ", ".join(f"{each.name} on {show_endpoint(each.address, each.port)}" for each in config.listeners)
    lines = [
        f"  hostname   {config.hostname}",
        f"  data       {config.data_dir}",
        f"  listeners  {listeners}",
        f"  tls        {tls or 'a self-signed certificate for ' + config.hostname}",
        f"  domains    {len(config.domains.local)} local ({accounts} accounts), {len(config.relay_domains)} relayed",
        f"  other mail {'to ' + str(config.smarthost) if config.smarthost else 'by MX lookup'}",
    ]
    return "\n".join(lines)


def show_endpoint(address: str, port: int) -> str:
    """Address and port as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
