"""What an operator may do to entries, and what the queue does to old ones: hold, release, retry, remove, copy forward.

Finding them: ``Places.find`` by queue id, age or group; by recipient domain the record has to be read, because
addresses are not kept in memory: ``matching`` then finds which recipients are meant.

Each function returns the journal entries to append. An entry that is being attempted cannot be removed nor copied;
one that is held meanwhile goes to hold when the attempt is over and has not ended it. One that is being copied cannot
be removed, held or released: the copy would not know of it.

Not here: the words of the command line (relay/cli), reading records (relay/dispatch).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.mail.envelope import COPY, Carried, Envelope
from relay.queue.action import JournalEntry
from relay.queue.entry import (
    ACTIVE,
    COPYING,
    DEFERRED,
    GONE,
    IS_DELAY_NOTIFIED,
    IS_HELD,
    IS_RELEASED,
    Entry,
    reason_of,
)
from relay.queue.group import Domain, Group
from relay.queue.scheduler import Scheduler


def matching(entry: Entry, recipients: Sequence[bytes], domain: bytes) -> tuple[int, ...]:
    """Which recipients of ``entry`` are at ``domain`` (lower case), written with a dot at its end or without;
    ``recipients`` are those of the record's envelope."""
    indexes = entry.indexes if entry.indexes is not None else range(len(recipients))
    domain = domain.removesuffix(b".")
    suffixes = (b"@" + domain, b"@" + domain + b".")
    return tuple(index for index in indexes if index < len(recipients) and recipients[index].endswith(suffixes))


def hold(scheduler: Scheduler, entry: Entry, now: int) -> list[JournalEntry]:
    """``entry`` is kept and not tried, and does not expire, until release; nothing when it is held already, or being
    copied."""
    if entry.flags & IS_HELD or entry.state == COPYING:
        return []
    entry.flags = entry.flags & ~IS_RELEASED | IS_HELD
    if entry.state != ACTIVE:
        entry.unlink()
        scheduler.places.place(entry, now)
    return [("held", *entry.ref, entry.indexes)]


def release(scheduler: Scheduler, entry: Entry, now: int) -> list[JournalEntry]:
    """``entry`` is tried again, at once; nothing when it is not held, or being copied."""
    if not entry.flags & IS_HELD or entry.state == COPYING:
        return []
    entry.flags = entry.flags & ~IS_HELD | IS_RELEASED
    if entry.state != ACTIVE:
        entry.unlink()
        entry.due_at = now
        scheduler.places.place(entry, now)
    return [("released", *entry.ref, entry.indexes)]


def retry(scheduler: Scheduler, entry: Entry, now: int) -> None:
    """``entry`` is due now, and its next hop is probed at once if it is suspended. Held entries stay held.

    Not journaled: after a restart it is due when it was before.
    """
    if entry.state == DEFERRED:
        entry.unlink()
        entry.due_at = now
        scheduler.places.ready(entry, now)
    group: Group | Domain | None = entry.group
    if isinstance(group, Domain):
        scheduler.domains.resume_now(group, now)
        group = group.target
    if group is not None:
        scheduler.pool.resume_now(group, now)


def remove(scheduler: Scheduler, entry: Entry, indexes: Iterable[int] | None, now: int) -> list[JournalEntry] | None:
    """Discards the recipients ``indexes`` of ``entry`` (None: all it has) without a DSN.

    None when it is being attempted or copied: try again later.
    """
    if entry.state in (ACTIVE, COPYING):
        return None
    has = entry.indexes if entry.indexes is not None else tuple(range(entry.count))
    unwanted = set(has) if indexes is None else set(indexes) & set(has)
    if not unwanted:
        return []
    whole = len(unwanted) == len(has)
    gone = entry.indexes if whole else tuple(sorted(unwanted))
    journal: list[JournalEntry] = [("finished", *entry.ref, gone)]
    scheduler.ledger.finished(journal)
    if whole:
        scheduler.places.forget(entry, now)
        return journal
    left = [position for position, index in enumerate(has) if index not in unwanted]
    if isinstance(entry.reason, tuple):
        entry.reason = tuple([entry.reason[position] for position in left])
    entry.indexes = tuple([has[position] for position in left])
    entry.count = len(left)
    return journal


# Copying forward: the owner of the copy's log spools ``copy_envelope`` with the old content; when that is spooled,
# and before the copy is read from the log like any record, ``copied`` ends the old entry.


def lift(entry: Entry) -> bool:
    """Takes ``entry`` out of the queue while its record is being copied; False when it is being attempted, or over.
    Follow with ``copied`` or ``put_down``."""
    if entry.state in (ACTIVE, COPYING, GONE):
        return False
    entry.unlink()
    entry.state = COPYING
    return True


def copy_envelope(entry: Entry, envelope: Envelope) -> Envelope:
    """The envelope of the copy of ``entry``, whose record has ``envelope``: only its recipients, and what was tried."""
    indexes = entry.indexes if entry.indexes is not None else tuple(range(len(envelope.recipients)))
    reason = reason_of(entry, 0)
    carried = Carried(
        log=entry.log,
        segment=entry.segment,
        offset=entry.offset,
        indexes=indexes,
        attempts=entry.attempts,
        due_at=entry.due_at,
        is_delay_notified=bool(entry.flags & IS_DELAY_NOTIFIED),
        is_held=bool(entry.flags & IS_HELD),
        status=reason.status if reason else "",
        text=reason.text if reason else "",
        code=reason.code if reason else 0,
        stage=reason.stage if reason else "",
        next_hop=reason.next_hop if reason else "",
    )
    recipients = tuple(envelope.recipients[index] for index in indexes)
    return envelope._replace(recipients=recipients, flags=envelope.flags | COPY, carried=carried)


def copied(scheduler: Scheduler, entry: Entry, now: int) -> list[JournalEntry]:
    """The copy is spooled: the old entry is over."""
    journal: list[JournalEntry] = [("finished", *entry.ref, entry.indexes)]
    scheduler.ledger.finished(journal)
    scheduler.places.forget(entry, now)
    return journal


def put_down(scheduler: Scheduler, entry: Entry, now: int) -> None:
    """The copy did not come about: the entry is queued as before."""
    scheduler.places.place(entry, now)
