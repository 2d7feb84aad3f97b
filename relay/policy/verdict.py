"""What policy says at one stage of a session, and what it is told about that session.

An answer is None (go on, nothing to add), a Verdict, or an awaitable of either. Everything decided from tables in
memory is answered at once (no coroutine is made for it). An awaitable has smtp.command_timeout, then it is cancelled,
and the answer is a temporary refusal; it is cancelled when the session ends, too. Meanwhile the session may go on:
more recipients are asked about, and behind a content the next transaction begins. So what an awaitable about a
content needs of the session is read before the awaitable is returned.

Not here: the rules themselves (relay/policy/policy.py), and the wording of syntax errors (relay/mail/reply.py).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, NamedTuple, Protocol

from relay.mail.reply import Reply

ANNOTATE: Final = "annotate"
"""Go on, and remember what the verdict carries."""
REJECT: Final = "reject"
"""Permanent: the reply is a 5yz."""
DEFER: Final = "defer"
"""Temporary: the reply is a 4yz. A 421 also ends the session."""


class Verdict(NamedTuple):
    """One answer that is more than "go on"."""

    kind: str
    """ANNOTATE, REJECT or DEFER."""
    reply: Reply | None = None
    """What the peer is told; always set with REJECT and DEFER, never used with ANNOTATE."""
    is_trusted: bool = False
    """ANNOTATE at connect: this client may send to anyone."""
    recipient: bytes | None = None
    """ANNOTATE at rcpt: the recipient to put into the envelope instead."""
    fields: tuple[bytes, ...] = ()
    """ANNOTATE at data: header fields to put on top, each whole lines ending in CRLF."""


Answer = Verdict | None | Awaitable[Verdict | None]


class SessionView(Protocol):
    """What a policy may read about the session it is asked about."""

    @property
    def client_address(self) -> str:
        """IP address of the peer in text form."""

    @property
    def listener(self) -> str:
        """The listener's name in the configuration."""

    @property
    def is_submission(self) -> bool:
        """Whether the listener takes submissions (RFC 6409)."""

    @property
    def is_trusted(self) -> bool:
        """Whether policy has called this client trusted at connect."""

    @property
    def account(self) -> str:
        """The authenticated account, or empty."""

    @property
    def helo(self) -> bytes:
        """The name given with HELO or EHLO, or empty."""

    @property
    def recipients(self) -> tuple[bytes, ...]:
        """Those that were accepted in the open transaction."""

    @property
    def octets(self) -> int:
        """Of the content: what came, once it has ended; before that what SIZE (RFC 1870) has announced, or 0."""

    @property
    def reverse_path(self) -> bytes:
        """Of the open transaction; empty for the null reverse-path and when there is none."""


def reject(reply: Reply) -> Verdict:
    """A permanent refusal with ``reply`` (5yz)."""
    return Verdict(REJECT, reply)


def defer(reply: Reply) -> Verdict:
    """A temporary refusal with ``reply`` (4yz)."""
    return Verdict(DEFER, reply)
