"""``relay sieve``: scripts of accounts, checked, stored and tried out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from relay.auth import AccountError
from relay.cli import configuration, exits
from relay.cli.data_dir import enter_or_stop
from relay.control.account_files import NotAnAddressError, NothingThereError, open_scripts
from relay.mailbox.scripts import ScriptRefused, Scripts
from relay.sieve import Environment, MessageView, Result, RunError, Script, ScriptError, compile_script, evaluate
from relay.sieve.actions import Keep
from relay.sieve.errors import Problem

_T = TypeVar("_T")


@click.group("sieve")
def command() -> None:
    """Filter scripts (Sieve, RFC 5228): check them, try them out, manage those of an account."""


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@_json
def check(file: Path, as_json: bool) -> None:
    """Check the script in FILE ("-": standard input); print all of its errors."""
    if as_json:
        problems = _problems(_read(file))
        click.echo(json.dumps({"file": str(file), "problems": [each._asdict() for each in problems]}))
        if problems:
            raise SystemExit(exits.PROBLEM)
        return
    _compile(_read(file), str(file))
    click.echo(f"{file}: correct")


@command.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("message", type=click.Path(path_type=Path))
@click.option("--from", "reverse_path", default=None, help="Reverse-path; otherwise that in Return-Path.")
@click.option("--to", "recipient", default="", help="Recipient; otherwise that in Delivered-To.")
@_json
def test(file: Path, message: Path, reverse_path: str | None, recipient: str, as_json: bool) -> None:
    """Print what the script FILE would do with MESSAGE (a file), and why, step by step. Nothing is done.

    MESSAGE may be a file of a Maildir. What the account's memory holds (who was answered, what was seen) and its
    mailboxes are not looked at: every mailbox counts as there.
    """
    script = _compile(_read(file), str(file))
    content = _read(message).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    view = MessageView(content, len(content), lambda: content)
    return_path = next(iter(view.values("Return-Path")), "<>").strip().strip("<>")
    delivered_to = next(iter(view.values("Delivered-To")), "")
    steps: list[dict[str, int | str]] = []
    environment = Environment(
        now=datetime.fromtimestamp(time.time()).astimezone(),
        reverse_path=return_path if reverse_path is None else reverse_path,
        recipient=recipient or delivered_to,
        mailbox_exists=lambda _name: True,
        load=lambda location, name: _included(file, location, name),
        trace=lambda line, text: steps.append({"line": line, "text": text}) if as_json else _print_step(line, text),
    )
    try:
        result = evaluate(script, view, environment)
    except RunError as fault:
        exits.stop(exits.PROBLEM, f"{file}: {fault}\nThe message would be kept in INBOX.")
    if as_json:
        click.echo(json.dumps({"steps": steps, "does": _done(result)}))
        return
    for line in ("", "The script", *(f"  {each}" for each in _done(result))):
        click.echo(line)


def _print_step(line: int, text: str) -> None:
    click.echo(f"line {line}: {text}")


@command.command("list")
@click.argument("address")
@_json
@configuration.config_option
def list_scripts(address: str, as_json: bool, config_path: Path | None) -> None:
    """Print the names of the scripts of the account ADDRESS, one a line, and which is active."""
    for each in _do(address, config_path, lambda scripts: scripts.list()):
        if as_json:
            click.echo(json.dumps({"name": each.name, "is_active": each.is_active}))
        else:
            click.echo(f"{each.name}\tactive" if each.is_active else each.name)


@command.command("get")
@click.argument("address")
@click.argument("name")
@configuration.config_option
def get(address: str, name: str, config_path: Path | None) -> None:
    """Print the script NAME of the account ADDRESS."""
    sys.stdout.buffer.write(_do(address, config_path, lambda scripts: scripts.get(name)))


@command.command("put")
@click.argument("address")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@configuration.config_option
def put(address: str, name: str, file: Path, config_path: Path | None) -> None:
    """Check the script in FILE ("-": standard input) and store it as NAME for the account ADDRESS."""
    octets = _read(file)
    _compile(octets, str(file))
    _do(address, config_path, lambda scripts: scripts.put(name, octets))
    click.echo(f"{address}: {name} stored; it runs once it is active")


@command.command("activate")
@click.argument("address")
@click.argument("name", default="")
@configuration.config_option
def activate(address: str, name: str, config_path: Path | None) -> None:
    """Make NAME the script that is run for mail to the account ADDRESS; without NAME none of its own is run."""
    _do(address, config_path, lambda scripts: scripts.activate(name))
    click.echo(f"{address}: {name} is active" if name else f"{address}: no script is active")


@command.command("delete")
@click.argument("address")
@click.argument("name")
@configuration.config_option
def delete(address: str, name: str, config_path: Path | None) -> None:
    """Delete the script NAME of the account ADDRESS; the active one cannot be deleted."""
    _do(address, config_path, lambda scripts: scripts.delete(name))
    click.echo(f"{address}: {name} deleted")


def _do(address: str, config_path: Path | None, work: Callable[[Scripts], _T]) -> _T:
    config = configuration.load_or_stop(config_path)
    enter_or_stop(config)
    try:
        return work(open_scripts(config, address))
    except OSError as fault:
        exits.stop(exits.PROBLEM, f"{fault.filename or config.data_dir}: {fault.strerror or fault}")
    except (ScriptRefused, NotAnAddressError, NothingThereError, AccountError, ValueError) as fault:
        exits.stop(exits.PROBLEM, str(fault))


def _compile(octets: bytes, name: str) -> Script:
    try:
        return compile_script(octets)
    except ScriptError as fault:
        exits.stop(exits.PROBLEM, "\n".join(f"{name}: {each}" for each in fault.problems))


def _problems(octets: bytes) -> list[Problem]:
    try:
        compile_script(octets)
    except ScriptError as fault:
        return fault.problems
    return []


def _included(file: Path, location: str, name: str) -> Script | None:
    """Beside FILE, whatever the location."""
    del location
    path = file.with_name(f"{name}.sieve")
    return compile_script(path.read_bytes()) if path.is_file() else None


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as fault:
        exits.stop(exits.PROBLEM, f"{file}: {fault.strerror}")


def _done(result: Result) -> list[str]:
    done: list[str] = []
    for store in result.stores:
        name = "INBOX" if isinstance(store, Keep) else store.mailbox
        flags = f" with the flags {' '.join(store.flags)}" if store.flags else ""
        done.append(f"stores it in {name}{flags}{' with an edited header' if store.header is not None else ''}")
    done += [f"redirects it to {each.address}" for each in result.redirects]
    if result.reject is not None:
        done.append(f"rejects it: {result.reject.reason}")
    if result.vacation is not None:
        done.append("answers the sender (vacation), unless the sender is a program or was answered before")
    if result.is_discarded:
        done.append("discards it")
    return done
