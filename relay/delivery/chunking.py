"""Which next hops are sent chunks (RFC 3030): all that offer CHUNKING, but those that turned out not to know BDAT.

Invariants: at most REMEMBERED names are kept, the oldest are forgotten; nothing outlives the process.

Not here: how it turns out (_flight.pyx, _machine.pyx).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

REMEMBERED: Final = 1000


class Chunking:
    """For one worker."""

    def __init__(
        self,
        *,
        is_on: bool = True,
        on_taken: Callable[[], object] | None = None,
        on_refused: Callable[[str], object] | None = None,
    ) -> None:
        """``on_taken`` is called for each connection whose first chunk was taken.

        ``on_refused`` is called with each next hop that is found not to know BDAT.
        """
        self._is_on = is_on
        self._on_taken = on_taken
        self._on_refused = on_refused
        self._refused: dict[str, None] = {}

    def allows(self, next_hop: str) -> bool:
        """Whether ``next_hop`` (as in Outcome.next_hop) is sent chunks when it offers them."""
        return self._is_on and next_hop not in self._refused

    def taken(self) -> None:
        """A next hop took the first chunk of a connection."""
        if self._on_taken is not None:
            self._on_taken()

    def refused(self, next_hop: str) -> None:
        """``next_hop`` offered CHUNKING and did not know BDAT: it is sent DATA from now on."""
        self._refused[next_hop] = None
        if len(self._refused) > REMEMBERED:
            del self._refused[next(iter(self._refused))]
        if self._on_refused is not None:
            self._on_refused(next_hop)
