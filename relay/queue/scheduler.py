"""The scheduler of one delivery worker: entries and connections in, actions out. Signatures; the body follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from relay.mail.next_hop import NextHop
from relay.mail.outcome import Outcome
from relay.queue.entry import Entry


class Group:
    """What is known of one next hop: what waits for it, its connections, its health."""

    key: str
    hop: object
    """What to connect to: the NextHop of a static route, None for a lane of mailboxes (``key`` begins ``local:``),
    or whatever ``Scheduler.resolved`` was given (the ordered MX host set)."""


class Connection:
    """One connection, from the moment it is asked for to the moment it is closed. Made by the scheduler."""

    group: Group
    tag: object
    """The worker's own: its client object."""


class Notice(NamedTuple):
    """A DSN that is owed to the reverse-path. The scheduler never makes one for the null reverse-path."""

    kind: str
    """``bounce`` or ``delay``."""
    log: int
    segment: int
    offset: int
    failures: tuple[tuple[int, Outcome], ...]
    """(index of the recipient in the record's envelope, its outcome)."""
    expires_at: int
    """When the message will be given up; for the text of a delay notice. Microseconds since the epoch."""


class Settled(NamedTuple):
    """What follows from the outcomes of one entry.

    The worker: appends ``journal``; with a bounce ``notice``: syncs the journal, reads the record, spools the DSN
    (relay.dsn.bounce), and once that is spooled appends ``Scheduler.notice_spooled(notice)``. A delay notice needs no sync.
    """

    entry: Entry
    journal: list[tuple[object, ...]]
    notice: Notice | None
    outcomes: tuple[Outcome, ...]
    """One per recipient, in the order of ``indexes``; for the log."""
    indexes: tuple[int, ...] | None
    """The recipients they are about (indexes into the record's envelope); None: all of them, in order."""


class Connect(NamedTuple):
    """Open a connection to ``connection.group``; report connection_opened or connection_failed."""

    connection: Connection


class Wake(NamedTuple):
    """An idle connection has work: it should call take()."""

    connection: Connection


class Quit(NamedTuple):
    """Close an idle connection (QUIT); report connection_closed when it is gone."""

    connection: Connection


class Resolve(NamedTuple):
    """Look up where ``key`` (``mx:<domain>``) goes; report resolved, unresolved or rejected."""

    key: str
    domain: str


class Settle(NamedTuple):
    """Entries that expired, are overdue a delay notice, or whose domain was rejected: treat as after done()."""

    settled: Settled


Action = Connect | Wake | Quit | Resolve | Settle


class Scheduler:
    """All entries of one delivery worker."""

    # entries
    def group(self, key: str, hop: NextHop | None = None, domain: str = "") -> object:
        """The group (or unresolved domain) of ``key``, made when it is new; what an Entry is made with."""
        raise NotImplementedError

    def add(self, entry: Entry, now: int) -> None:
        """Queues ``entry``: at once when it is due, later when not, held when flagged so."""
        raise NotImplementedError

    def take(self, connection: Connection, now: int) -> Entry | None:
        """The next entry for an open connection, or None: then the connection is idle until Wake or Quit."""
        raise NotImplementedError

    def put_back(self, connection: Connection, entry: Entry, now: int) -> None:
        """``entry`` was taken and not attempted: it is next again, and no attempt is counted."""
        raise NotImplementedError

    def done(self, connection: Connection, entry: Entry, outcomes: Sequence[Outcome], now: int, draw: float) -> Settled:
        """The attempt is over: one outcome per recipient of the entry, in order of ``entry.indexes``."""
        raise NotImplementedError

    def notice_spooled(self, notice: Notice) -> list[tuple[object, ...]]:
        """The journal entries to append once the DSN of ``notice`` is spooled."""
        raise NotImplementedError

    # connections
    def connection_opened(self, connection: Connection, now: int) -> None:
        """The next hop greeted us; take() may be called."""
        raise NotImplementedError

    def connection_failed(self, connection: Connection, outcome: Outcome, now: int, draw: float) -> None:
        """No session came about; the group slows down or is suspended. ``connection`` is over."""
        raise NotImplementedError

    def connection_closed(self, connection: Connection, now: int) -> None:
        """An opened connection is over; every entry it had taken has been given to done() or put_back() before."""
        raise NotImplementedError

    # MX
    def resolved(self, key: str, group_key: str, hop: object, valid_until: int, now: int) -> None:
        """The domain ``key`` is served by ``group_key`` until ``valid_until``; what waited for it moves there."""
        raise NotImplementedError

    def unresolved(self, key: str, outcome: Outcome, now: int, draw: float) -> None:
        """DNS failed temporarily: the domain waits with back-off, no attempt is counted."""
        raise NotImplementedError

    def rejected(self, key: str, outcome: Outcome, valid_until: int, now: int) -> None:
        """The domain takes no mail (no such domain, null MX, our own name): its entries fail, by Settle actions."""
        raise NotImplementedError

    # time
    def actions(self, now: int) -> list[Action]:
        """What is to be done now; call after each batch of events and when next_wakeup() has come."""
        raise NotImplementedError

    def next_wakeup(self) -> int | None:
        """When actions() must be called even if nothing happens; None when nothing waits."""
        raise NotImplementedError
