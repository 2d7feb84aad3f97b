"""What waits in the queue: entries, their flags and states, and why they are deferred.

Theory: an entry stands for the recipients of one record that go to one group. It holds a reference to the record, not
its envelope and not its content, so that a million of them fit into memory; whoever needs the addresses reads the
record. Reasons are shared: what one host answered to a thousand messages is kept once.

Not here: the memory layout (_entry.pyx), who moves entries (scheduler.py).
"""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from relay.mail.outcome import DEFERRED as DEFERRED_OUTCOME
from relay.mail.outcome import Outcome
from relay.queue._entry import (
    ACTIVE,
    COPYING,
    DEFERRED,
    GONE,
    HELD,
    NEW,
    READY,
    Entry,
    EntryList,
    queue_number,
)
from relay.queue._wheels import DeadlineWheel, DueWheel

__all__ = [
    "ACTIVE",
    "COPYING",
    "DEFERRED",
    "GONE",
    "HELD",
    "IS_DELAY_NOTIFIED",
    "IS_FOREIGN",
    "IS_HELD",
    "IS_LAST_CHANCE",
    "IS_NULL_PATH",
    "IS_RELEASED",
    "NEW",
    "READY",
    "DeadlineWheel",
    "DueWheel",
    "Entry",
    "EntryList",
    "Reason",
    "Reasons",
    "queue_number",
    "reason_of",
]

IS_NULL_PATH: Final = 1
"""The reverse-path is ``<>``: no DSN, ever (RFC 3464 2, RFC 5321 4.5.5)."""
IS_DELAY_NOTIFIED: Final = 2
"""The delay DSN has been made."""
IS_HELD: Final = 4
"""It is kept and not tried: an operator wants that, or its envelope has it."""
IS_RELEASED: Final = 32
"""It was held and no longer is, whatever its envelope has."""
IS_FOREIGN: Final = 16
"""Another delivery worker answers for it; only the attempt is made here (relay/dispatch/remote.py)."""
IS_LAST_CHANCE: Final = 8
"""Its lifetime is over, and it waits for one more attempt for a bounded time."""

_TEXT_LIMIT: Final = 400


class Reason:
    """Why an entry is deferred: what of an outcome is kept in memory. Shared, so never changed."""

    __slots__ = ("__weakref__", "code", "next_hop", "stage", "status", "text")

    def __init__(self, code: int, status: str, text: str, stage: str, next_hop: str) -> None:
        self.code = code
        self.status = status
        self.text = text
        self.stage = stage
        self.next_hop = next_hop

    def outcome(self) -> Outcome:
        """As the outcome it was."""
        return Outcome(DEFERRED_OUTCOME, self.code, self.status, self.text, self.stage, self.next_hop)


class Reasons:
    """The reasons in use, each kept once.

    At most ``limit`` different ones: peers choose the texts, and some put a serial number into each. Above the limit
    a reason is kept without its text; the journal and the delivery log have it whole.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._known: WeakValueDictionary[tuple[int, str, str, str, str], Reason] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, outcome: Outcome) -> Reason:
        """The shared reason with what ``outcome`` holds; text above 400 characters is cut."""
        text = outcome.text if len(outcome.text) <= _TEXT_LIMIT else outcome.text[:_TEXT_LIMIT]
        key = (outcome.code, outcome.status, text, outcome.stage, outcome.next_hop)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._limit:
                key = (outcome.code, outcome.status, "see the delivery log", outcome.stage, "")
                known = self._known.get(key)
                if known is not None:
                    return known
            known = Reason(*key)
            self._known[key] = known
        return known


def reason_of(entry: Entry, position: int) -> Reason | None:
    """Why the recipient at ``position`` of ``entry.indexes`` was last deferred; None before the first attempt."""
    reason: Reason | tuple[Reason, ...] | None = entry.reason
    if isinstance(reason, tuple):
        return reason[position] if position < len(reason) else None
    return reason
