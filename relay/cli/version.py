"""``relay version``."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

import click

import relay

_SHOWN: Final = ("uvloop", "dnspython", "aiohttp", "msgpack")


@click.command("version")
def command() -> None:
    """Print the versions of Relay and of what it runs on."""
    click.echo(f"relay {relay.__version__}")
    click.echo(f"  {platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    click.echo("  " + ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN))
