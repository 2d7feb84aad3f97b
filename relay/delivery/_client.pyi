"""Types of the compiled module; see _client.pyx."""

import asyncio
from collections.abc import Callable

from typing_extensions import disjoint_base

from relay.delivery._machine import ClientMachine
from relay.delivery.owner import Limits, Owner
from relay.mail.outcome import Outcome
from relay.net.wheel import TimingWheel

@disjoint_base
class ClientSession(ClientMachine):
    """An SMTP or LMTP client session on a uvloop connection; made by relay.delivery.connect.

    Pull model: it takes deliveries from ``owner`` (relay.delivery.owner.Owner) for as long as there are any.
    """

    is_writing_paused: bool
    """Whether the peer takes our octets more slowly than we have them."""
    octets_waiting: int
    """Octets written that the kernel has not taken yet."""
    def __init__(
        self,
        hostname: bytes,
        limits: Limits,
        owner: Owner,
        wheel: TimingWheel[ClientSession],
        loop: asyncio.AbstractEventLoop,
        next_hop: str,
        *,
        lmtp: bool = False,
        on_greeted: Callable[[Outcome | None], object] | None = None,
    ) -> None:
        """``on_greeted`` is called once: with None when EHLO was answered (before the first ``take``), or with why
        the session never came to it; in that case the owner hears nothing of this session."""
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
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, octets: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, fault: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
