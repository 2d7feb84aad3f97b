"""Annotations (RFC 5464): small values by name, of a mailbox in ``relay-annotations`` in its folder, of the account in
``relay-annotations-account`` in the account's.

Theory: a file a mailbox goes where its mailbox goes: it is renamed, deleted and restored with it. Each is text, a line
an entry, its value in base64, replaced as a whole under the account's lock. A line that is damaged is left out.

Bounds: octets of a value, entries of a mailbox, octets of all files of an account. Names are in lower case and checked
where they come in (relay/imap/metadata.py).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from relay.mailbox.account_root import replace
from relay.mailbox.files import read_file
from relay.mailbox.vocabulary import MAX_ANNOTATIONS, Refusal, Refused

NAME: Final = "relay-annotations"
ACCOUNT: Final = "relay-annotations-account"
MAX_ACCOUNT: Final = 4 * 1024 * 1024
"""Octets of the files of an account."""
_HEADER: Final = "relay annotations 1\n"


def read(path: Path) -> dict[str, bytes]:
    """The values by name; none when there is no file."""
    try:
        lines = read_file(path).decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines[1:]:
        name, _, value = line.rpartition(" ")
        try:
            found[name] = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:  # binascii.Error, or a sign that is not ASCII
            continue
    return found


def change(path: Path, changes: Mapping[str, bytes | None], others: Iterable[Path]) -> None:
    """Sets values, or removes those that are None; *published*. All or none: Refused LIMIT for too many, OVER_QUOTA
    when the account has no room for them. ``others``: the account's other files. The caller holds the account's
    lock."""
    before = read(path)
    after = {name: value for name, value in {**before, **changes}.items() if value is not None}
    if len(after) > max(MAX_ANNOTATIONS, len(before)):
        raise Refused(Refusal.LIMIT, "there are as many annotations as there may be")
    lines = [f"{name} {binascii.b2a_base64(value, newline=False).decode()}\n" for name, value in sorted(after.items())]
    text = _HEADER + "".join(lines)
    if len(text) > _size(path) and len(text) + sum(map(_size, others)) > MAX_ACCOUNT:
        raise Refused(Refusal.OVER_QUOTA, "the account has no room for more annotations")
    if after != before:
        replace(path, text)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
