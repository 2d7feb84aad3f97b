"""What an entry waits for, and until when: for people who ask about the queue.

A READY entry is not the connection's yet, which pulls entries at the last instant. To people a message whose next hop
is being connected to, and has not answered, is being tried: the first entries of a group, as many as it has connections
on their way, count as active.

Not here: the words for it (relay/cli), addresses and sizes, which are in the record (relay/control/queue_control.py).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from relay.queue.entry import ACTIVE, COPYING, DEFERRED, HELD, Entry, Reason, reason_of
from relay.queue.group import Domain, Group
from relay.queue.scheduler import Scheduler

WaitsFor = Literal["release", "copy", "reply", "connection", "dns", "next hop", "retry", "turn"]
"""What has to happen first. ``next hop``: it is suspended, the next connection is a probe; ``reply``: the attempt is
under way; ``turn``: the next hop is not known to be away, and others are before it."""

_STATES: Final[dict[WaitsFor, Literal["incoming", "active", "deferred", "hold"]]] = {
    "release": "hold",
    "copy": "active",
    "reply": "active",
    "connection": "active",
    "dns": "active",
    "next hop": "deferred",
    "retry": "deferred",
    "turn": "incoming",
}


class Waiting(NamedTuple):
    """How things are with one entry."""

    waits_for: WaitsFor
    next_at: int
    """When it is tried next, if all goes well: microseconds since the epoch; 0 when that is now, or not known."""
    reason: Reason | None
    """Why it was not delivered so far: the trouble of its next hop or domain before its own last outcome."""

    @property
    def state(self) -> Literal["incoming", "active", "deferred", "hold"]:
        """The queue's word for it."""
        return _STATES[self.waits_for]


def waiting(scheduler: Scheduler, entry: Entry, now: int) -> Waiting:
    """How things are with ``entry``, which is queued, at ``now``."""
    reason = scheduler.places.blocked_by(entry) or reason_of(entry, 0)
    if entry.state == HELD:
        return Waiting("release", 0, reason)
    if entry.state == COPYING:
        return Waiting("copy", 0, reason)
    if entry.state == ACTIVE:
        return Waiting("reply", 0, reason)
    group, until = _way(entry, now)
    if entry.state == DEFERRED:
        # When it is due its next hop may still be away: it is not tried before that is over.
        return Waiting("retry", max(entry.due_at, until), reason)
    if until > now:
        return Waiting("next hop", until, reason)
    if group is None:
        return Waiting("dns", 0, reason)
    if group.ready.is_among_first(entry, group.connecting + group.claimed):
        return Waiting("connection", 0, reason)
    if group.failures:
        return Waiting("next hop", 0, reason)
    return Waiting("turn", group.next_at if group.next_at > now else 0, reason)


def _way(entry: Entry, now: int) -> tuple[Group | None, int]:
    """Where ``entry`` goes, None while DNS has not answered, and until when nothing goes there (0: nothing is known to
    stand in the way)."""
    target: Group | Domain = entry.group
    until = 0
    if isinstance(target, Domain):
        if target.target is None or target.valid_until <= now:
            until = target.suspended_until
        if target.target is None:
            return None, until
        target = target.target
    return target, max(until, target.suspended_until)
