"""Types of the compiled module; see _client.pyx."""

import asyncio
from collections.abc import Callable

from relay.delivery.owner import Limits, Owner, Wheel
from relay.mail.outcome import Outcome

class ClientSession:
    """An SMTP or LMTP client session on a uvloop connection; made by relay.delivery.connect.

    Pull model: it takes deliveries from ``owner`` (relay.delivery.owner.Owner) for as long as there are any.
    """

    next_hop: str
    """For logs and outcomes, e.g. ``mx1.example.org[192.0.2.1]:25``."""
    messages: int
    """Deliveries whose outcome is known."""
    is_idle: bool
    """Greeted, nothing in hand, not quitting: ``wake()`` will make it take."""
    is_greeted: bool
    is_closed: bool
    deadline: float
    """Loop time at which the peer's present stage is over; for the timing wheel."""
    def __init__(
        self,
        hostname: bytes,
        limits: Limits,
        owner: Owner,
        wheel: Wheel,
        loop: asyncio.AbstractEventLoop,
        next_hop: str,
        *,
        lmtp: bool = False,
        on_greeted: Callable[[Outcome | None], object] | None = None,
    ) -> None:
        """``on_greeted`` is called once: with None when EHLO was answered (before the first ``take``), or with why
        the session never came to it; in that case the owner hears nothing of this session."""
    def wake(self) -> None:
        """The owner has work: an idle session takes it now; any other ignores this (it will ask by itself)."""
    def quit(self) -> None:
        """Finish what is in hand, take nothing more, send QUIT. Idempotent."""
    def abort(self, text: str = ...) -> None:
        """End the connection at once. What is in hand is deferred with ``text``, or handed back as unsent."""
    def expire(self, now: float) -> None:
        """The timing wheel found ``deadline`` passed at ``now`` (loop time): the stage has timed out."""
    def connection_made(self, transport: asyncio.BaseTransport, /) -> None: ...
    def data_received(self, octets: bytes, /) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, fault: BaseException | None, /) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
