r"""FETCH of short things, a run of messages at a time (RFC 9051 6.4.5).

Theory: what a client asks of its whole mailbox after SELECT is short and known: numbers, flags, and what is kept beside
each message (ENVELOPE, BODYSTRUCTURE, header fields). Worked out message by message it costs more in calls than in
work; so each item gives its values for a run as a column, and rows are joined from the columns. A message of which
something is not kept yet has no row: it goes the way of all others (fetch.py), which keeps it for the next time.

Invariant: a row is what fetch.py would write for the same message.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Sequence

from relay.imap import responses
from relay.imap.state import State
from relay.mailbox.ports import View
from relay.mailbox.vocabulary import Refused

Column = Callable[[State, Sequence[int]], Sequence[bytes | None]]
"""The values of messages by index, with the item's name; None for one that is not known without its file."""

FIELDS: range = range(32, 64)
"""Numbers of what is kept beside a message (View.cache) for chosen header fields."""


def rows(state: State, run: Sequence[int], columns: Sequence[Column]) -> list[bytes | None]:
    """A response for each message; None for one that has no row."""
    try:
        parts = [column(state, run) for column in columns]
    except Refused:  # one of them is gone: they are told apart one by one
        return [None] * len(run)
    made: list[bytes | None] = []
    for index, values in zip(run, zip(*parts, strict=True), strict=True):
        known = [value for value in values if value is not None]
        is_whole = len(known) == len(values)
        made.append(b"* %d FETCH (%b)\r\n" % (index + 1, b" ".join(known)) if is_whole else None)
    return made


def uids(state: State, run: Sequence[int]) -> list[bytes]:
    """UID."""
    known = state.view.uids
    return [b"UID %d" % known[index] for index in run]


def flags(state: State, run: Sequence[int]) -> list[bytes]:
    """FLAGS; few messages have flags that no other has."""
    masks = state.view.flags
    made = {mask: b"FLAGS " + state.flag_list(mask) for mask in {masks[index] for index in run}}
    return [made[masks[index]] for index in run]


def modseqs(state: State, run: Sequence[int]) -> list[bytes]:
    """MODSEQ (RFC 7162)."""
    known = state.view.modseqs
    return [b"MODSEQ (%d)" % known[index] for index in run]


def sizes(state: State, run: Sequence[int]) -> list[bytes]:
    """RFC822.SIZE."""
    return [b"RFC822.SIZE %d" % size for size in map(state.view.size, run)]


def internal_dates(state: State, run: Sequence[int]) -> list[bytes]:
    """INTERNALDATE."""
    return [b"INTERNALDATE " + responses.internal_date(at) for at in map(state.view.internal_date, run)]


def kept(kind: int, label: bytes) -> Column:
    """What is kept beside each message under the number ``kind``."""

    def column(state: State, run: Sequence[int]) -> list[bytes | None]:
        return [value if value is None else label + value for value in state.view.cached_run(run, kind)]

    return column


def kept_fields(label: bytes) -> Column:
    """Chosen header fields: ``label`` says which."""
    kind = _kind(label)
    lead = label + b" "

    def column(state: State, run: Sequence[int]) -> list[bytes | None]:
        values = state.view.cached_run(run, kind)
        return [value if value is not None and value.startswith(lead) else None for value in values]

    return column


def keep_fields(view: View, index: int, label: bytes, response: bytes) -> None:
    """Keeps chosen header fields with their label in front, unless others have their place: a mailbox whose clients
    want different fields must not write them again each time."""
    kind = _kind(label)
    if view.cached(index, kind) is None:
        view.cache(index, kind, response)


def _kind(label: bytes) -> int:
    return FIELDS[crc32(label) % len(FIELDS)]
