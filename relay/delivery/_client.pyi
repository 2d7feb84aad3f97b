"""Types of the compiled module; see _client.pyx."""

import asyncio
from collections.abc import Callable

from typing_extensions import disjoint_base

from relay.delivery._machine import ClientMachine
from relay.delivery.chunking import Chunking
from relay.delivery.owner import Limits, Owner
from relay.mail.outcome import Outcome
from relay.net._poll import Poll
from relay.net._tls_stream import TlsStream
from relay.net.wheel import TimingWheel

@disjoint_base
class Wire(TlsStream):
    """The socket under a session."""

@disjoint_base
class ClientSession(ClientMachine):
    """An SMTP or LMTP client session on a socket of its own; made by relay.delivery.connect.

    Pull model: it takes deliveries from ``owner`` (relay.delivery.owner.Owner) for as long as there are any.
    """

    is_choked: bool
    """Whether the peer takes our octets more slowly than we have them."""
    connected_at: float
    """When the peer accepted the connection (loop time); 0.0 before."""
    octets_waiting: int
    """Octets written that the kernel has not taken yet."""
    def __init__(
        self,
        hostname: bytes,
        limits: Limits,
        owner: Owner,
        wheel: TimingWheel,
        loop: asyncio.AbstractEventLoop,
        next_hop: str,
        *,
        lmtp: bool = False,
        chunking: Chunking | None = None,
        on_greeted: Callable[[Outcome | None], object] | None = None,
    ) -> None:
        """``on_greeted`` is called once: with None when EHLO was answered (before the first ``take``), or with why
        the session never came to it; in that case the owner is not called for this session."""
    def connect(self, poll: Poll, descriptor: int) -> None:
        """Takes over a socket that is being connected, or is; called once, before anything else. A connection that does
        not come about is passed to ``on_greeted`` like a refused greeting."""
    def wake(self) -> None:  # type: ignore[override]  # the session writes by itself
        """The owner has work: an idle session takes it now; any other ignores this (it will ask by itself)."""
    def quit(self) -> None:  # type: ignore[override]  # the same
        """Finish what is in hand, take nothing more, send QUIT. Idempotent."""
    def abort(self, text: str = ...) -> None:
        """End the connection at once. What is in hand is deferred with ``text``, or handed back as unsent."""
    def withdraw(self) -> bool:
        """End the connection at once if no content waits for the peer's answer; what is in hand goes back unsent.
        Whether it did."""
    def expire(self, now: float) -> None:  # type: ignore[override]  # the same
        """The timing wheel found ``deadline`` passed at ``now`` (loop time): the stage has timed out."""
