"""``relay serve``: prepares the data directory, then hands over to the supervisor."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Final

import click

from relay.auth import AccountError, AccountFile
from relay.cli import configuration, exits
from relay.cli.banner import Surroundings, banner
from relay.cli.data_dir import make_data_dir
from relay.config import Config, ConfigErrors
from relay.config.demo import DEMO_ACCOUNT

DEMO_FILE: Final = "demo-password"
_PROGRAMS: Final = ("swaks", "curl", "smtp-sink")


@click.command("serve")
@configuration.config_option
def command(config_path: Path | None) -> None:
    """Run the appliance in the foreground.

    \b
    SIGHUP   reads the configuration again; one with errors is refused
    SIGTERM  takes no more mail, lets sessions finish, and exits;
             a second one exits at once

    Without a configuration it serves a demo on loopback ports, keeps its data in ./relay-data, and prints three things
    to try.
    """
    source = configuration.source_of(config_path)
    config = configuration.load_or_stop(config_path)  # before all that is imported next, so that errors come quickly
    from relay.supervisor.main import Bound, serve
    from relay.workers.roles import ROLES

    if source.path is None:
        try:
            make_demo_account(config)
        except (OSError, AccountError) as fault:
            exits.stop(exits.CANNOT_START, f"{config.data_dir} cannot be used: {fault}")

    def on_ready(serving: Config, bound: Bound) -> None:
        text = banner(serving, bound, str(source), is_demo=source.path is None, surroundings=surroundings_of(serving))
        # With a configuration, standard output may belong to the log.
        click.echo(text, err=source.path is not None)

    try:
        code = serve(source.load, ROLES, on_ready=on_ready)
    except ConfigErrors as errors:
        configuration.stop_for(errors)
    raise SystemExit(code)


def make_demo_account(config: Config) -> None:
    """Makes the demo account, with a generated password in a file that only its owner can read. Does nothing when the
    account is there. Raises OSError and AccountError."""
    make_data_dir(config)
    accounts = AccountFile.of(config)
    if DEMO_ACCOUNT.encode() in accounts.addresses():
        return
    password = secrets.token_urlsafe(12)
    path = config.data_dir / DEMO_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(password + "\n")
    accounts.add(DEMO_ACCOUNT, password)


def surroundings_of(config: Config) -> Surroundings:
    """What is installed here, and how the commands are typed from the current folder."""
    return Surroundings(
        programs=frozenset(name for name in _PROGRAMS if shutil.which(name)),
        python=_typed(Path(sys.executable)),
        relay=_typed(Path(sys.argv[0]))
        if os.access(sys.argv[0], os.X_OK)
        else f"{_typed(Path(sys.executable))} -m relay.cli",
        password_file=_typed(config.data_dir / DEMO_FILE),
        is_root=os.geteuid() == 0,
    )


def _typed(path: Path) -> str:
    """``path`` from the current folder, where that is shorter."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)
