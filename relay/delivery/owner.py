"""What a client session needs from whoever feeds it, and the limits it keeps.

Theory: a session *pulls*. It asks its owner for the next delivery at the last instant at which that delivery can
still ride in the same write as what goes before it; it reports outcomes; it says when it is over. The owner never
pushes, so nothing waits in a session that another session could have taken.

Not here: which delivery is next (relay/queue), and what an outcome changes (relay/dispatch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from relay.config.delivery import DeliverySettings
    from relay.delivery._client import ClientSession
    from relay.delivery._delivery import Delivery
    from relay.mail.outcome import Outcome


class Owner(Protocol):
    """Who feeds a session. Called on the loop's thread, from inside the session: every method must return soon,
    and may call ``wake``, ``quit`` and ``abort`` of the same session."""

    def take(self, client: ClientSession, /) -> Delivery | None:
        """The next delivery for this connection, or None: the session then stays idle until ``client.wake()``.

        Asked when the peer has greeted us; then, where PIPELINING was offered, each time an end of data is about to
        be written; where it was not, after each finished delivery; and where CHUNKING was offered too, for several in a
        row when half of those that may be in flight are answered. Not asked again once the session is asked to quit
        or has used up ``Limits.max_messages``. What is returned belongs to the session until ``finished`` or
        ``closed`` gives it back.
        """

    def finished(self, client: ClientSession, delivery: Delivery, outcomes: list[Outcome], /) -> None:
        """One outcome per recipient of ``delivery``, in their order. Called once per delivery taken, but for the
        ones that ``closed`` hands back as unsent."""

    def closed(self, client: ClientSession, unsent: list[Delivery], why: Outcome | None, /) -> None:
        """The connection is over; the session calls nothing after this.

        ``unsent`` were taken and are not to blame, oldest first: they rode behind something on a connection that
        ended, or the peer closed a connection that had served before, and answered nothing of them. They may be sent
        on another connection at once, without counting an attempt. ``why`` is None after an orderly end (we quit, or
        the peer closed or said 421 between transactions) and otherwise has the failure, always a temporary one.
        """


class Limits(NamedTuple):
    """How long a session waits for its peer, and how much it does. Durations are seconds (RFC 5321 4.5.3.2)."""

    connect: float = 30.0
    """For each address."""
    banner: float = 300.0
    helo: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    content: float = 180.0
    """For each step of the content that the peer's TCP window lets go."""
    reply: float = 600.0
    """From the end of data to its reply."""
    idle: float = 30.0
    """An idle connection is ended with QUIT after this."""
    quit: float = 5.0
    """How long a reply to QUIT is waited for."""
    max_messages: int = 1000
    """After so many deliveries a connection is ended with QUIT."""

    @classmethod
    def of(cls, settings: DeliverySettings) -> Limits:
        """The limits that the configuration sets."""
        return cls(
            connect=settings.connect_timeout,
            banner=settings.helo_timeout,
            helo=settings.helo_timeout,
            mail=settings.mail_timeout,
            rcpt=settings.rcpt_timeout,
            data=settings.data_timeout,
            content=settings.content_timeout,
            reply=settings.reply_timeout,
            idle=settings.idle_timeout,
            max_messages=settings.connection_reuse,
        )
