"""What one attempt at a next hop meant for one recipient.

A value, matched by kind; unknown failure is temporary. ``text`` is the peer's reply or our own words: it goes to
logs and DSNs (RFC 3464 2.3.6 Diagnostic-Code), never straight to another peer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DELIVERED: Final = "delivered"
DEFERRED: Final = "deferred"
FAILED: Final = "failed"
EXPIRED: Final = "expired"
DISCARDED: Final = "discarded"


class Outcome(NamedTuple):
    """The result for one recipient."""

    kind: str
    """One of the constants of this module."""
    code: int
    """Reply code (RFC 5321 4.2), 0 where no reply was involved."""
    status: str
    """Enhanced status (RFC 3463), e.g. ``4.4.1``."""
    text: str
    """The reply's text on one line, or our own words."""
    stage: str
    """Where in the journey it happened: queue, route, dns, connect, banner, helo, mail, rcpt, data, content, reply,
    store."""
    next_hop: str = ""
    """Which host or mailbox was asked, e.g. ``mx1.example.org[192.0.2.1]:25``."""


def deferred(status: str, text: str, stage: str, *, code: int = 0, next_hop: str = "") -> Outcome:
    """A temporary failure: try again later."""
    return Outcome(DEFERRED, code, status, text, stage, next_hop)


def failed(status: str, text: str, stage: str, *, code: int = 0, next_hop: str = "") -> Outcome:
    """A permanent failure: the sender is told."""
    return Outcome(FAILED, code, status, text, stage, next_hop)


def discarded(text: str, stage: str) -> Outcome:
    """Thrown away on purpose: nobody is told."""
    return Outcome(DISCARDED, 0, "2.0.0", text, stage)


def delivered(status: str, text: str, *, code: int = 250, next_hop: str = "") -> Outcome:
    """The next hop or the mailbox has it."""
    return Outcome(DELIVERED, code, status, text, "reply", next_hop)
