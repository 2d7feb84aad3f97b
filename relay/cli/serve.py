"""``relay serve``: prepares the data directory, then hands over to the supervisor."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from relay.auth import AccountError, AccountFile
from relay.cli import configuration, exits
from relay.cli.banner import Surroundings, banner
from relay.cli.check import of_postmaster
from relay.cli.data_dir import make_data_dir
from relay.config import Config, ConfigErrors
from relay.config.demo import DEMO_ACCOUNT
from relay.config.load import Loaded

if TYPE_CHECKING:
    from relay.net.listeners import Endpoint
    from relay.supervisor.premises import Finding

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
    examination = Examination(source)
    try:
        config = examination.load()  # before all that is imported next, so that errors come quickly
    except ConfigErrors as errors:
        configuration.stop_for(errors)
    examination.account_or_stop(config)
    from relay.supervisor import preload
    from relay.supervisor.main import Bound, serve
    from relay.workers.roles import ROLES

    preload.import_everything()
    if source.path is None:
        try:
            make_demo_account(config)
        except (OSError, AccountError) as fault:
            exits.stop(exits.CANNOT_START, f"{config.data_dir} cannot be used: {fault}")

    examination.print_or_stop(of_postmaster(config))

    def on_ready(serving: Config, bound: Bound) -> None:
        text = banner(serving, bound, str(source), is_demo=source.path is None, surroundings=surroundings_of(serving))
        # With a configuration, standard output may belong to the log.
        click.echo(text, err=source.path is not None)

    try:
        code = serve(examination.load, ROLES, on_ready=on_ready, premises=examination)
    except ConfigErrors as errors:
        configuration.stop_for(errors)
    raise SystemExit(code)


class Examination:
    """Reads the configuration, and says for the supervisor what the machine lacks for it: with file and line."""

    def __init__(self, source: configuration.Source) -> None:
        self._source = source
        self._loaded: Loaded | None = None

    def load(self) -> Config:
        """The configuration as it is now. Raises ConfigErrors."""
        self._loaded = self._source.load()
        return self._loaded.config

    def account_or_stop(self, config: Config) -> None:
        """Ends the command when nobody can serve it."""
        from relay.supervisor import premises

        if faults := self._errors(premises.account(config)):
            exits.stop(exits.CANNOT_START, "\n".join(["relay: cannot start:", *(f"  {fault}" for fault in faults)]))

    def print_or_stop(self, findings: Iterable[Finding]) -> None:
        """Prints findings about the settings on standard error; ends the command when there is an error among them."""
        assert self._loaded is not None
        found = list(findings)
        for each in found:
            level = "error" if each.is_error else "warning"
            click.echo(f"{level}: {self._loaded.locate(each.path, each.text)}", err=True)
        if any(each.is_error for each in found):
            raise SystemExit(exits.CONFIGURATION)

    def of_files(self, config: Config) -> list[str]:
        """What this process, which is the account that serves, cannot use."""
        from relay.supervisor import premises

        faults = self._errors(premises.needed_by_account(config))
        faults += self._errors(premises.read_certificates(config)[1]) if not faults else []
        faults += self._errors(of_postmaster(config))
        if os.geteuid() != 0 and (fault := premises.unreadable_code()):
            faults.append(fault)
        return faults

    def of_ports(self, config: Config, endpoints: tuple[Endpoint, ...]) -> list[str]:
        """Of ``endpoints`` those that this process cannot open."""
        from relay.supervisor import ports

        # What is a warning to `relay check`, which may not be run by whoever starts Relay, is an error here.
        found = ports.of_listeners(config, endpoints)
        return self._errors(each._replace(is_error=True) for each in found)

    def _errors(self, findings: Iterable[Finding]) -> list[str]:
        assert self._loaded is not None
        return [str(self._loaded.locate(each.path, each.text)) for each in findings if each.is_error]


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
