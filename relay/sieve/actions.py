"""What a script wants done with a message: values, carried out by whoever ran it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Keep(NamedTuple):
    """Store in INBOX (RFC 5228 4.3), on purpose or because nothing else was said (implicit keep, 2.10.2)."""

    flags: tuple[str, ...] = ()
    header: bytes | None = None
    """The header section to store, when it was edited (RFC 5293)."""


class FileInto(NamedTuple):
    """Store in a mailbox (RFC 5228 4.1)."""

    mailbox: str
    flags: tuple[str, ...] = ()
    create: bool = False
    """Make the mailbox when it is not there (RFC 5490 3.2); without it the message goes to INBOX instead."""
    header: bytes | None = None
    special_use: str = ""
    """What a mailbox that is made gets (RFC 8579 4)."""


class Redirect(NamedTuple):
    """Send on to an address (RFC 5228 4.2)."""

    address: str
    header: bytes | None = None


class Reject(NamedTuple):
    """Give back to the sender with a reason (RFC 5429)."""

    reason: str
    is_early: bool
    """``ereject``: as a refusal or a DSN; otherwise an MDN that keeps the text."""


class Vacation(NamedTuple):
    """Answer the sender, not more often than once in ``seconds`` (RFC 5230)."""

    reason: str
    seconds: int
    subject: str
    """Empty: "Auto: " and the subject of the message."""
    sender: str
    """From field; empty: the account."""
    addresses: tuple[str, ...]
    """The user's other addresses."""
    is_mime: bool
    handle: str
    """Two vacations with one handle are one for the counting of days."""


class Track(NamedTuple):
    """Remember that a message was seen (RFC 7352 3.2)."""

    key: str
    seconds: int


@dataclass(slots=True)
class Result:
    """What one run came to."""

    stores: list[Keep | FileInto] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    reject: Reject | None = None
    vacation: Vacation | None = None
    tracks: list[Track] = field(default_factory=list)
    is_discarded: bool = False
    """Nothing is stored, and that is meant."""

    @property
    def is_plain_keep(self) -> bool:
        """Whether it is as if there were no script."""
        return self.stores == [Keep()] and not (self.redirects or self.reject or self.vacation or self.tracks)
