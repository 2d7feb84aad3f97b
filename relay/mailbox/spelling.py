"""Folders whose names another program has written otherwise than we do: letters decomposed (NFD), as macOS has them.

Mailbox names are in Normalization Form C (RFC 5198 2, names.py), so that a name means one mailbox, whoever types it. A
folder that another program has made under another form of its name gets the one that it should have as soon as it is
seen. When there is a mailbox of this name already, the other one becomes ``Name (2)``: both are there, and told apart.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from relay.mailbox import names
from relay.mailbox.account_root import Root
from relay.mailbox.maildir import is_mailbox, sync_directory
from relay.mailbox.vocabulary import Refused

MAX_OF_ONE_NAME: Final = 9


def is_there(root: Root, name: str) -> bool:
    """Whether there is a mailbox of this checked name; a folder under another form of it is renamed first."""
    if is_mailbox(str(root.folder / names.folder_name(name))):
        return True
    if name.isascii():
        return False
    with os.scandir(root.folder) as entries:
        others = [entry.name for entry in entries if entry.name.startswith(".") and names.name_of(entry.name) == name]
    return any(adopt(root, other) == name for other in others)


def adopt(root: Root, folder: str) -> str | None:
    """Renames ``folder``, whose name is not in Normalization Form C; the name of the mailbox that it is now, or None
    when it cannot be renamed, or is none."""
    name = names.name_of(folder)
    if name is None or not is_mailbox(str(root.folder / folder)):
        return None
    for new in _names(name):
        try:
            os.rename(root.folder / folder, root.folder / names.folder_name(new))
        except OSError as fault:
            if fault.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                continue
            return None
        sync_directory(root.folder)
        _rename_uses(root, folder, names.folder_name(new))
        return new
    return None


def _names(name: str) -> Iterator[str]:
    yield name
    for number in range(2, MAX_OF_ONE_NAME + 1):
        try:
            yield names.checked(f"{name} ({number})")
        except Refused:  # too long
            return


def _rename_uses(root: Root, folder: str, new: str) -> None:
    if folder in root.notes().special_uses:
        root.set_special_uses(lambda table: table.update({new: table.pop(folder, ())}))
