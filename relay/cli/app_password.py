"""``relay account app-password``: passwords for single clients, so that a lost phone costs one of them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import click

from relay.auth import AccountError, AccountFile
from relay.auth.entries import PROTOCOLS, AppPassword
from relay.cli import configuration, exits
from relay.cli.data_dir import enter_or_stop
from relay.config import Config

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


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
@_json
@configuration.config_option
def add(address: str, name: str, protocols: str, as_json: bool, config_path: Path | None) -> None:
    """Make an app password called NAME for the account ADDRESS and print it, once."""
    config = configuration.load_or_stop(config_path)
    accounts = _accounts(config)
    try:
        password = accounts.add_app_password(address, name, protocols.split(","), date.today())  # noqa: DTZ011 - people's day
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    shown = "-".join(password[at : at + 5] for at in range(0, len(password), 5))
    click.echo(json.dumps({"name": name, "password": shown}) if as_json else f"password: {shown}")
    click.echo("It cannot be shown again. The hyphens may be left out.", err=True)


@command.command("list")
@click.argument("address")
@_json
@configuration.config_option
def list_passwords(address: str, as_json: bool, config_path: Path | None) -> None:
    """Print the app passwords of ADDRESS: name, protocols, the day it was made."""
    config = configuration.load_or_stop(config_path)
    try:
        account = _accounts(config).find(address)
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    if account is None:
        exits.stop(exits.PROBLEM, f"there is no account {address}")
    for each in account.app_passwords:
        text = f"{each.name}\t{','.join(each.protocols)}\t{each.made_on}"
        click.echo(json.dumps(public(each)) if as_json else text)


def public(password: AppPassword) -> dict[str, Any]:
    """What may be shown of an app password."""
    return {"name": password.name, "protocols": list(password.protocols), "made_on": password.made_on}


@command.command("remove")
@click.argument("address")
@click.argument("name")
@_json
@configuration.config_option
def remove(address: str, name: str, as_json: bool, config_path: Path | None) -> None:
    """Take the app password NAME of the account ADDRESS away; it counts at once."""
    config = configuration.load_or_stop(config_path)
    try:
        changed = _accounts(config).remove_app_password(address, name)
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    done = {"address": changed, "name": name, "done": "removed"}
    click.echo(json.dumps(done) if as_json else f"{changed}: app password {name} removed")


def _accounts(config: Config) -> AccountFile:
    enter_or_stop(config)
    return AccountFile.of(config)
