"""``relay config``."""

from __future__ import annotations

import click

from relay.config.reference import example, reference


@click.group("config")
def command() -> None:
    """Print a sample file, or the reference of all settings."""


@command.command("example")
def example_command() -> None:
    """A sample relay.toml: every setting with its default, commented out."""
    click.echo(example(), nl=False)


@command.command("reference")
def reference_command() -> None:
    """Every setting: meaning, kind, range, default, environment variable (Markdown)."""
    click.echo(reference(), nl=False)
