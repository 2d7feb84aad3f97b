"""From a record of a spool log to entries of the queue: one for each group its recipients go to.

The one way in, for records just written, for those found at start, and for copies. At start, ``recovery`` knows what
has become of each recipient before; a record of which it knows nothing is new.

Instants that cannot be were written when the clock was wrong: a message received in the future counts as received now,
a next try that is further away than any wait is now.

Recipients of a group that were deferred apart (other attempts, other due time) stay apart.

Not here: reading records (relay/spool/reader.py), journals (recovery.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.mail import outcome as kinds
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome
from relay.queue._entry import new_entry
from relay.queue.action import Notice
from relay.queue.deferrals import Deferral, Why
from relay.queue.entry import IS_DELAY_NOTIFIED, IS_HELD, IS_NULL_PATH, IS_RELEASED, Entry, Reason
from relay.queue.recovery import RecordState, Recovery
from relay.queue.routing import Route, Router, shard_of
from relay.queue.scheduler import Scheduler
from relay.spool.scan import Record


class Taken(NamedTuple):
    """What has come of some records."""

    ours: int
    """Records of which something is this worker's and not over."""
    notices: list[Notice]
    """Bounces that are owed since before the restart."""


class Intake:
    """Brings the records of all logs into the scheduler of one delivery worker (``shard`` of ``shards``)."""

    def __init__(self, scheduler: Scheduler, router: Router, shard: int = 0, shards: int = 1) -> None:
        self._scheduler = scheduler
        self._router = router
        self._shard = shard
        self._shards = shards
        self.added = 0
        """Entries queued so far, those out of copies included; for metrics."""
        self.copied = 0
        """Entries queued out of copies."""
        self._not_before = 0
        self._longest_wait = scheduler.policy.longest_wait

    def rebased(self, now: int) -> None:
        """The clock was set, and is at ``now``: what is new from here on was not received before that, whatever its
        envelope has."""
        self._not_before = now - 1_000_000

    def records(self, records: Sequence[Record], now: int, recovery: Recovery | None = None) -> Taken:
        """Queues what of ``records`` is this worker's and not finished, as ``record`` does for each."""
        notices: list[Notice] = []
        count = 0
        for log, segment, offset, _, envelope, content_offset, content_size, _, _ in records:
            before = self.added
            size = content_offset + content_size - offset
            notice = self.record(log, segment, offset, size, envelope, now, recovery)
            if notice is not None:
                notices.append(notice)
            if notice is not None or self.added > before:
                count += 1
        return Taken(count, notices)

    def record(
        self,
        log: int,
        segment: int,
        offset: int,
        size: int,
        envelope: Envelope,
        now: int,
        recovery: Recovery | None = None,
    ) -> Notice | None:
        """Queues what of a record is this worker's and not finished. ``size``: octets of the record.

        Returns the bounce that is owed since before the restart, if one is. O(recipients).
        """
        recipients = envelope.recipients
        state: RecordState | None = None
        if recovery is None and len(recipients) == 1 and envelope.carried is None and not envelope.held:
            self._only(log, segment, offset, size, envelope, recipients[0], now)
            return None
        if recovery is not None:
            state = recovery.state(log, segment, offset, len(recipients))
            if envelope.carried is not None:
                carried = envelope.carried
                recovery.copy_seen(carried.log, carried.segment, carried.offset, carried.indexes)
        lots = self._lots(recipients, state)
        ref = (log, segment, offset)
        if state is None and envelope.carried is None and not envelope.held:
            for route, indexes in lots:
                self._add(ref, size, envelope, route, indexes, None, now)
            return None
        before = self.added
        for route, indexes in lots:
            for known, lot in _by_history(state, envelope, indexes):
                self._add(ref, size, envelope, route, lot, known, now)
        if envelope.carried is not None:
            self.copied += self.added - before
        return self._owed(ref, envelope, state) if state is not None and state.failed else None

    def _only(
        self, log: int, segment: int, offset: int, size: int, envelope: Envelope, recipient: bytes, now: int
    ) -> None:
        """A new record with one recipient, as most are."""
        route = self._router.route(recipient)
        if self._is_ours(route.key):
            group = self._scheduler.group(route.key, route.next_hop, route.domain)
            flags = 0 if envelope.reverse_path else IS_NULL_PATH
            octets = min(size, 0xFFFFFFFF)
            received_at = max(self._not_before, min(envelope.received_at, now))
            entry = new_entry(log, segment, offset, octets, envelope.queue_id, received_at, group, None, 1, flags)
            self._scheduler.add(entry, now)
            self.added += 1

    def _lots(self, recipients: tuple[bytes, ...], state: RecordState | None) -> list[tuple[Route, list[int]]]:
        """The recipients that are ours and have to be tried, by route."""
        lots: dict[str, tuple[Route, list[int]]] = {}
        for index, recipient in enumerate(recipients):
            if state is not None and (index in state.finished or index in state.failed):
                continue
            route = self._router.route(recipient)
            lot = lots.get(route.key)
            if lot is not None:
                lot[1].append(index)
            elif self._is_ours(route.key):
                lots[route.key] = (route, [index])
        return list(lots.values())

    def _is_ours(self, key: str) -> bool:
        return self._shards == 1 or shard_of(key, self._shards) == self._shard

    def _add(
        self,
        ref: tuple[int, int, int],
        size: int,
        envelope: Envelope,
        route: Route,
        indexes: list[int],
        known: _History | None,
        now: int,
    ) -> None:
        count = len(indexes)
        whole = count == len(envelope.recipients)
        not_before = self._not_before if known is None else 0
        group = self._scheduler.group(route.key, route.next_hop, route.domain)
        entry = Entry(
            *ref,
            min(size, 0xFFFFFFFF),
            envelope.queue_id,
            max(not_before, min(envelope.received_at, now)),
            group,
            None if whole else tuple(indexes),
            count,
            0 if envelope.reverse_path else IS_NULL_PATH,
        )
        if known is not None:
            attempts, due_at, why, is_notified, is_held, is_released = known
            entry.attempts = min(attempts, 65_535)
            entry.due_at = due_at if due_at <= now + self._longest_wait else now
            entry.flags |= (IS_DELAY_NOTIFIED if is_notified else 0) | (IS_HELD if is_held else 0)
            entry.flags |= IS_RELEASED if is_released else 0
            entry.reason = self._reason(why)
        self._scheduler.add(entry, now)
        self.added += 1

    def _reason(self, why: Why) -> Reason | None:
        return self._scheduler.reasons.keep(Outcome(kinds.DEFERRED, *why)) if why[1] else None

    def _owed(self, ref: tuple[int, int, int], envelope: Envelope, state: RecordState) -> Notice | None:
        failures: list[tuple[int, Outcome]] = [
            (index, outcome)
            for index, outcome in sorted(state.failed.items())
            if index not in state.finished
            and index < len(envelope.recipients)
            and self._is_ours(self._router.route(envelope.recipients[index]).key)
        ]
        if not failures:
            return None
        expires_at = envelope.received_at + self._scheduler.policy.lifetime
        notice = Notice("bounce", *ref, tuple(failures), expires_at)
        self._scheduler.owe(notice)
        return notice


_History = tuple[int, int, Why, bool, bool, bool]
"""(attempts, due_at, why, delay notice sent, held, released)."""
HELD_STATUS: Final = "4.7.0"
"""Of a message that policy has held: nothing has failed (RFC 3463 3.8)."""
_NOTHING: Final[Deferral] = (0, 0, (0, "", "", "", ""))


def _by_history(state: RecordState | None, envelope: Envelope, indexes: list[int]) -> list[tuple[_History, list[int]]]:
    carried = envelope.carried
    before = _NOTHING if not envelope.held else (0, 0, (0, HELD_STATUS, envelope.held, "queue", ""))
    was_held = bool(envelope.held) if carried is None else carried.is_held
    if carried is not None:
        why = (carried.code, carried.status, carried.text, carried.stage, carried.next_hop)
        before = (carried.attempts, carried.due_at, why)
    lots: dict[tuple[int, int, bool, bool, bool], tuple[_History, list[int]]] = {}
    for index in indexes:
        last = (state.deferred.get(index) if state is not None else None) or before
        if last[0] < before[0]:
            last = before
        is_notified = bool(carried and carried.is_delay_notified) or (state is not None and index in state.notified)
        is_released = state is not None and index in state.released
        is_held = (state is not None and index in state.held) or (was_held and not is_released)
        key = (last[0], last[1], is_notified, is_held, is_released)
        if key in lots:
            lots[key][1].append(index)
        else:
            lots[key] = ((*last, is_notified, is_held, is_released), [index])
    return list(lots.values())
