"""Types of the compiled module; see _machine.pyx."""

from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from relay.delivery._flight import Flight
from relay.delivery.chunking import Chunking
from relay.delivery.owner import Limits
from relay.mail.outcome import Outcome

@disjoint_base
class ClientMachine(Flight):
    """The pure client session; without ``chunking`` it sends no chunks. Each method returns what is to be written, and
    ``is_closed`` says when to hang up."""

    def __init__(
        self,
        hostname: bytes,
        limits: Limits,
        owner: Any,
        next_hop: str,
        *,
        lmtp: bool = False,
        chunking: Chunking | None = None,
        on_greeted: Callable[[Outcome | None], object] | None = None,
        now: float = 0.0,
    ) -> None: ...
    appetite: int
    """How many deliveries it takes at once when it is woken from idleness."""
    def receive(self, octets: bytes, now: float = 0.0) -> bytes:
        """Takes in what was read."""
    def output(self) -> bytes:
        """What is to be written and has not been returned yet."""
    def eof(self, now: float = 0.0) -> None:
        """The transport is gone: settles everything and reports to the owner."""
    def expire(self, now: float) -> bytes:
        """``now`` is past ``deadline``: the peer's time for this stage is over."""
    def wake(self) -> bytes:
        """The owner has work: an idle session takes it."""
    def quit(self) -> bytes:
        """Takes nothing more and ends the session once nothing is in hand."""
    def stream(self, octets: bytes | None) -> bytes:
        """While ``is_streaming``: one piece of the content file, as it is to be written; None ends the content."""
