"""Who may connect: the bound on all connections, shared fairly between groups.

Theory: groups that could use a connection stand in one queue of turns; each turn is one connection, then the group
goes to the end. So one group with a million entries and a thousand groups with one get connections side by side. At
the bound, idle connections are ended first, the longest idle before the others; when there are none, connections that
have had their turn (``turn_messages``), or belong to a group with more than its share, give way at their next take().

Groups whose last connection failed are probed with one connection each, and all probes together may hold a quarter of
the bound, so that many dead hosts, each waiting for its timeout, do not fill it.

Invariants: 0 <= total <= max_connections; a group stands in the turns at most once; at most one timer per group is
ahead.

Not here: entries and what becomes of them (scheduler.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import islice
from typing import Final, NamedTuple

from relay.queue.action import Action, Connect, Quit, Wake
from relay.queue.entry import Reason
from relay.queue.group import Connection, Group, Settings

_LOOK_AHEAD: Final = 256


class GroupCounts(NamedTuple):
    """Groups by state."""

    running: int
    """With a connection, or about to have one."""
    waiting: int
    """With something to send, and no connection while all are in use."""
    suspended: int


class Pool:
    """The connections of one scheduler."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._probes_allowed = max(1, settings.max_connections // 4)
        self.total = 0
        """Connections asked for and not over."""
        self.suspended: set[Group] = set()
        self.out: list[Action] = []
        """Actions that events gave rise to; the scheduler hands them out."""
        self._changed: list[Group] = []
        """Groups that may need connections, each once: many entries that come together wake a connection together."""
        self._turns: deque[Group] = deque()
        self._probe_turns: deque[Group] = deque()
        self._probing = 0
        self._idle: dict[Connection, None] = {}
        self._quitting = 0
        self._starving = 0
        """How many groups without a connection could have one if another gave way."""
        self._connected = 0
        """Groups with at least one connection."""
        self._timers: list[tuple[int, int, Group]] = []
        self._sequence = 0
        self.suspensions = 0
        """How often a group was suspended; for metrics."""

    def counts(self) -> GroupCounts:
        """Groups by state; costs as much as there are suspended ones and turns waited for."""
        busy = sum(1 for group in self.suspended if group.connecting + group.open)
        waiting = sum(
            1
            for group in {*self._turns, *self._probe_turns, *self._changed}
            if not group.connecting + group.open and not group.suspended_until
        )
        return GroupCounts(self._connected - busy, waiting, len(self.suspended))

    # what a group needs

    def consider(self, group: Group) -> None:
        """Something is ready for ``group``, or a connection of it went: it is looked at with the next give_turns()."""
        if not group.is_changed and len(group.ready) > group.connecting + group.claimed:
            group.is_changed = True
            self._changed.append(group)

    def _serve(self, group: Group, now: int) -> None:
        """Wakes idle connections for what is ready, or queues for a turn."""
        group.is_changed = False
        if group.suspended_until:
            return
        spare = len(group.ready) - group.connecting - group.claimed
        if spare > 0 and group.idle:
            if group.interval and group.next_at > now:
                self._arm(group, group.next_at)
                return
            while spare > 0 and group.idle:
                connection: Connection = next(iter(group.idle))
                self._unidle(connection)
                connection.claimed = min(spare, connection.appetite)
                group.claimed += connection.claimed
                spare -= connection.claimed
                self.out.append(Wake(connection))
        if spare > 0 and not group.is_waiting and group.wants_connection():
            group.is_waiting = True
            (self._probe_turns if group.failures else self._turns).append(group)

    def may_take(self, connection: Connection, now: int) -> bool:
        """Whether ``connection`` may have another message; False makes it idle, or gives its place away."""
        group = connection.group
        if connection.claimed:
            connection.claimed -= 1
            group.claimed -= 1
        elif connection.is_idle:
            self._unidle(connection)
        if connection.is_quitting:
            return False
        if group.suspended_until or (self._starving > 0 and self._has_had_its_turn(connection)):
            self._quit(connection)
            return False
        if group.interval and group.ready:
            if group.next_at > now:
                self._arm(group, group.next_at)
                return False
            group.next_at = max(group.next_at, now) + group.interval
        return True

    def _has_had_its_turn(self, connection: Connection) -> bool:
        group = connection.group
        share = max(1, self._settings.max_connections // max(1, self._connected))
        return group.open > share or connection.messages >= self._settings.turn_messages

    def idle(self, connection: Connection) -> None:
        """``connection`` got nothing from take() and has nothing in flight."""
        if connection.is_open and not connection.is_idle and not connection.is_quitting:
            connection.is_idle = True
            self._idle[connection] = None
            connection.group.idle[connection] = None

    def give_up_claim(self, connection: Connection) -> None:
        """``connection`` takes no more of its own accord: what it was expected to take is for others."""
        if connection.claimed:
            connection.group.claimed -= connection.claimed
            connection.claimed = 0
            self.consider(connection.group)

    def _unidle(self, connection: Connection) -> None:
        connection.is_idle = False
        self._idle.pop(connection, None)
        connection.group.idle.pop(connection, None)

    def _quit(self, connection: Connection) -> None:
        self._unidle(connection)
        connection.is_quitting = True
        self._quitting += 1
        self._starving -= 1
        self.out.append(Quit(connection))

    # a connection's life

    def opened(self, connection: Connection, now: int) -> None:
        """The next hop greeted."""
        group = connection.group
        group.connecting -= 1
        group.open += 1
        connection.is_open = True
        # It is about to take: no other connection is needed for that entry.
        connection.claimed = 1
        group.claimed += 1
        if group.failures:
            self._probing -= 1
            self._resume(group)
        self.consider(group)

    def failed(self, connection: Connection, reason: Reason, now: int, draw: float) -> None:
        """No session came about: the group is suspended when it has no other connection, else narrowed."""
        group = connection.group
        group.connecting -= 1
        if group.failures:
            self._probing -= 1
        self._left(group)
        group.reason = reason
        if group.open:
            group.window = float(max(1, min(int(group.window) - 1, group.open)))
        elif not group.suspended_until:
            self.suspend(group, now, draw)

    def closed(self, connection: Connection, reason: Reason | None, now: int, draw: float) -> None:
        """An open connection is over. ``reason``: it did not end as it should, or before it served any message."""
        group = connection.group
        self._unidle(connection)
        group.claimed -= connection.claimed
        connection.claimed = 0
        connection.is_open = False
        group.open -= 1
        self._left(group)
        if connection.is_quitting:
            self._quitting -= 1
        if reason is not None and not connection.messages:
            # It greeted and hung up; connecting again at once would go round and round.
            group.reason = reason
            if not group.open and not group.suspended_until:
                self.suspend(group, now, draw)
                return
        self.consider(group)

    def _left(self, group: Group) -> None:
        self.total -= 1
        if group.connecting + group.open == 0:
            self._connected -= 1

    # health

    def succeeded(self, group: Group) -> None:
        """The next hop dealt with a message."""
        group.widen()
        if group.failures:
            self._resume(group)

    def suspend(self, group: Group, now: int, draw: float) -> None:
        """No connection to ``group`` until a time that grows with each suspension in a row."""
        # The probes still on their way were counted by the old state of ``failures``.
        if not group.failures:
            self._probing += group.connecting
        self.suspensions += 1
        group.failures += 1
        group.fruitless = 0
        group.window = 1.0
        group.suspended_until = now + self._settings.suspension(group.failures, draw)
        self.suspended.add(group)
        self._arm(group, group.suspended_until)

    def _resume(self, group: Group) -> None:
        self._probing -= group.connecting
        group.failures = 0
        group.suspended_until = 0
        group.window = float(min(self._settings.initial, group.ceiling))
        self.suspended.discard(group)

    def resume_now(self, group: Group, now: int) -> None:
        """An operator wants it tried at once: the next connection is a probe still."""
        if group.suspended_until:
            group.suspended_until = 0
            self.suspended.discard(group)
            self.consider(group)

    # time

    def _arm(self, group: Group, at: int) -> None:
        if not group.timer_at or at < group.timer_at:
            group.timer_at = at
            self._sequence += 1
            heappush(self._timers, (at, self._sequence, group))

    def rebased(self, delta: int, groups: Iterable[Group]) -> None:
        """The clock was moved by ``delta``; ``groups`` are all there are."""
        self._timers = [(at + delta, sequence, group) for at, sequence, group in self._timers]
        for group in groups:
            if group.suspended_until:
                group.suspended_until += delta
            if group.next_at:
                group.next_at += delta
            if group.timer_at:
                group.timer_at += delta

    def fire(self, now: int) -> list[Group]:
        """Lets time pass; returns the groups whose suspension is over."""
        resumed = []
        while self._timers and self._timers[0][0] <= now:
            at, _, group = heappop(self._timers)
            if at != group.timer_at:
                continue
            group.timer_at = 0
            if group.suspended_until > now:
                self._arm(group, group.suspended_until)
                continue
            if group.suspended_until:
                group.suspended_until = 0
                self.suspended.discard(group)
                resumed.append(group)
            self.consider(group)
        return resumed

    def next_at(self) -> int | None:
        """When fire() has something to do."""
        return self._timers[0][0] if self._timers else None

    def hand_out(self) -> list[Action]:
        """The actions since the last call, without those that events have overtaken."""
        out = [action for action in self.out if not _is_overtaken(action)]
        # Cleared in place: the domains write into the same list.
        self.out.clear()
        return out

    @property
    def has_work(self) -> bool:
        """Whether there are actions to hand out or turns to give."""
        return bool(self.out or self._changed) or (bool(self._turns) and self._has_room()) or self._may_probe()

    def _has_room(self) -> bool:
        return self.total < self._settings.max_connections

    def _may_probe(self) -> bool:
        return bool(self._probe_turns) and self._probing < self._probes_allowed and self._has_room()

    def give_turns(self, now: int) -> None:
        """Wakes connections; opens others, one per group and turn, up to the bounds; makes room for groups without."""
        changed, self._changed = self._changed, []
        for group in changed:
            self._serve(group, now)
        while self._turns and self._has_room():
            self._turn(self._turns)
        while self._may_probe():
            self._turn(self._probe_turns)
        self._starving = 0
        if not self._has_room() and (self._turns or self._probe_turns):
            self._make_room()

    def _turn(self, turns: deque[Group]) -> None:
        group = turns.popleft()
        group.is_waiting = False
        if not group.wants_connection():
            return
        if not group.connecting + group.open:
            self._connected += 1
        group.connecting += 1
        self.total += 1
        if group.failures:
            self._probing += 1
        self.out.append(Connect(Connection(group)))
        if group.wants_connection():
            group.is_waiting = True
            turns.append(group)

    def _make_room(self) -> None:
        # Looks at the first few only: this runs with every batch of events while the bound is reached.
        turns = [group for group in islice(self._turns, _LOOK_AHEAD) if group.wants_connection()]
        wanting = len(turns) + min(len(self._probe_turns), max(0, self._probes_allowed - self._probing))
        spare = wanting - self._quitting
        for connection in list(islice(self._idle, max(0, spare))):
            self._quit(connection)
            spare -= 1
        # Only a group without any connection makes others give way.
        without = sum(1 for group in turns if not group.open + group.connecting) + wanting - len(turns)
        self._starving = max(0, min(spare, without - self._quitting))


def _is_overtaken(action: Action) -> bool:
    if isinstance(action, Wake):
        return not action.connection.claimed
    return isinstance(action, Quit) and not action.connection.is_open
