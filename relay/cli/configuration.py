"""Which configuration a command works with, and how errors in it are shown.

The file given with ``--config`` (a folder stands for ``relay.toml`` in it), else the one that ``RELAY_CONFIG`` names,
else ``/etc/relay/relay.toml`` when it, or a file in ``/etc/relay/relay.d``, is there, else the demo with its data in
``relay-data`` below the current folder. The environment overrides all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import click

from relay.cli import exits
from relay.config import Config, ConfigErrors, demo, sources
from relay.config.load import Loaded, load_located

SYSTEM_FILE: Final = Path("/etc/relay/relay.toml")
DEMO_FOLDER: Final = "relay-data"
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Source(NamedTuple):
    """Where the settings come from."""

    path: Path | None
    """None: the demo."""

    def load(self) -> Loaded:
        """Reads it now, so also for a reload. Raises ConfigErrors."""
        if self.path is not None:
            return load_located(self.path, os.environ)
        return load_located(None, os.environ, demo(Path(DEMO_FOLDER)))

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else "the built-in demo"


def source_of(path: Path | None) -> Source:
    """The source for the value of ``--config``."""
    if path is not None:
        return Source(sources.main_file(path.absolute()))
    return Source(SYSTEM_FILE if sources.are_there(SYSTEM_FILE) else None)


def load_or_stop(path: Path | None) -> Config:
    """The configuration for the value of ``--config``; ends the command with all errors when there are any."""
    return load_located_or_stop(path).config


def load_located_or_stop(path: Path | None) -> Loaded:
    """As ``load_or_stop``, for those who have more to say about the settings."""
    try:
        return source_of(path).load()
    except ConfigErrors as errors:
        stop_for(errors)


def stop_for(errors: ConfigErrors) -> NoReturn:
    """Shows all errors and ends the command."""
    count = len(errors.errors)
    summary = f"{count} error{'s' if count > 1 else ''} in the configuration; every setting: relay config reference"
    exits.stop(exits.CONFIGURATION, f"{errors}\n{summary}")


def config_option(command: _Command) -> _Command:
    """``--config PATH`` for a command, passed as ``config_path``."""
    return click.option(
        "--config",
        "-c",
        "config_path",
        type=click.Path(path_type=Path),
        envvar="RELAY_CONFIG",
        metavar="PATH",
        help=f"Configuration file, or its folder. Else $RELAY_CONFIG, else {SYSTEM_FILE}, else the demo in "
        f"./{DEMO_FOLDER}.",
    )(command)
