"""What the mailboxes of one account share: the folder, the limits, and a small file of notes.

``relay-account`` holds the last UIDVALIDITY that was given (so that a mailbox made again under an old name never has an
old one, RFC 9051 2.3.1.1), which mailbox has which special use (RFC 6154), and whether the account has been given its
first mailboxes (defaults.py). Lines of text, replaced as a whole under
a lock on the folder itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox.files import read_file, replacing
from relay.mailbox.limits import NO_BOUND, NO_LIMITS, Bound, Limits
from relay.mailbox.maildir import sync_directory
from relay.mailbox.names import name_of
from relay.mailbox.troubles import SILENT, Troubles
from relay.net.locks import lock

NAME: Final = "relay-account"
MAX_UIDVALIDITY: Final = (1 << 32) - 1


class Notes(NamedTuple):
    """What the file says."""

    uidvalidity: int = 0
    special_uses: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - never changed in place
    """By mailbox folder, ``""`` for INBOX."""
    has_defaults: bool = False
    """The account was given its first mailboxes."""


class Root:
    """The account's folder; for use by several threads."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = NO_LIMITS,
        now: Callable[[], float] = time.time,
        troubles: Troubles = SILENT,
    ) -> None:
        self.folder = folder
        self.troubles = troubles
        self.limits = limits
        self.now = now

    def notes(self) -> Notes:
        """What the file says now; empty when there is none, or it is damaged or cannot be read."""
        return _parse(self.known(NAME))

    def known(self, name: str) -> str:
        """What a small file beside the mailboxes says, for looking only: nothing when it cannot be read."""
        try:
            return read_text(self.folder / name)
        except OSError as fault:
            self.troubles.report(self.folder / name, fault)
            return ""

    def bound_of(self, mailbox: Path) -> Bound:
        """The limits of its own that the mailbox with this folder has."""
        if not self.limits.bounds:
            return NO_BOUND
        folder = "" if mailbox == self.folder else mailbox.name
        known = {name_of(folder) if folder else "INBOX", *self.notes().special_uses.get(folder, ())}
        return next((each for each in self.limits.bounds if each.mailbox in known), NO_BOUND)

    def next_uidvalidity(self) -> int:
        """One that no mailbox of the account had before; *published*."""
        with self._changing() as notes:
            value = min(max(int(self.now()), notes.uidvalidity + 1), MAX_UIDVALIDITY)
            self._publish(notes._replace(uidvalidity=value))
        return value

    def set_special_uses(self, change: Callable[[dict[str, tuple[str, ...]]], None]) -> None:
        """Lets ``change`` change the table; *published*. What it raises leaves everything as it was."""
        with self._changing() as notes:
            table = dict(notes.special_uses)
            change(table)
            if {folder: uses for folder, uses in table.items() if uses} == notes.special_uses:
                return
            self._publish(notes._replace(special_uses={folder: uses for folder, uses in table.items() if uses}))

    def mark_defaults(self) -> None:
        """Notes that the account was given its first mailboxes; *published*."""
        with self._changing() as notes:
            self._publish(notes._replace(has_defaults=True))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Against others who change what the mailboxes share; the lock dies with its process."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Notes]:
        with self.locked():
            yield _parse(read_text(self.folder / NAME))

    def _publish(self, notes: Notes) -> None:
        lines = ["relay account 1", f"uidvalidity {notes.uidvalidity}"]
        lines += [f"special-use {use} {folder}" for folder, uses in notes.special_uses.items() for use in uses]
        if notes.has_defaults:
            lines.append("defaults given")
        replace(self.folder / NAME, "\n".join(lines) + "\n")


def replace(path: Path, text: str) -> None:
    """Writes the file as a whole beside, and publishes it; the caller holds a lock against others who do. OSError: it
    is as it was before."""
    before = read_file(path) if os.path.lexists(path) else None
    with replacing(path, durable=True) as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    try:
        sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            if before is None:
                os.unlink(path)
            else:
                with replacing(path) as file:
                    file.write(before)
        raise


def read_text(path: Path) -> str:
    """What such a file says; nothing when there is none."""
    try:
        return read_file(path).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def _parse(text: str) -> Notes:
    uidvalidity = 0
    uses: dict[str, tuple[str, ...]] = {}
    has_defaults = False
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "uidvalidity" and value.isdecimal():
            uidvalidity = int(value)
        elif key == "special-use":
            use, _, folder = value.partition(" ")
            uses[folder] = (*uses.get(folder, ()), use)
        elif key == "defaults":
            has_defaults = True
    return Notes(uidvalidity, uses, has_defaults)
