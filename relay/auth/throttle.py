"""How often a login may be tried, and how long a try has to wait: pure, ``now`` comes in (seconds, monotonic).

Theory. Failures are counted in two tables, by network (an IPv4 address, an IPv6 /64) and by the name that was tried,
whether or not there is such an account. A count leaks away over ``window``.

- A network with ``most_failures`` on its count is not listened to at all until some have leaked away.
- Each further failure on a count makes the next try wait twice as long, up to ``longest_delay``.
- An account is never locked, or anybody could lock anybody out: tries at it from networks that have not been seen to
  log in to it are slowed down, and only a few may wait at once. A network that has (familiar) is not slowed down by the
  failures of strangers.

A try is charged in advance and taken back when it succeeds, so that neither trying in parallel nor hanging up before
the answer saves an attacker anything.

Invariants: every table has at most ``TABLE_LIMIT`` rows, and forgets those first that nothing has touched for longest.

Not here: whose clock, who sleeps (authenticator.py). Each process counts for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

TABLE_LIMIT: Final = 20_000
FREE_FAILURES: Final = 3
"""People mistype: so many failures cost no delay."""
FIRST_DELAY: Final = 0.5
"""Seconds, after one failure more."""
MOST_WAITING: Final = 12
"""Tries of strangers at one account that may wait at the same time. A mail program that opens five or eight
connections at once, after a restart of ours or from a new place, is as many strangers."""
FAMILIAR_SECONDS: Final = 30 * 86400.0

_Key = TypeVar("_Key")
Network = str | int
"""relay.net.client_key: what counts as one client."""


class Admission(NamedTuple):
    """A try that may be made, after ``delay`` seconds; ended() or succeeded() must follow."""

    network: Network
    name: str
    delay: float
    is_stranger: bool


@dataclass(slots=True)
class _Count:
    level: float = 0.0
    at: float = 0.0
    waiting: int = 0


class _Counts(Generic[_Key]):
    """Counts that leak away."""

    def __init__(self, window: float, most: float) -> None:
        self._rows: OrderedDict[_Key, _Count] = OrderedDict()
        self._leak = most / window

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, key: _Key, now: float) -> _Count:
        """The row of ``key`` as it is at ``now``."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Count(at=now)
            self._forget()
        row.level = max(0.0, row.level - max(0.0, now - row.at) * self._leak)
        row.at = now
        self._rows.move_to_end(key)
        return row

    def _forget(self) -> None:
        while len(self._rows) > TABLE_LIMIT:
            self._rows.popitem(last=False)


class Throttle:
    """The tables of one process."""

    def __init__(self, window: float, most_failures: int, longest_delay: float) -> None:
        self._networks: _Counts[Network] = _Counts(window, most_failures)
        self._names: _Counts[str] = _Counts(window, most_failures)
        self._familiar: OrderedDict[tuple[Network, str], float] = OrderedDict()
        self._most = most_failures
        self._longest = longest_delay

    @property
    def rows(self) -> int:
        """Rows in use, in the table that has most."""
        return max(len(self._networks), len(self._names), len(self._familiar))

    def is_shut_out(self, network: Network, now: float) -> bool:
        """Whether nothing from ``network`` is looked at."""
        return self._networks.at(network, now).level > self._most - 1

    def admit(self, network: Network, name: str, now: float) -> Admission | None:
        """Charges a try that is_shut_out() has let through; None when too many wait for this account."""
        of_name, of_network = self._names.at(name, now), self._networks.at(network, now)
        is_stranger = not self._is_familiar(network, name, now)
        if is_stranger and of_name.waiting >= MOST_WAITING:
            return None
        delay = self._delay(of_network.level - of_network.waiting)
        if is_stranger:
            delay = max(delay, self._delay(of_name.level - of_name.waiting))
            of_name.level = min(of_name.level + 1, self._most)
            of_name.waiting += 1
        of_network.level += 1
        of_network.waiting += 1
        return Admission(network, name, delay, is_stranger)

    def left_open(self, network: Network, name: str, now: float) -> None:
        """Charges a try that its client has given up before it could be looked at: it has seen what we say to it, and
        must not have that for nothing."""
        rows = [self._networks.at(network, now)]
        if not self._is_familiar(network, name, now):
            rows.append(self._names.at(name, now))
        for row in rows:
            row.level = min(row.level + 1, self._most)

    def succeeded(self, admission: Admission, now: float) -> None:
        """Takes the charge back; the network is familiar from now on."""
        self._settle(admission, now, refund=1.0)
        self._familiar[admission.network, admission.name] = now
        self._familiar.move_to_end((admission.network, admission.name))
        while len(self._familiar) > TABLE_LIMIT:
            self._familiar.popitem(last=False)

    def failed(self, admission: Admission, now: float) -> None:
        """The charge stays."""
        self._settle(admission, now, refund=0.0)

    def not_tried(self, admission: Admission, now: float) -> None:
        """Nobody has looked at it, through no fault of the client's: takes the charge back."""
        self._settle(admission, now, refund=1.0)

    def _settle(self, admission: Admission, now: float, refund: float) -> None:
        of_network = self._networks.at(admission.network, now)
        rows = [of_network, self._names.at(admission.name, now)] if admission.is_stranger else [of_network]
        for row in rows:
            row.waiting = max(0, row.waiting - 1)
            row.level = max(0.0, row.level - refund)

    def _is_familiar(self, network: Network, name: str, now: float) -> bool:
        return now - self._familiar.get((network, name), -FAMILIAR_SECONDS * 2) < FAMILIAR_SECONDS

    def _delay(self, failures: float) -> float:
        over = failures - FREE_FAILURES
        if over < 0:
            return 0.0
        return float(min(self._longest, FIRST_DELAY * 2 ** min(int(over), 30)))
