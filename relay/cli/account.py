"""``relay account``: who has a mailbox here. Running workers see a change within a second."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from relay.auth import AccountError, AccountFile
from relay.auth.entries import Account
from relay.auth.passwords import weakness
from relay.cli import app_password, configuration, exits
from relay.cli.data_dir import enter_or_stop, make_data_dir
from relay.config import Config
from relay.config.kinds import Mail
from relay.mailbox.maildir import folder_of

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("account")
def command() -> None:
    """Manage the accounts: who has a mailbox here and may log in.

    The first account gets mail for postmaster unless the configuration says otherwise. A running appliance notices
    changes by itself.
    """


command.add_command(app_password.command)


_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _password_options(command_function: _Command) -> _Command:
    generated = click.option("--generate", is_flag=True, help="Make up a password and print it.")
    from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of input.")
    allow_weak = click.option("--allow-weak", is_flag=True, help="Take a password that is easily guessed.")
    return generated(from_stdin(allow_weak(command_function)))


@command.command("add")
@click.argument("address")
@_password_options
@_json
@configuration.config_option
def add(
    address: str, password_stdin: bool, generate: bool, allow_weak: bool, as_json: bool, config_path: Path | None
) -> None:
    """Add the account ADDRESS (local-part@domain); asks for a password."""
    config = configuration.load_or_stop(config_path)
    try:
        Mail().parse(address)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="ADDRESS") from None
    password = _password(password_stdin, generate)
    _refuse_weak(password, address, allow_weak)
    added = _change(lambda accounts: accounts.add(address, password), config)
    _report("added", added, password if generate else None, as_json=as_json)
    domain = added.rpartition("@")[2]
    if domain not in config.domains.local:
        click.echo(f"Note: {domain} is not in domains.local, so mail for it is not delivered here.", err=True)


@command.command("passwd")
@click.argument("address")
@_password_options
@_json
@configuration.config_option
def passwd(
    address: str, password_stdin: bool, generate: bool, allow_weak: bool, as_json: bool, config_path: Path | None
) -> None:
    """Give the account ADDRESS a new password."""
    config = configuration.load_or_stop(config_path)
    _found(config, address)  # before anybody thinks of a password
    password = _password(password_stdin, generate)
    _refuse_weak(password, address, allow_weak)
    changed = _change(lambda accounts: accounts.passwd(address, password), config)
    _report("has a new password", changed, password if generate else None, as_json=as_json)


@command.command("remove")
@click.argument("address")
@_json
@configuration.config_option
def remove(address: str, as_json: bool, config_path: Path | None) -> None:
    """Remove the account ADDRESS. Its mailbox stays on disk."""
    config = configuration.load_or_stop(config_path)
    removed = _change(lambda accounts: accounts.remove(address), config)
    _report("removed", removed, None, as_json=as_json)


@command.command("list")
@_json
@configuration.config_option
def list_accounts(as_json: bool, config_path: Path | None) -> None:
    """Print the accounts' addresses, one a line, in the order they were added."""
    config = configuration.load_or_stop(config_path)
    enter_or_stop(config)
    try:
        accounts = AccountFile.of(config).list()
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    for account in accounts:
        click.echo(json.dumps(_public(account, config)) if as_json else account.address)


@command.command("show")
@click.argument("address")
@_json
@configuration.config_option
def show(address: str, as_json: bool, config_path: Path | None) -> None:
    """Print what is known of the account ADDRESS: its mailbox, how it can log in, its app passwords."""
    config = configuration.load_or_stop(config_path)
    facts = _public(_found(config, address), config)
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"address        {facts['address']}")
    click.echo(
        f"mailbox        {facts['mailbox']}{'' if facts['has_mailbox'] else ' (made with the first mail or login)'}"
    )
    click.echo(f"logs in with   {', '.join(facts['mechanisms'])}")
    for each in facts["app_passwords"]:
        click.echo(f"app password   {each['name']} for {', '.join(each['protocols'])}, made on {each['made_on']}")


def _public(account: Account, config: Config) -> dict[str, Any]:
    """What may be shown of an account: no hashes and no keys."""
    folder = folder_of(config.mail_dir, account.address.encode())
    return {
        "address": account.address,
        "mailbox": str(folder),
        "has_mailbox": folder.is_dir(),
        "mechanisms": ["PLAIN", "LOGIN", *(["SCRAM-SHA-256"] if account.scram else [])],
        "app_passwords": [app_password.public(each) for each in account.app_passwords],
    }


def _found(config: Config, address: str) -> Account:
    enter_or_stop(config)
    try:
        account = AccountFile(config.accounts_path).find(address)
    except AccountError as error:
        exits.stop(exits.PROBLEM, str(error))
    if account is None:
        exits.stop(exits.PROBLEM, f"there is no account {address}")
    return account


def _change(change: Callable[[AccountFile], str], config: Config) -> str:
    from relay.supervisor.privileges import PrivilegeError

    enter_or_stop(config)
    try:
        make_data_dir(config)
        return change(AccountFile.of(config))
    except (AccountError, OSError, PrivilegeError) as error:
        exits.stop(exits.PROBLEM, str(error))


def _refuse_weak(password: str, address: str, allow_weak: bool) -> None:
    found = "" if allow_weak or not password else weakness(password, address)
    if found:
        exits.stop(
            exits.PROBLEM,
            f"the password {found}. Choose another, or let one be made: --generate. (--allow-weak takes it.)",
        )


def _report(what: str, address: str, password: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"address": address, "done": what} | ({"password": password} if password else {})))
        return
    click.echo(f"{address} {what}")
    if password is not None:
        click.echo(f"password: {password}")


def _password(from_stdin: bool, generate: bool) -> str:
    if from_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if generate:
        return secrets.token_urlsafe(15)
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
