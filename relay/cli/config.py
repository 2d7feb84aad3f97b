"""``relay config``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from relay.cli import configuration, exits
from relay.config.effective import Effective, effective
from relay.config.kinds import parse_toml_value
from relay.config.reference import example, reference


@click.group("config")
def command() -> None:
    """Show the settings in force, a sample file, or the reference of all settings."""


@command.command("show")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--all", "shows_all", is_flag=True, help="Those that have their default, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@configuration.config_option
def show_command(keys: tuple[str, ...], shows_all: bool, as_json: bool, config_path: Path | None) -> None:
    """The settings that are set, and by which file and line or variable.

    KEY is a setting or a table (`smtp`, `admin.port`, `listener[1]`): these alone, with those that have their default.
    Secrets are not shown, but where they come from is. Exits 1 when there is nothing to show.
    """
    loaded = configuration.load_located_or_stop(config_path)
    shown = [each for each in effective(loaded) if (_is_wanted(each.key, keys) if keys else shows_all or each.place)]
    for each in shown:
        click.echo(json.dumps(_as_table(each), ensure_ascii=False) if as_json else _line(each))
    if not shown:
        raise SystemExit(exits.PROBLEM)


def _is_wanted(key: str, keys: tuple[str, ...]) -> bool:
    return any(key == each or (key.startswith(each) and key[len(each)] in ".[") for each in keys)


def _line(each: Effective) -> str:
    return f"{each.key} = {each.text or '(not given)'}  # {each.place or 'default'}"


def _as_table(each: Effective) -> dict[str, object]:
    value = (each.text if each.is_secret else parse_toml_value(each.text)) if each.text else None
    source, line = each.place or ("", 0)
    return {"key": each.key, "value": value, "source": source, "line": line}


@command.command("example")
def example_command() -> None:
    """A sample relay.toml: every setting with its default, commented out."""
    click.echo(example(), nl=False)


@command.command("reference")
def reference_command() -> None:
    """Every setting: meaning, kind, range, default, environment variable (Markdown)."""
    click.echo(reference(), nl=False)
