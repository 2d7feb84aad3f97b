"""What can be set for a run of a scenario; each scenario uses what applies to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Settings:
    """``None`` means: what the scenario usually does."""

    servers: Sequence[str] = ("direct", "relay", "postfix", "opensmtpd", "exim", "haraka")
    repetitions: int | None = None
    seconds: float | None = None
    """How long each server works in each repetition."""
    size: int | None = None
    """How many: sessions (idle), messages (backlog, slow-destination), recipients (fanout), kills (crash)."""
    works: Sequence[str] = ()
    """Only the works whose names contain one of these."""

    def wanted(self, work: str) -> bool:
        """Whether this work was asked for."""
        return not self.works or any(part in work for part in self.works)


_FAST: Final = ("direct", "relay", "postfix")
QUICK_SERVERS: Final = Settings(_FAST)
QUICK: Final = {
    "relay": Settings(_FAST, 5, 1.5),
    "accept": Settings(_FAST, 5, 1.0),
    "fanout": Settings(_FAST, 5, 1.0),
    "latency": Settings(_FAST, 5, 1.0),
    "idle": Settings(("relay",), 1),
    "slow-destination": Settings(("relay",), 5, 2.0),
    "tls": Settings(_FAST, 5, 1.5),
}
"""Scenario -> settings of a run that ends within twenty minutes; those that are not here take what they usually do."""
