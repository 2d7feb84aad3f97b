"""Local delivery: a message into the maildirs of its recipients, with the header fields of final delivery.

RFC 5321 4.4: the server that makes final delivery adds Return-Path. Delivered-To names the mailbox, for people and
for tracing loops.

Theory: blocking work for a thread. What waits is handed over as one batch while the batch before is being synced, so
that deliveries share syncs the more, the more there are; several threads gain on top of that.

Not here: choosing the mailbox (relay/queue/routing.py), the file itself (relay/mailbox/maildir.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from relay.delivery.room import Room
from relay.mail.outcome import DELIVERED, Outcome, deferred, failed
from relay.mailbox.maildir import Message, deliver, folder_of

if TYPE_CHECKING:
    from relay.delivery._delivery import Delivery


class LocalJob(NamedTuple):
    """One message for one mailbox."""

    delivery: Delivery
    """Its content and reverse-path; the recipients are not looked at."""
    mailbox: bytes
    """The account it belongs to, ``local@domain``; names the folder."""


def deliver_local(mail_dir: Path, jobs: list[LocalJob], room: Room | None = None, now: float = 0.0) -> list[Outcome]:
    """Delivers ``jobs`` and returns one outcome for each, in order. Blocking: call it in a thread.

    ``room`` knows the quota of the accounts; ``now`` (seconds since 1970) is for its warnings.

    Delivered means *published*: synced, in ``new``, directory synced. A fault of the disk defers that job alone.
    """
    outcomes: list[Outcome | None] = []
    messages: list[Message] = []
    for job in jobs:
        try:
            folder = folder_of(mail_dir, job.mailbox)
        except ValueError:
            text = "the address cannot name a mailbox here"
            outcomes.append(failed("5.1.3", text, "store", next_hop=_shown(job.mailbox)))
        else:
            refusal = room.refusal(folder, job.delivery.size, _shown(job.mailbox)) if room else None
            outcomes.append(refusal)
            if refusal is None:
                messages.append(_message(folder, job))
    results = iter(deliver(messages))
    done = [outcome or _outcome(job, next(results)) for job, outcome in zip(jobs, outcomes, strict=True)]
    if room and room.is_limited:
        _warn(mail_dir, jobs, done, room, now)
    return done


def _warn(mail_dir: Path, jobs: list[LocalJob], outcomes: list[Outcome], room: Room, now: float) -> None:
    """Tells owners whose mailbox is nearly full; the messages are delivered whatever becomes of that."""
    delivered = {job.mailbox for job, outcome in zip(jobs, outcomes, strict=True) if outcome.kind == DELIVERED}
    for mailbox in delivered:
        with contextlib.suppress(OSError):
            room.warn(folder_of(mail_dir, mailbox), _shown(mailbox), now)


def _message(folder: Path, job: LocalJob) -> Message:
    delivery = job.delivery
    header = b"Return-Path: <" + delivery.reverse_path + b">\r\nDelivered-To: " + job.mailbox + b"\r\n"
    beginning = delivery.content if delivery.content is not None else b""
    return Message(folder, (header, beginning), delivery.path, delivery.size - len(beginning))


def _outcome(job: LocalJob, result: str | OSError) -> Outcome:
    """Texts go to the sender in a DSN: no path of ours is in them."""
    mailbox = _shown(job.mailbox)
    if not isinstance(result, OSError):
        return Outcome(DELIVERED, 0, "2.0.0", f"stored as {result}", "store", mailbox)
    if result.errno == errno.EDQUOT:
        return deferred("4.2.2", "the mailbox is full", "store", next_hop=mailbox)
    if result.errno == errno.ENOSPC:
        return deferred("4.3.1", "the mail system is full", "store", next_hop=mailbox)
    cause = os.strerror(result.errno) if result.errno else type(result).__name__
    return deferred("4.3.0", f"the mailbox cannot be written: {cause}", "store", next_hop=mailbox)


def _shown(mailbox: bytes) -> str:
    return mailbox.decode("utf-8", "backslashreplace")
