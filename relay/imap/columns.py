r"""FETCH of short things, a run of messages at a time (RFC 9051 6.4.5).

Theory: what a client asks of its whole mailbox after SELECT is short and known: numbers, flags, and what is kept beside
each message (ENVELOPE, BODYSTRUCTURE, header fields). Worked out message by message it costs more in calls than in
work; so each item gives its values for a run as a column, and rows are joined from the columns, in C. One of which
something is not kept yet has no row: it goes the way of all others (fetch.py), which keeps it for the next time.

Invariant: a row is what fetch.py would write for the same message.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Sequence
from typing import Final

from relay.imap._rows import Numbers, Texts, dates, joined
from relay.imap.state import State
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import Refused

Column = Callable[[State, list[int]], Numbers | Texts]
"""The values of messages by index, with the item's name."""

FIELDS: range = range(64, 80)
"""Numbers of what is kept beside a message (View.cache) for chosen header fields."""
MOST_KEPT: Final = 4096
"""Octets of chosen header fields, with the words that chose them: a client may choose in many ways, and what is kept
should not be many times the message."""


def rows(state: State, run: list[int], columns: Sequence[Column]) -> list[bytes | int]:
    """Responses of the messages of ``run``, those of neighbours together; the index of each that has no row."""
    try:
        return joined(run, [column(state, run) for column in columns])
    except (Refused, OSError):  # one of them is gone, or cannot be read: they are told apart one by one
        return list[bytes | int](run)


def uids(state: State, run: list[int]) -> Numbers | Texts:
    """UID."""
    known = state.view.uids
    return Numbers(b"UID ", [known[index] for index in run])


def flags(state: State, run: list[int]) -> Numbers | Texts:
    """FLAGS; few messages have flags that no other has."""
    masks = state.view.flags
    wanted = [masks[index] for index in run]
    made = {mask: state.flag_list(mask) for mask in set(wanted)}
    return Texts(b"FLAGS ", [made[mask] for mask in wanted])


def modseqs(state: State, run: list[int]) -> Numbers | Texts:
    """MODSEQ (RFC 7162)."""
    known = state.view.modseqs
    return Numbers(b"MODSEQ (", [known[index] for index in run], b")")


def sizes(state: State, run: list[int]) -> Numbers | Texts:
    """RFC822.SIZE."""
    return Numbers(b"RFC822.SIZE ", state.view.sizes(run))


def internal_dates(state: State, run: list[int]) -> Numbers | Texts:
    """INTERNALDATE."""
    return Texts(b"INTERNALDATE ", dates(state.view.internal_dates(run)))


def kept(kind: int, label: bytes) -> Column:
    """What is kept beside each message under the number ``kind``."""

    def column(state: State, run: list[int]) -> Numbers | Texts:
        return Texts(label, state.view.cached_run(run, kind))

    return column


def kept_fields(label: bytes) -> Column:
    """Chosen header fields: ``label`` says which."""
    kind = _kind(label)
    lead = label + b" "

    def column(state: State, run: list[int]) -> Numbers | Texts:
        values = state.view.cached_run(run, kind)
        return Texts(b"", [value if value is not None and value.startswith(lead) else None for value in values])

    return column


def wholes(label: bytes) -> Column:
    """Messages as they are."""

    def column(state: State, run: list[int]) -> Numbers | Texts:
        return Texts(label + b" ", state.view.wholes(run), are_literals=True)

    return column


def keep_fields(view: View, index: int, label: bytes, response: bytes) -> None:
    """Keeps chosen header fields with their label in front, unless others have their place: a mailbox whose clients
    want different fields must not write them again each time."""
    kind = _kind(label)
    if len(response) <= MOST_KEPT and view.cached(index, kind) is None:
        view.cache(index, kind, response)


def _kind(label: bytes) -> int:
    return FIELDS[crc32(label) % len(FIELDS)]
