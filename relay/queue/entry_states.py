"""Where the entries of one scheduler are: ready, deferred, held, and under their deadlines.

States of an entry::

    NEW ──► READY ──take──► ACTIVE ──done──► GONE
              ▲  ▲             │ deferred
              │  └─put back────┤
              └──due── DEFERRED ◄┘

    READY     in the list of its group, or of its domain until the MX is known
    DEFERRED  in the wheel of due times
    HELD      in the list of held ones until release
    COPYING   lifted out while its record is copied forward

Theory: every entry that is not held is also in the wheel of deadlines, whatever else it waits for. That makes
lifetimes and delay notices hold for entries of a suspended next hop, which wait in its list without due times and
without attempts; and it is the list of all entries.

Invariants: an entry is in one place; the ledger counts it from ``enter`` to ``forget``.

Not here: what happens at a deadline or after an attempt (scheduler.py).
"""

from __future__ import annotations

from typing import NamedTuple

from relay.queue._entry import leave
from relay.queue.connection_pool import Pool
from relay.queue.domains import Domains
from relay.queue.entry import (
    DEFERRED,
    GONE,
    HELD,
    IS_DELAY_NOTIFIED,
    IS_HELD,
    IS_NULL_PATH,
    READY,
    DeadlineWheel,
    DueWheel,
    Entry,
    EntryList,
    Reason,
)
from relay.queue.group import Domain, Group, Target
from relay.queue.ledger import Ledger
from relay.queue.retry import RetryPolicy


class Counts(NamedTuple):
    """Entries by state."""

    incoming: int
    """Ready, and their next hop is not known to be dead."""
    active: int
    deferred: int
    """Waiting for their time, or for a suspended next hop or domain."""
    hold: int


class Places:
    """The lists and wheels of one scheduler."""

    def __init__(self, policy: RetryPolicy, pool: Pool, domains: Domains, ledger: Ledger, now: int) -> None:
        self.due = DueWheel(now)
        self.deadlines = DeadlineWheel(now)
        self.held = EntryList()
        self.active = 0
        """Entries that a connection has taken."""
        self._lifetime = policy.lifetime
        self._first_deadline = min(policy.delay_notice_after or policy.lifetime, policy.lifetime)
        """After so long the sender gets a delay notice, if any."""
        self._pool = pool
        self._domains = domains
        self._ledger = ledger

    def enter(self, entry: Entry, now: int) -> None:
        """A new entry."""
        target: Target = entry.group
        target.entries += 1
        self._ledger.opened(entry, now)
        self.place(entry, now)

    def place(self, entry: Entry, now: int) -> None:
        """Puts an entry that is in no list where its flags and ``due_at`` want it."""
        if entry.flags & IS_HELD:
            self.deadlines.remove(entry)
            entry.state = HELD
            self.held.append(entry)
            return
        self._guard(entry)
        if entry.due_at > now:
            entry.state = DEFERRED
            self.due.add(entry)
        else:
            self.ready(entry, now)

    def _guard(self, entry: Entry) -> None:
        is_reported = entry.flags & (IS_NULL_PATH | IS_DELAY_NOTIFIED)
        self.deadlines.set_after(entry, self._lifetime if is_reported else self._first_deadline)

    def ready(self, entry: Entry, now: int) -> None:
        """``entry`` is due: into the list of its group, or of its domain while that has to be looked up."""
        target: Group | Domain | None = entry.group
        if type(target) is Domain:
            target = self._domains.enter(target, entry, now)
            if target is None:
                return
        assert type(target) is Group
        group: Group = target
        entry.state = READY
        group.ready.append(entry)
        self._pool.consider(group)

    def forget(self, entry: Entry, now: int) -> None:
        """``entry`` is over."""
        self._leave(entry)
        self._ledger.closed(entry, now)

    def delivered(self, entry: Entry, now: int) -> None:
        """``entry`` is over, and all its recipients are finished."""
        self._leave(entry)
        self._ledger.delivered(entry, now)

    def _leave(self, entry: Entry) -> None:
        target: Target = entry.group
        target.entries -= 1
        leave(entry)
        self.deadlines.remove(entry)
        entry.state = GONE

    def blocked_by(self, entry: Entry) -> Reason | None:
        """Why nothing can be tried for ``entry`` now, whatever its due time; None when something can."""
        group: Group | Domain = entry.group
        if isinstance(group, Domain):
            if group.reason is not None or group.target is None:
                return group.reason
            group = group.target
        return group.reason if group.failures else None

    def rebased(self, delta: int, now: int) -> None:
        """The clock was moved by ``delta`` (whole seconds, in microseconds) and is at ``now``: so is every entry."""
        self.deadlines.rebase(delta, now)
        for entry in self.held:
            entry.rebase(delta)
        self.due.rebase(now)

    def entries(self) -> list[Entry]:
        """All entries, in no order."""
        return self.deadlines.find() + list(self.held)

    def find(self, number: int = 0, received_before: int = 0, group: Group | Domain | None = None) -> list[Entry]:
        """The entries that match all that is given: queue number, age, group. One pass over all entries."""
        found = self.deadlines.find(number, group, received_before)
        for entry in self.held:
            if (
                (not number or entry.number == number)
                and (not received_before or entry.received_at < received_before)
                and (group is None or entry.group is group)
            ):
                found.append(entry)
        return found

    def find_in(self, log: int, segment: int) -> list[Entry]:
        """The entries of one segment."""
        found = self.deadlines.find(log=log, segment=segment)
        return found + [entry for entry in self.held if entry.log == log and entry.segment == segment]

    def counts(self) -> Counts:
        """Entries by state; costs as much as there are suspended groups and domains."""
        blocked = sum(len(group.ready) for group in self._pool.suspended)
        blocked += sum(len(domain.waiting or ()) for domain in self._domains.suspended)
        deferred = len(self.due) + blocked
        return Counts(len(self.deadlines) - deferred - self.active, self.active, deferred, len(self.held))
