"""The ``relay`` command: thin click commands over the parts that do the work.

Each command is imported when it is used, so that ``relay --help`` and ``relay queue list`` start quickly.
"""

from __future__ import annotations

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click

from relay import __version__
from relay.cli.exits import HELP
from relay.control.output import OutputClosedError

_COMMANDS: Final = {
    "serve": "Run the appliance in the foreground.",
    "check": "Check the configuration; report all errors at once.",
    "trace": "Tell what became of a message, step by step, and why.",
    "queue": "Look at the queue and act on what waits in it.",
    "spool": "Look at what is on disk.",
    "account": "Manage the accounts.",
    "mailbox": "Look at mailboxes, check them, bring removed messages back.",
    "sieve": "Filter scripts of accounts: check, try out, manage.",
    "dns": "Print the DNS records that a domain needs.",
    "config": "Print a sample file, or the reference of all settings.",
    "bench": "Measure it, and other mail servers beside it, on this machine.",
    "version": "Print the versions of Relay and of what it runs on.",
}
"""Each lives in the module of its name as ``command``."""


class _Commands(click.Group):
    """Knows the commands by name; imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            command: click.Command = import_module(f"relay.cli.{cmd_name}").command
            return command
        if near := get_close_matches(cmd_name, _COMMANDS, 1):
            ctx.fail(f"No such command '{cmd_name}'. Did you mean '{near[0]}'?")
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; when whoever reads its output has gone (``| head``), ends as if by SIGPIPE, silently."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except (BrokenPipeError, OutputClosedError):
            end_by_sigpipe()


def end_by_sigpipe() -> NoReturn:
    """Ends this process as programs end whose output nobody reads."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(128 + signal.SIGPIPE)  # it is blocked here


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=HELP)
@click.version_option(__version__, "--version", "-V", message="relay %(version)s")
def main() -> None:
    """Relay, a mail edge appliance: it takes mail in over SMTP, keeps it safely on disk, and brings it to the next
    server or to a local mailbox.

    Begin with "relay serve": without a configuration it serves a demo on loopback ports and prints what to try.
    """
