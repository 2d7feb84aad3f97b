"""Local delivery: a message into the maildirs of its recipients, with the header fields of final delivery.

RFC 5321 4.4: the server that makes final delivery adds Return-Path. Delivered-To names the mailbox, for people and
for loop tracing.

Theory: blocking work for a thread; a batch of messages is written and synced together, so that deliveries to one
maildir share the syncing of its directory.

Not here: choosing the mailbox (relay/queue/routing.py), the file itself (relay/mailbox/maildir.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from relay.delivery._delivery import Delivery
    from relay.mail.outcome import Outcome


class LocalJob(NamedTuple):
    """One message for one mailbox."""

    delivery: Delivery
    """Its content and reverse-path; the recipients are not looked at."""
    recipient: bytes
    """The address as it was given in RCPT."""
    mailbox: bytes
    """The account it belongs to, ``local@domain``; names the folder."""


def deliver_local(mail_dir: Path, jobs: list[LocalJob]) -> list[Outcome]:
    """Delivers ``jobs`` and returns one outcome for each, in order. Blocking: call it in a thread.

    Delivered means *published*: synced, in ``new``, directory synced. A fault of the disk defers that job alone.
    """
    raise NotImplementedError
