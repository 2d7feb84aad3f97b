"""``relay account app-password``: passwords for single clients, so that a lost phone costs one of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from relay.auth import AccountError, AccountFile
from relay.auth.entries import PROTOCOLS
from relay.cli import configuration, exits
from relay.config import Config


@click.group("app-password")
def command() -> None:
    """Manage app passwords: one for each phone or program, which can be taken away by itself.

    Relay makes them up and shows each once. They are for plain password logins (PLAIN, LOGIN, USER and PASS), not for
    SCRAM. They stay when the account gets a new password.
    """


@command.command("add")
@click.argument("address")
@click.argument("name")
@click.option("--for", "protocols", default=",".join(PROTOCOLS), show_default=True, help="What it opens.")
@configuration.config_option
def add(address: str, name: str, protocols: str, config_path: Path | None) -> None:
    """Make an app password called NAME for the account ADDRESS and print it, once."""
    config = configuration.load_or_stop(config_path)
    accounts = _accounts(config)
    try:
        password = accounts.add_app_password(address, name, protocols.split(","), date.today())  # noqa: DTZ011 - people's day
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    click.echo(f"password: {'-'.join(password[at : at + 5] for at in range(0, len(password), 5))}")
    click.echo("It cannot be shown again. The hyphens may be left out.", err=True)


@command.command("list")
@click.argument("address")
@configuration.config_option
def list_passwords(address: str, config_path: Path | None) -> None:
    """Print the app passwords of ADDRESS: name, protocols, the day it was made."""
    config = configuration.load_or_stop(config_path)
    try:
        account = _accounts(config).find(address)
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    if account is None:
        exits.stop(exits.PROBLEM, f"there is no account {address}")
    for each in account.app_passwords:
        click.echo(f"{each.name}\t{','.join(each.protocols)}\t{each.made_on}")


@command.command("remove")
@click.argument("address")
@click.argument("name")
@configuration.config_option
def remove(address: str, name: str, config_path: Path | None) -> None:
    """Take the app password NAME of the account ADDRESS away; it counts at once."""
    config = configuration.load_or_stop(config_path)
    try:
        changed = _accounts(config).remove_app_password(address, name)
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    click.echo(f"{changed}: app password {name} removed")


def _accounts(config: Config) -> AccountFile:
    return AccountFile.of(config)
