"""Types of the compiled module; see _transactions.pyx."""

from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from relay.delivery.owner import Limits
from relay.mail.outcome import Outcome

@disjoint_base
class Transactions:
    """The state of a session. ``owner`` is as relay.delivery.owner.Owner, for the kind of session it is given."""

    next_hop: str
    """For logs and outcomes, e.g. ``mx1.example.org[192.0.2.1]:25``."""
    messages: int
    """Deliveries whose outcome is known."""
    deadline: float
    """Time at which the peer's present stage is over, in seconds of the clock that ``now`` comes from."""
    is_greeted: bool
    is_idle: bool
    """Greeted, nothing in hand, not quitting: ``wake()`` will make it take."""
    is_closed: bool
    is_streaming: bool
    def __init__(
        self,
        limits: Limits,
        owner: Any,
        next_hop: str,
        *,
        lmtp: bool = False,
        on_greeted: Callable[[Outcome | None], object] | None = None,
        now: float = 0.0,
    ) -> None: ...
