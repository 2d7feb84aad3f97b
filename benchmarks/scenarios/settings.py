"""What can be set for a run of a scenario, and the sets that go with ``--quick`` and ``--short``.

Each scenario uses what applies to it; ``None`` means what it usually does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FAST: Final = ("direct", "relay", "postfix")
SLOW: Final = ("opensmtpd", "exim", "haraka")
"""They need seconds for what others do at once, so they do fewer works, three times each."""
MAILBOX_SERVERS: Final = ("relay", "dovecot")


@dataclass(frozen=True)
class Settings:
    """How a scenario is run."""

    servers: Sequence[str] = (*FAST, *SLOW)
    """Only those that a scenario knows; ``mailbox`` has its own."""
    repetitions: int | None = None
    seconds: float | None = None
    """How long each server works in each repetition."""
    size: int | None = None
    """How many: sessions (idle), messages (backlog, slow-destination, mailbox), recipients (fanout), kills (crash)."""
    works: Sequence[str] = ()
    """Only the works whose names contain one of these."""
    syncs: bool = True
    """Whether syncs are counted, on a run of its own for each work and server."""

    def wanted(self, work: str) -> bool:
        """Whether this work was asked for."""
        return not self.works or any(part in work for part in self.works)


USUAL: Final[Mapping[str, Settings]] = {"mailbox": Settings(MAILBOX_SERVERS)}
SHORT: Final[Mapping[str, Settings]] = {
    "relay": Settings(seconds=0.9),
    "accept": Settings(seconds=0.6),
    "fanout": Settings(seconds=0.8),
    "latency": Settings(seconds=0.6, repetitions=3),
    "idle": Settings(repetitions=1),
    "slow-destination": Settings(seconds=1.5),
    "tls": Settings(seconds=1.0),
    "mailbox": Settings(MAILBOX_SERVERS, 3, 0.7),
}
"""Everything, in short turns: the results page within half an hour."""
QUICK: Final[Mapping[str, Settings]] = {
    "relay": Settings(FAST, 3, 0.5, works=("connection per message, 1", "reused, 1 KiB", "pipelined, 1 KiB",
                                            "in flight, 1 KiB"), syncs=False),
    "accept": Settings(FAST, 3, 0.4, works=("50 sessions",), syncs=False),
    "fanout": Settings(FAST, 3, 0.4, syncs=False),
    "latency": Settings(FAST, 2, 0.5, works=("one session", "100 ", "1,000 ", "5,000 ")),
    "idle": Settings(FAST, 1),
    "backlog": Settings(size=50_000),
    "slow-destination": Settings(("relay",), 3, 0.5, size=5_000),
    "tls": Settings(FAST, 3, 0.5),
    "mailbox": Settings(MAILBOX_SERVERS, 1, 0.4, size=2_000),
    "mime": Settings(repetitions=3),
    "crash": Settings(size=3, seconds=1.5),
}  # fmt: skip
"""A look at everything within six minutes: fewer works, fewer servers, smaller backlogs."""
