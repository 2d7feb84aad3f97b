"""Maildir: one folder per mailbox, one file per message, published by a rename.

Theory: a message is written under a unique name in ``tmp``, synced, renamed into ``new``, and ``new`` is synced: a
reader sees all of it or nothing, and after that no crash loses it. Lines end in LF on disk, as every program that
reads Maildirs expects; the CRLF of the wire is converted here, in one place.

Not here: which mailbox an address has (relay/policy, relay/queue routing), the header fields added on delivery
(relay/delivery/local.py), UIDs and flags.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def folder_of(mail_dir: Path, mailbox: bytes) -> Path:
    """Where the maildir of ``mailbox`` (``local@domain``) is: ``mail_dir/<domain>/<local>``.

    Octets that could mean something to a file system are percent-encoded; different mailboxes never share a folder.
    ValueError when there is no local part or no domain, or either is too long for a file name.
    """
    raise NotImplementedError


class Maildir:
    """One maildir. Blocking: for a thread."""

    def __init__(self, path: Path) -> None: ...

    def deliver(self, parts: Iterable[bytes | memoryview]) -> str:
        """Writes the concatenated ``parts`` (CRLF lines) as one new message and returns its file name in ``new``.
        Durable (*published*) when it returns; OSError otherwise, and then nothing of it stays."""
        raise NotImplementedError
