"""``relay bench``: the front of the benchmarks, which live beside the package in the source tree (benchmarks/)."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click

from relay.cli import exits

_ROOT = Path(__file__).resolve().parents[2]


@click.command("bench", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Measure Relay, and other mail servers beside it, on this machine.

    The same as "python -m benchmarks"; "relay bench --help" names the scenarios. Needs the source tree.
    """
    if not (_ROOT / "benchmarks" / "command.py").exists():
        exits.stop(exits.CANNOT_START, "The benchmarks are part of the source tree, not of the installed package.")
    compile_load_generator()
    sys.path.insert(0, str(_ROOT))
    benchmarks: click.Group = import_module("benchmarks.command").main
    benchmarks.main(args=list(words), prog_name=context.command_path, standalone_mode=True)


def compile_load_generator() -> None:
    """What is compiled below benchmarks/, where that was not done yet: ``make run`` leaves it out."""
    missing = [
        source
        for source in (_ROOT / "benchmarks").rglob("*.pyx")
        if not any(source.parent.glob(f"{source.stem}.*{suffix}") for suffix in (".so", ".pyd"))
    ]
    if not missing:
        return
    click.echo("Compiling the load generator, once", err=True)
    words = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(  # noqa: S603 (our own build)
        words, cwd=_ROOT, env=os.environ | {"RELAY_WITH": "benchmarks"}, check=False
    )
    if done.returncode:
        exits.stop(exits.CANNOT_START, "The load generator could not be compiled.")
