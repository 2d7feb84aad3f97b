"""What is known of one next hop, of one domain before its MX is known, and of one connection.

Concurrency with feedback: a group begins with ``initial`` connections at most; each message that the next hop dealt
with widens the window by 1/window (so by one per window's worth), each failure narrows it by one, never below one nor
above ``per_group``.

Suspension: a next hop that no connection reaches is suspended for a time that grows with each failure in a row; then
one connection probes it. Meanwhile its entries wait in the group without an attempt being counted.

Not here: who may connect next (connection_pool.py), entries (scheduler.py).
"""

from __future__ import annotations

from typing import NamedTuple

from relay.config.model import Config
from relay.mail.outcome import Outcome
from relay.queue.entry import EntryList, Reason

SECOND = 1_000_000


class Settings(NamedTuple):
    """What the scheduler of one delivery worker keeps to. Times in microseconds."""

    max_connections: int = 1000
    """Connections of all groups together."""
    per_group: int = 20
    per_lane: int = 4
    """Concurrent deliveries in one lane of local mailboxes; lanes count as groups."""
    initial: int = 5
    """Window of a group nothing is known of."""
    suspend_first: int = 60 * SECOND
    suspend_max: int = 1800 * SECOND
    suspend_factor: float = 2.0
    jitter: float = 0.2
    interval: int = 0
    """Least time between two messages to one group; 0: no rate limit."""
    turn_messages: int = 50
    """After so many messages a connection gives way when other groups have none and no more may be opened."""
    grace: int = 3600 * SECOND
    """How long an entry past its lifetime waits for a last attempt."""

    @classmethod
    def from_config(cls, config: Config) -> Settings:
        """The settings of one of ``config.workers.delivery`` schedulers."""
        queue, delivery = config.queue, config.delivery
        return cls(
            max_connections=max(1, delivery.max_connections // config.workers.delivery),
            per_group=delivery.per_destination,
            suspend_first=round(min(queue.retry_first, 60.0) * SECOND),
            suspend_max=round(min(queue.retry_max, 1800.0) * SECOND),
            suspend_factor=queue.retry_factor,
            jitter=queue.jitter,
        )

    def suspension(self, failures: int, draw: float) -> int:
        """How long to wait after ``failures`` (1 or more) failures in a row."""
        wait = min(self.suspend_max, self.suspend_first * self.suspend_factor ** min(failures - 1, 256))
        return max(1, round(wait * (1.0 + self.jitter * (2.0 * draw - 1.0))))


class Target:
    """What an entry can have as its ``group``."""

    __slots__ = ("entries",)

    entries: int
    """Entries whose ``group`` this is, in whatever state."""


class Group(Target):
    """One next hop: what is ready for it, its connections, its health."""

    __slots__ = (
        "ceiling",
        "claimed",
        "connecting",
        "domains",
        "failures",
        "fruitless",
        "hop",
        "idle",
        "interval",
        "is_changed",
        "is_lane",
        "is_waiting",
        "key",
        "next_at",
        "open",
        "ready",
        "reason",
        "suspended_until",
        "timer_at",
        "window",
    )

    def __init__(self, key: str, hop: object, settings: Settings) -> None:
        self.key = key
        self.hop = hop
        """What to connect to: a NextHop, what ``Scheduler.resolved`` was given, or None for a lane of mailboxes."""
        self.is_lane = hop is None
        self.ready = EntryList()
        self.entries = 0
        self.domains: set[Domain] = set()
        """Domains that were resolved to this group."""
        self.connecting = 0
        self.open = 0
        """Connections that were greeted and are not over."""
        self.idle: dict[Connection, None] = {}
        self.claimed = 0
        """Entries that connections which were woken or have just opened are about to take."""
        self.ceiling = settings.per_lane if self.is_lane else settings.per_group
        self.window = float(min(settings.initial, self.ceiling))
        self.failures = 0
        """Connections that failed in a row, while none was open."""
        self.fruitless = 0
        """Messages in a row that the next hop would not deal with at all (421, or silence)."""
        self.suspended_until = 0
        """0: not suspended."""
        self.reason: Reason | None = None
        """Why it is suspended or was last."""
        self.interval = 0 if self.is_lane else settings.interval
        self.next_at = 0
        """When the rate limit lets the next message go."""
        self.timer_at = 0
        self.is_waiting = False
        """Whether it stands in the queue of turns."""
        self.is_changed = False
        """Whether the pool is going to look at it."""

    def __repr__(self) -> str:
        return f"<Group {self.key} ready={len(self.ready)} open={self.open}+{self.connecting} window={self.window:.1f}>"

    @property
    def is_disposable(self) -> bool:
        """Whether nothing is lost when it is forgotten (but what its window has learnt)."""
        return not (self.entries or self.domains or self.open or self.connecting or self.suspended_until or self.ready)

    def widen(self) -> None:
        """The next hop has dealt with a message."""
        self.fruitless = 0
        self.window = min(float(self.ceiling), self.window + 1.0 / self.window)

    def narrow(self) -> None:
        """An attempt failed without an answer about the message."""
        self.window = max(1.0, self.window - 1.0)

    def wants_connection(self) -> bool:
        """Whether one more connection would be of use now."""
        waiting = len(self.ready)
        if waiting <= self.connecting + self.claimed or self.suspended_until:
            return False
        if self.failures or self.interval:
            return self.connecting + self.open == 0
        return self.connecting + self.open < int(self.window)


class Domain(Target):
    """A domain whose MX set is not known, or was: entries that depend on it have it as their ``group``."""

    __slots__ = (
        "domain",
        "failures",
        "is_asked",
        "key",
        "reason",
        "rejection",
        "suspended_until",
        "target",
        "valid_until",
        "waiting",
    )

    def __init__(self, key: str, domain: str) -> None:
        self.key = key
        self.domain = domain
        self.entries = 0
        self.waiting: EntryList | None = None
        """Entries that are due and wait for the lookup; made when first needed."""
        self.target: Group | None = None
        self.rejection: Outcome | None = None
        """The permanent answer, when that is what the lookup gave."""
        self.valid_until = 0
        """How long ``target`` or ``rejection`` holds."""
        self.is_asked = False
        self.failures = 0
        self.suspended_until = 0
        self.reason: Reason | None = None

    def __repr__(self) -> str:
        return f"<Domain {self.key} waiting={len(self.waiting or ())} target={self.target}>"


class Connection:
    """One connection, from the moment it is asked for until it is over."""

    __slots__ = ("appetite", "claimed", "group", "in_flight", "is_idle", "is_open", "is_quitting", "messages", "tag")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.tag: object = None
        """The worker's own: its client session."""
        self.messages = 0
        """Entries taken."""
        self.in_flight = 0
        """Entries taken and not given back."""
        self.is_open = False
        self.is_idle = False
        """take() returned None: it waits for Wake."""
        self.appetite = 1
        """How many entries it takes at once when it is woken; set by its tag."""
        self.claimed = 0
        """How many of the entries that are ready it is expected to take; 0: it was not woken."""
        self.is_quitting = False

    def __repr__(self) -> str:
        return f"<Connection {self.group.key} messages={self.messages} in_flight={self.in_flight}>"
