"""Changes to a header section: fields to add, to remove, to change.

Theory: an edit names a field by its name and by which of those it is, counted from the top, as checks and milters see
them. Edits are made one after another, each on what the one before has left, in a time linear in the header section for
each edit. What an edit does not name stays octet for octet.

Invariant: a field that comes out of here is whole: its name is one (RFC 5322 2.2), its lines end in CRLF, and each but
the first begins with a blank; so an edit cannot end the header section or bring in a second field.

Not here: which edits there are (the checks), where the header section is (content.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

TOP: Final = 0
BOTTOM: Final = -1
ALL: Final = 0
_FIELD: Final = re.compile(rb"[!-9;-~]+:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*")
_NAME: Final = re.compile(rb"[!-9;-~]+")


class Add(NamedTuple):
    """A field that is put in."""

    field: bytes
    """The whole field, ``Name: value`` with its folds and its CRLF."""
    position: int = TOP
    """How many fields stay above it; BOTTOM: below all."""


class Remove(NamedTuple):
    """Fields that are taken out."""

    name: bytes
    number: int = ALL
    """Which of that name, from 1; ALL of them otherwise. One that is not there is no error."""


class Change(NamedTuple):
    """A field that another one takes the place of; put in at the bottom where there is none to change."""

    name: bytes
    field: bytes
    number: int = 1
    """Which of that name, from 1."""


Edit = Add | Remove | Change


def check(edit: Edit) -> None:
    """Raises ValueError for an edit that would break the header section."""
    if not isinstance(edit, Add) and not _NAME.fullmatch(edit.name):
        raise ValueError(f"not a field name: {edit.name!r}")
    if not isinstance(edit, Remove) and not _FIELD.fullmatch(edit.field):
        raise ValueError(f"not a whole field: {edit.field[:60]!r}")


def apply(header: bytes, edits: Iterable[Edit]) -> bytes:
    """``header``, a header section without the empty line that ends it, with ``edits`` made in their order. Raises
    ValueError as check()."""
    fields = split(header)
    for edit in edits:
        check(edit)
        if isinstance(edit, Add):
            at = len(fields) if edit.position == BOTTOM else min(edit.position, len(fields))
            fields.insert(at, edit.field)
            continue
        found = [at for at, field in enumerate(fields) if name_of(field).lower() == edit.name.lower()]
        if isinstance(edit, Remove):
            gone = set(found if edit.number == ALL else found[edit.number - 1 : edit.number])
            fields = [field for at, field in enumerate(fields) if at not in gone]
        elif len(found) >= edit.number:
            fields[found[edit.number - 1]] = edit.field
        else:
            fields.append(edit.field)
    return b"".join(fields)


def split(header: bytes) -> list[bytes]:
    """The fields of ``header``, each with its folds and line ends; put together again they are ``header``. A line that
    is no field counts as one without a name."""
    fields: list[bytes] = []
    begins = 0
    at = header.find(b"\n") + 1
    while at:
        if header[at : at + 1] not in (b" ", b"\t"):
            fields.append(header[begins:at])
            begins = at
        at = header.find(b"\n", at) + 1
    if begins < len(header):
        fields.append(header[begins:])
    return fields


def name_of(field: bytes) -> bytes:
    """The name of a field as it is written; empty for a line that is no field."""
    name, colon, _ = field.partition(b":")
    name = name.rstrip(b" \t")
    return name if colon and _NAME.fullmatch(name) else b""


def named(edit: Edit) -> bytes:
    """What ``edit`` does, for the log: without the field's value."""
    if isinstance(edit, Add):
        return b"field added: " + name_of(edit.field)
    return (b"field removed: " if isinstance(edit, Remove) else b"field changed: ") + edit.name
