"""What the scheduler hands to dispatch: actions to carry out, and what follows from outcomes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from relay.mail.outcome import Outcome
from relay.queue.entry import Entry
from relay.queue.group import Connection

JournalEntry = tuple[Any, ...]
"""As docs/SPOOL.md has them: ("finished", log, segment, offset, indexes or None), ("deferred", ...) and so on."""


class Notice(NamedTuple):
    """A DSN that is owed to the reverse-path. None is ever made for the null reverse-path."""

    kind: Literal["bounce", "delay"]
    log: int
    segment: int
    offset: int
    failures: tuple[tuple[int, Outcome], ...]
    """(index of the recipient in the record's envelope, its outcome), by index."""
    expires_at: int
    """When the message is given up (for the text of a delay notice); microseconds since the epoch."""


class Settled:
    """What follows from the outcomes of one entry.

    Dispatch appends ``journal``. With a bounce ``notice`` it then syncs the journal, reads the record, spools the
    DSN, and once that is spooled appends ``Scheduler.notice_spooled(notice)``. A delay notice needs no sync first.
    """

    __slots__ = ("entry", "indexes", "journal", "notice", "outcomes")

    def __init__(
        self,
        entry: Entry,
        journal: list[JournalEntry],
        notice: Notice | None,
        outcomes: tuple[Outcome, ...],
        indexes: tuple[int, ...] | None,
    ) -> None:
        self.entry = entry
        self.journal = journal
        self.notice = notice
        self.outcomes = outcomes
        """One per recipient the entry had, in order; for the log."""
        self.indexes = indexes
        """Those recipients: indexes into the record's envelope; None: all of them."""


class Connect(NamedTuple):
    """Open a connection to ``connection.group.hop``; report connection_opened or connection_failed."""

    connection: Connection


class Wake(NamedTuple):
    """There is work for an idle connection: it should call take()."""

    connection: Connection


class Quit(NamedTuple):
    """End this connection once it is idle (QUIT); report connection_closed when it is over."""

    connection: Connection


class Resolve(NamedTuple):
    """Look up where ``domain`` goes; report resolved, unresolved or rejected with ``key``."""

    key: str
    domain: str


class Settle(NamedTuple):
    """An entry expired, is owed a delay notice, or its domain was rejected: treat as what done() returns."""

    settled: Settled


Action = Connect | Wake | Quit | Resolve | Settle
