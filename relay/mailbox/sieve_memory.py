"""What a filter remembers for one account: whom it answered, what it redirected, which messages it has seen.

A file ``sieve/memory`` below the Maildir: lines ``EXPIRY KIND KEY``, the expiry in seconds since the epoch, the key as
a hash (no address is written down). Later lines win; one with expiry 0 forgets. A line is written and synced before
``add`` returns; a torn last line is passed over. The file is rewritten when most of it is past, and holds at most
``LIMIT`` live entries: those that expire first go.

Several threads and processes may use it: each call holds a lock on the file while it reads and writes. Blocking.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from relay.mailbox.files import open_file, read_file, require_folder
from relay.mailbox.scripts import FOLDER
from relay.net.locks import lock

LIMIT: Final = 10_000
_SLACK: Final = 1_000
_AT_ONCE: Final = 60
"""Seconds by which those that add one key at once may differ."""


class Memory:
    """That of the account whose Maildir is ``maildir``. ``kind`` is one word: vacation, redirect, ..."""

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self._path = maildir / FOLDER / "memory"

    def knows(self, kind: str, key: str, now: float, longest: float = math.inf) -> bool:
        """Whether it was added and has not expired at ``now`` (seconds since the epoch). One that has more than
        ``longest`` seconds left was added while the clock was ahead, and counts as expired."""
        return now < self._until(kind, key) <= now + longest + _AT_ONCE

    def count(self, kind: str, after: float) -> int:
        """How many entries of a kind expire after ``after``."""
        return sum(1 for (each, _), until in self._live(after).items() if each == kind)

    def add(self, kind: str, key: str, until: float, now: float) -> bool:
        """Remembers it until then; *synced* when it returns. Whether it was not known at ``now``: of several that add
        one key at once, one is told so. What was to be remembered longer was added while the clock was ahead."""
        return self._write(kind, key, int(until) + 1, now)

    def forget(self, kind: str, key: str, now: float) -> None:
        """As if it had never been added."""
        self._write(kind, key, 0, now)

    def _until(self, kind: str, key: str) -> int:
        return self._live(0).get((kind, _hashed(key)), 0)

    def _live(self, after: float) -> dict[tuple[str, str], int]:
        try:
            octets = read_file(self._path)
        except FileNotFoundError:
            return {}
        return _parse(octets, after)

    def _write(self, kind: str, key: str, until: int, now: float) -> bool:
        line = f"{until} {kind} {_hashed(key)}\n"
        with self._locked() as descriptor:
            size = os.fstat(descriptor).st_size
            octets = os.pread(descriptor, size, 0)
            is_new = not now < _parse(octets, now).get((kind, _hashed(key)), 0) <= until + _AT_ONCE
            lines = octets.count(b"\n")
            if lines >= LIMIT + _SLACK:
                self._rewrite(octets + line.encode(), now)
                return is_new
            if octets and not octets.endswith(b"\n"):  # torn by a crash
                line = "\n" + line
            os.pwrite(descriptor, line.encode(), size)
            os.fdatasync(descriptor)
        return is_new

    def _rewrite(self, octets: bytes, now: float) -> None:
        live = sorted(_parse(octets, now).items(), key=lambda item: item[1])[-LIMIT:]
        temporary = self._path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}")
        with temporary.open("xb") as file:
            file.writelines(f"{until} {kind} {key}\n".encode() for (kind, key), until in live)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, locked; not one that was renamed away while we waited."""
        while True:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            require_folder(self._path.parent)
            descriptor = open_file(self._path, os.O_CREAT | os.O_RDWR)
            try:
                lock(descriptor)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), os.lstat(self._path)):
                        yield descriptor
                        return
            finally:
                os.close(descriptor)


def _parse(octets: bytes, after: float) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for line in octets.decode("ascii", "replace").split("\n")[: 2 * (LIMIT + _SLACK)]:
        words = line.split(" ")
        if len(words) == 3 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 16:
            found[words[1], words[2]] = int(words[0])
    return {key: until for key, until in found.items() if until > after}


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
