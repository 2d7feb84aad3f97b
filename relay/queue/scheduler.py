"""The scheduler of one delivery worker: entries, outcomes and time come in, actions come out.

Theory: connections pull. An entry is given to a connection at the last instant, so nothing waits behind a slow one;
what the scheduler decides is how many connections a group may have, and what becomes of an entry after an attempt.

Cost: add, take and done are O(1); nothing is searched but on an operator's command. See benchmarks/micro_queue.py.

Invariant: ``journal`` entries are handed out for every change that a restart must know of.

Not here: where entries wait (entry_states.py), connections and fairness (connection_pool.py), MX (domains.py), what
outcomes mean (settle.py), what operators may do (commands.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.mail.outcome import DEFERRED, DELIVERED, Outcome, deferred
from relay.queue.action import Action, JournalEntry, Notice, Settle, Settled
from relay.queue.connection_pool import Pool
from relay.queue.domains import Domains
from relay.queue.entry import (
    ACTIVE,
    COPYING,
    IS_DELAY_NOTIFIED,
    IS_FOREIGN,
    IS_HELD,
    IS_LAST_CHANCE,
    IS_NULL_PATH,
    READY,
    Entry,
    EntryList,
    Reasons,
)
from relay.queue.entry_states import Counts, Places
from relay.queue.group import Connection, Domain, Group, Settings
from relay.queue.ledger import Ledger
from relay.queue.retry import RetryPolicy
from relay.queue.routing import MX_PREFIX
from relay.queue.settle import delay, end, expire, settle

_BUDGET: Final = 2_000
"""Entries moved in one call of actions() by each cause, so that one call never takes long."""
_SILENCE: Final = (0, 421)
_NOTICES_AHEAD: Final = 500
"""DSNs asked for and not spooled: above it deadlines wait, so that a million messages that expire together are
bounced at the speed of the spool and not all at once."""


class Scheduler:
    """All entries of one delivery worker."""

    def __init__(self, settings: Settings, policy: RetryPolicy, now: int, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.reasons = Reasons()
        self.pool = Pool(settings)
        self.domains = Domains(settings, self.pool.out)
        self.policy = policy
        self._settings = settings
        self._groups: dict[str, Group | Domain] = {}
        self._sweep_above = 1_000
        self.places = Places(policy, self.pool, self.domains, self.ledger, now)
        self._is_behind = False
        self._notices = 0

    # entries

    def group(self, key: str, hop: object = None, domain: str = "") -> Group | Domain:
        """What an entry of route ``key`` is made with: its group, or its domain when ``domain`` is given. Made when
        new."""
        known = self._groups.get(key)
        if known is None:
            known = self._groups[key] = Domain(key, domain) if domain else Group(key, hop, self._settings)
        return known

    def _sweep(self) -> None:
        for key, each in list(self._groups.items()):
            if isinstance(each, Domain):
                if each.entries or each.is_asked or each.suspended_until:
                    continue
                if each.target is not None:
                    each.target.domains.discard(each)
                self.domains.rejected.pop(each, None)
                del self._groups[key]
        for key, each in list(self._groups.items()):
            if isinstance(each, Group) and each.is_disposable:
                del self._groups[key]
        self._sweep_above = max(1_000, 2 * len(self._groups))

    def add(self, entry: Entry, now: int) -> None:
        """Queues ``entry``: at once when it is due, later when not, apart when it is held."""
        self.places.enter(entry, now)

    def take(self, connection: Connection, now: int) -> Entry | None:
        """The next entry for an open connection, which owns it until done() or put_back(). None: the connection has
        nothing to do until Wake or Quit."""
        if self.pool.may_take(connection, now):
            group = connection.group
            entry = group.ready.popleft()
            if entry is not None:
                entry.state = ACTIVE
                self.places.active += 1
                connection.messages += 1
                connection.in_flight += 1
                if group.ready and not group.is_waiting:
                    self.pool.consider(group)
                return entry
        self.pool.give_up_claim(connection)
        if not connection.in_flight:
            self.pool.idle(connection)
        return None

    def put_back(self, connection: Connection, entry: Entry, now: int) -> None:
        """``entry`` was taken and not attempted: it is next again, and no attempt is counted."""
        self._given_back(connection, now)
        connection.messages -= 1
        if entry.flags & IS_HELD:
            self.places.place(entry, now)
            return
        group = connection.group
        entry.state = READY
        group.ready.appendleft(entry)
        self.pool.consider(group)

    def _given_back(self, connection: Connection, now: int) -> None:
        self.places.active -= 1
        connection.in_flight -= 1
        if not connection.in_flight and connection.is_open and not connection.claimed:
            # take() may have returned None while this was in flight; if it is called again by itself, that is as well.
            self.pool.idle(connection)
            if connection.group.ready:
                self.pool.consider(connection.group)

    def done(self, connection: Connection, entry: Entry, outcomes: Sequence[Outcome], now: int, draw: float) -> Settled:
        """The attempt is over, with one outcome per recipient of the entry, in order."""
        self._given_back(connection, now)
        if entry.flags & IS_FOREIGN:
            self._feed_back(connection.group, tuple(outcomes), now, draw)
            return self._send_home(entry, outcomes, now)
        if len(outcomes) == 1 and entry.count == 1 and outcomes[0].kind == DELIVERED:
            self.pool.succeeded(connection.group)
            journal: list[JournalEntry] = [("finished", entry.log, entry.segment, entry.offset, entry.indexes)]
            settled = Settled(entry, journal, None, tuple(outcomes), entry.indexes)
            entry.count = 0
            self.places.delivered(entry, now)
        else:
            if len(outcomes) != entry.count:
                raise ValueError(f"{len(outcomes)} outcomes for {entry.count} recipients")
            settled = settle(entry, outcomes, self.policy, self.reasons, now, draw)
            self._feed_back(connection.group, settled.outcomes, now, draw)
            self._follow(settled, now)
        return settled

    def _send_home(self, entry: Entry, outcomes: Sequence[Outcome], now: int) -> Settled:
        """A foreign entry is over here, whatever came of it: its own worker journals, retries and sends DSNs."""
        self.places.forget(entry, now)
        return Settled(entry, [], None, tuple(outcomes), entry.indexes)

    def _feed_back(self, group: Group, outcomes: tuple[Outcome, ...], now: int, draw: float) -> None:
        if not all(outcome.kind == DEFERRED and outcome.code in _SILENCE for outcome in outcomes):
            if any(outcome.kind == DELIVERED or outcome.code for outcome in outcomes):
                self.pool.succeeded(group)
            return
        if group.is_lane:
            return
        group.narrow()
        group.fruitless += 1
        if group.fruitless >= self._settings.initial and not group.suspended_until:
            group.reason = self.reasons.keep(outcomes[0])
            self.pool.suspend(group, now, draw)

    def _follow(self, settled: Settled, now: int) -> None:
        """Puts the entry where ``settled`` wants it, and keeps the ledger."""
        entry = settled.entry
        self.ledger.finished(settled.journal)
        if settled.notice is not None:
            self.owe(settled.notice)
        if entry.count:
            self.places.place(entry, now)
        else:
            self.places.forget(entry, now)

    def owe(self, notice: Notice) -> None:
        """A DSN is owed; from outside only for one of before a restart (relay/queue/intake.py)."""
        self._notices += 1
        if notice.kind == "bounce":
            self.ledger.owe(notice)

    def notice_spooled(self, notice: Notice, now: int) -> list[JournalEntry]:
        """The journal entries to append once the DSN of ``notice`` is spooled, or can never be made. Call it once for
        each notice that was handed out."""
        self._notices -= 1
        self._is_behind = self._is_behind or bool(self.domains.rejected)
        indexes = tuple(index for index, _ in notice.failures)
        if notice.kind == "delay":
            return [("notified", notice.log, notice.segment, notice.offset, indexes)]
        journal: list[JournalEntry] = [("finished", notice.log, notice.segment, notice.offset, indexes)]
        if self.ledger.pay(notice, now):
            self.ledger.finished(journal)
        return journal

    # connections

    def connection_opened(self, connection: Connection, now: int) -> None:
        """The next hop greeted us; take() may be called."""
        self.pool.opened(connection, now)

    def connection_failed(self, connection: Connection, outcome: Outcome, now: int, draw: float) -> None:
        """No session came about (always temporary for the queue); ``connection`` is over."""
        self.pool.failed(connection, self.reasons.keep(outcome), now, draw)

    def connection_closed(self, connection: Connection, why: Outcome | None, now: int, draw: float) -> None:
        """An opened connection is over; what it had taken has been given to done() or put_back() before."""
        self.pool.closed(connection, self.reasons.keep(why) if why is not None else None, now, draw)

    # domains

    def _domain(self, key: str) -> Domain | None:
        known = self._groups.get(key)
        return known if isinstance(known, Domain) else None

    def resolved(self, key: str, group_key: str, hop: object, valid_until: int, now: int) -> Group:
        """Domain ``key`` is served by group ``group_key`` until ``valid_until``: what waited for that goes there, and
        what waits in the group it was served by before. ``hop`` is for whoever connects; the newest counts."""
        if group_key.startswith(MX_PREFIX):
            raise ValueError(f"{group_key} is the key of a domain, not of a group")
        target = self.group(group_key, hop)
        assert isinstance(target, Group)
        target.hop = hop
        domain = self._domain(key)
        if domain is not None:
            before = self.domains.resolved(domain, target, valid_until)
            if before is not None:
                self._move(before.ready.take(domain, len(before.ready)), target)
            if domain.waiting:
                self._move(domain.waiting.take(None, len(domain.waiting)), target)
            domain.waiting = None
            self.pool.consider(target)
        return target

    def _move(self, entries: list[Entry], target: Group) -> None:
        for entry in entries:
            target.ready.append(entry)

    def unresolved(self, key: str, outcome: Outcome, now: int, draw: float) -> None:
        """DNS failed temporarily: what waits for domain ``key`` waits with back-off, no attempt is counted."""
        domain = self._domain(key)
        if domain is not None:
            self.domains.unresolved(domain, self.reasons.keep(outcome), now, draw)

    def rejected(self, key: str, outcome: Outcome, valid_until: int) -> None:
        """Domain ``key`` takes no mail until ``valid_until`` (no such domain, null MX, our own name): entries that wait
        for it, and those that become due, end with ``outcome``, by Settle actions."""
        domain = self._domain(key)
        if domain is None:
            return
        before = self.domains.rejection(domain, outcome, valid_until)
        if before is not None and before.ready:
            if domain.waiting is None:
                domain.waiting = EntryList()
            for entry in before.ready.take(domain, len(before.ready)):
                domain.waiting.append(entry)

    # time

    def actions(self, now: int) -> list[Action]:
        """What is to be done now. Called after each batch of events, and when next_wakeup() has come."""
        if len(self._groups) > self._sweep_above:
            self._sweep()
        due = self.places.due.expire(now, _BUDGET)
        for entry in due:
            self.places.ready(entry, now)
        late = self.places.deadlines.expire(now, self._notices_left())
        for entry in late:
            self._deadline(entry, now)
        self.domains.fire(now)
        for group in self.pool.fire(now):
            self.domains.refresh(group, now)
        self._is_behind = len(due) == _BUDGET
        if self.domains.rejected:
            self._reject(now)
        self.pool.give_turns(now)
        return self.pool.hand_out()

    def next_wakeup(self) -> int | None:
        """When actions() must be called even if nothing happens: 0 for at once, None for never."""
        if self._is_behind or self.pool.has_work:
            return 0
        times = [self.places.due.next_at(), self.pool.next_at(), self.domains.next_at()]
        if self._notices_left():
            times.append(self.places.deadlines.next_at())
        return min((at for at in times if at is not None), default=None)

    def _notices_left(self) -> int:
        return max(0, _NOTICES_AHEAD - self._notices)

    def _reject(self, now: int) -> None:
        for domain in list(self.domains.rejected):
            outcome = domain.rejection
            waiting = domain.waiting
            if outcome is None or not waiting:
                del self.domains.rejected[domain]
                continue
            for entry in waiting.take(None, self._notices_left()):
                settled = end(entry, [outcome] * entry.count, self.policy)
                self._follow(settled, now)
                self.pool.out.append(Settle(settled))
            self._is_behind = self._is_behind or self._notices_left() > 0
            return

    def _deadline(self, entry: Entry, now: int) -> None:
        """The time of the delay notice or the end of the lifetime has come for an entry that is not held."""
        if entry.state in (ACTIVE, COPYING):
            # Decided when it comes back; kept in the wheel because the wheel is also the list of all entries.
            self.places.deadlines.set(entry, now + 60_000_000)
            return
        end_at = entry.received_at + self.policy.lifetime
        reason = self.places.blocked_by(entry)
        if now < end_at:
            if not entry.flags & (IS_NULL_PATH | IS_DELAY_NOTIFIED):
                entry.flags |= IS_DELAY_NOTIFIED
                settled = delay(entry, self.policy, reason)
                if settled.notice is not None:
                    self.owe(settled.notice)
                self.pool.out.append(Settle(settled))
            self.places.deadlines.set(entry, end_at)
        elif reason is None and not entry.flags & IS_LAST_CHANCE:
            entry.flags |= IS_LAST_CHANCE
            self.places.deadlines.set(entry, now + self._settings.grace)
        elif entry.flags & IS_FOREIGN:
            late = deferred("4.4.7", "its time is over", "route") if reason is None else reason.outcome()
            self.pool.out.append(Settle(self._send_home(entry, [late] * entry.count, now)))
        else:
            entry.unlink()
            settled = expire(entry, self.policy, reason)
            self._follow(settled, now)
            self.pool.out.append(Settle(settled))

    def rebased(self, delta: int, now: int) -> None:
        """The clock was set: it was moved by ``delta`` (whole seconds, in microseconds; forward or back), to ``now``.

        Every instant moves with it, so that all durations stay what they are; O(everything).
        """
        self.places.rebased(delta, now)
        self.pool.rebased(delta, [each for each in self._groups.values() if isinstance(each, Group)])
        self.domains.rebased(delta, [each for each in self._groups.values() if isinstance(each, Domain)])
        self.ledger.rebased(delta)

    def counts(self) -> Counts:
        """Entries by state, for the metrics."""
        return self.places.counts()
