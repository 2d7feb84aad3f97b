"""``relay mailbox``: an account's mailboxes, beside a running appliance. Sessions see what is changed here."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from relay.cli import configuration, exits
from relay.cli.data_dir import enter_or_stop
from relay.cli.entry_text import printable
from relay.config import Config
from relay.config.units import parse_duration, show_size

if TYPE_CHECKING:
    from relay.mailbox.importing import Imported
    from relay.mailbox.store import FolderStore
    from relay.mailbox.vocabulary import Quota

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_mailbox = click.option("--mailbox", "name", metavar="NAME", help="Only this mailbox, such as INBOX or Work/2026.")


@click.group("mailbox")
def command() -> None:
    """Look at mailboxes, check them, bring removed messages back.

    ADDRESS is the account's (local-part@domain). All of it works beside a running appliance.
    """


@command.command("list")
@click.argument("address")
@_json
@configuration.config_option
def list_mailboxes(address: str, as_json: bool, config_path: Path | None) -> None:
    """Print the mailboxes of ADDRESS, one a line, with subscription and special use."""
    with _store(config_path, address) as store:
        listed = store.list()
    for each in listed:
        if as_json:
            click.echo(json.dumps(each._asdict()))
            continue
        marks = [*each.special_use, *(["subscribed"] if each.subscribed else []), *([] if each.exists else ["missing"])]
        click.echo(f"{printable(each.name)}  {' '.join(marks)}".rstrip())


@command.command("status")
@click.argument("address")
@_mailbox
@_json
@configuration.config_option
def status(address: str, name: str | None, as_json: bool, config_path: Path | None) -> None:
    """Print messages, sizes and UIDs of the mailboxes of ADDRESS, and its quota."""
    with _store(config_path, address) as store:
        found = {each: store.status(each) for each in ([name] if name else store.names())}
        bounds = {each: store.mailbox_quota(each) for each in found}
        quota = store.quota()
    if as_json:
        click.echo(json.dumps({"mailboxes": {each: of._asdict() for each, of in found.items()}, **quota._asdict()}))
        return
    for each, of in found.items():
        numbers = f"{of.messages} messages, {of.unseen} unseen, {of.deleted} marked deleted, {show_size(of.size)}"
        click.echo(
            f"{printable(each)}: {numbers}, UIDVALIDITY {of.uidvalidity}, next UID {of.uidnext}{_limit(bounds[each])}"
        )
    limit = f" of {show_size(quota.octets_limit)}" if quota.octets_limit else ""
    messages = f" of {quota.messages_limit}" if quota.messages_limit else ""
    click.echo(f"uses {show_size(quota.octets)}{limit} in {quota.messages}{messages} messages")


def _limit(quota: Quota) -> str:
    """The limits that a mailbox has of its own."""
    octets = f", at most {show_size(quota.octets_limit)}" if quota.octets_limit else ""
    return octets + (f", at most {quota.messages_limit} messages" if quota.messages_limit else "")


@command.command("fsck")
@click.argument("address")
@click.option("--deep", is_flag=True, help="Also read every message and compare its size with its name.")
@_json
@configuration.config_option
def fsck(address: str, deep: bool, as_json: bool, config_path: Path | None) -> None:
    """Check every mailbox of ADDRESS: log, names, files. What other programs did is taken over, as at every login."""
    from relay.mailbox.restore import check

    damages = 0
    with _store(config_path, address) as store:
        for finding in check(store, deep=deep):
            damages += finding.is_damage
            if as_json:
                click.echo(json.dumps(finding._asdict()))
            else:
                text = printable(f"{finding.mailbox}: {finding.text}")
                click.echo(f"{'damage' if finding.is_damage else 'ok':<6} {text}")
    if damages:
        exits.stop(exits.PROBLEM, f"{damages} damaged")


@command.command("rebuild")
@click.argument("address")
@_mailbox
@configuration.config_option
def rebuild(address: str, name: str | None, config_path: Path | None) -> None:
    """Throw away the index of ADDRESS and make it anew. UIDs and flags stay."""
    with _store(config_path, address) as store:
        for each in [name] if name else store.names():
            store.mailbox(each).rebuild()
            click.echo(f"{printable(each)}: index made anew")


@command.command("restore")
@click.argument("address")
@click.option("--since", default="14d", show_default=True, metavar="TIME", help="What was removed in this time.")
@_mailbox
@click.option("--dry-run", is_flag=True, help="Only print what would be restored.")
@configuration.config_option
def restore(address: str, since: str, name: str | None, dry_run: bool, config_path: Path | None) -> None:
    """Bring back messages of ADDRESS that were removed, into the mailboxes they were in."""
    from relay.mailbox import deleted
    from relay.mailbox.restore import restore as put_back

    after = time.time() - _seconds(since)
    with _store(config_path, address) as store:
        if dry_run:
            found: dict[str, int] = {}
            for each in deleted.kept(store.root.folder):
                if each.removed >= after and name in {None, each.mailbox}:
                    found[each.mailbox] = found.get(each.mailbox, 0) + 1
        else:
            found = put_back(store, after, name)
    for mailbox, count in sorted(found.items()):
        click.echo(f"{printable(mailbox)}: {count} {'to restore' if dry_run else 'restored'}")
    if not found:
        exits.stop(exits.PROBLEM, "nothing was removed in that time")


@command.command("purge")
@click.argument("address")
@click.option("--older-than", metavar="TIME", help="Default: mailbox.deleted_retention.")
@configuration.config_option
def purge(address: str, older_than: str | None, config_path: Path | None) -> None:
    """Remove for good what ADDRESS removed longer ago than it is kept; expire messages as configured.

    Running workers do the same by themselves.
    """
    from relay.mailbox.upkeep import keep_up

    config = configuration.load_or_stop(config_path)
    retention = config.mailbox.deleted_retention if older_than is None else _seconds(older_than)
    with _disk_faults(), _opened(config, address) as store:
        done = keep_up(store, config.mailbox, retention)
    click.echo(f"{done.expired} expired, {done.purged} removed for good")


@command.command("export")
@click.argument("address")
@click.argument("name")
@click.option("--format", "kind", type=click.Choice(["mbox", "tar"]), default="mbox", show_default=True)
@click.option("--output", "-o", type=click.Path(dir_okay=False), default="-", help="A file; default: standard output.")
@configuration.config_option
def export(address: str, name: str, kind: str, output: str, config_path: Path | None) -> None:
    """Write the mailbox NAME of ADDRESS as an mbox, or as a tar of a Maildir.

    Flags, keywords and dates are in both; a Maildir has room for 26 keywords. What cannot be read is
    named and left out.
    """
    from relay.mailbox.exporting import export_mbox, export_tar

    with _disk_faults(), _written(output) as out, _store(config_path, address) as store:
        view = store.open(name, read_only=True)
        if os.path.isfile(output):
            out.truncate(0)
        left = export_mbox(view, out) if kind == "mbox" else export_tar(view, out, name.replace("/", "."))
    for each in left:
        click.echo(f"UID {each.uid}: {each.cause}", err=True)
    click.echo(f"{len(view) - len(left)} messages", err=True)
    if left:
        exits.stop(exits.PROBLEM, f"{len(left)} left out")


@command.command("import")
@click.argument("address")
@click.argument("name")
@click.argument("source", type=click.Path(exists=True, allow_dash=True))
@configuration.config_option
def import_messages(address: str, name: str, source: str, config_path: Path | None) -> None:
    """Append the messages of SOURCE to the mailbox NAME of ADDRESS.

    SOURCE is an mbox file, a Maildir folder, a tar of one as "relay mailbox export" writes it, or - for standard
    input. The mailbox is made if it is not there. Flags, keywords and dates come along.
    """
    from relay.mailbox.vocabulary import INBOX

    taken = left = 0
    try:
        with ExitStack() as stack:
            stack.enter_context(_disk_faults())
            file = None if Path(source).is_dir() else stack.enter_context(_read(source))
            store = stack.enter_context(_store(config_path, address, make=True))
            if name.upper() != INBOX and name not in store.names():
                store.create(name)
            for each in _imported(store, name, Path(source), file):
                taken, left = (taken, left + 1) if each.trouble else (taken + 1, left)
                if each.trouble:
                    click.echo(printable(f"{each.name}: {each.trouble}"), err=True)
    except ValueError as fault:
        exits.stop(exits.PROBLEM, str(fault))
    finally:
        click.echo(f"{taken} messages", err=True)
    if left:
        exits.stop(exits.PROBLEM, f"{left} not taken in")


def _imported(store: FolderStore, name: str, source: Path, file: BufferedReader | None) -> Iterator[Imported]:
    from relay.mailbox.importing import import_maildir, import_mbox, import_tar, is_tar

    if file is None:
        return import_maildir(store, name, source)
    return (import_tar if is_tar(file.peek(512)) else import_mbox)(store, name, file)


@contextmanager
def _read(source: str) -> Iterator[BufferedReader]:
    with open(0 if source == "-" else source, "rb", closefd=source != "-") as file:
        yield file


@contextmanager
def _written(output: str) -> Iterator[IO[bytes]]:
    """The file, opened before we become the mailbox's owner but not emptied yet, or standard output; everything is
    written when it ends well."""
    with open(1, "wb", closefd=False) if output == "-" else open(output, "ab") as file:
        yield file


@contextmanager
def _store(config_path: Path | None, address: str, *, make: bool = False) -> Iterator[FolderStore]:
    with _disk_faults(), _opened(configuration.load_or_stop(config_path), address, make=make) as store:
        yield store


@contextmanager
def _disk_faults() -> Iterator[None]:
    """What the disk refuses ends the command."""
    try:
        yield
    except OSError as fault:
        exits.stop(exits.PROBLEM, f"{fault.strerror}: {fault.filename}" if fault.filename else str(fault.strerror))


@contextmanager
def _opened(config: Config, address: str, *, make: bool = False) -> Iterator[FolderStore]:
    """The account's store; what it refuses ends the command. ``make``: an account that has no mailbox yet gets one."""
    from relay.auth import AccountError
    from relay.control.account_files import NotAnAddressError, NothingThereError, open_store
    from relay.mailbox.vocabulary import Refused

    enter_or_stop(config)
    try:
        yield open_store(config, address, make=make)
    except NotAnAddressError:
        raise click.UsageError(f"not an address: {address}") from None
    except (NothingThereError, AccountError) as fault:
        exits.stop(exits.PROBLEM, str(fault))
    except Refused as refused:
        exits.stop(exits.PROBLEM, refused.text)
    sys.stdout.flush()


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise click.UsageError(f"{text}: {fault}") from None
