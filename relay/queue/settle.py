"""What the outcomes of one attempt mean: what is journaled, what a DSN reports, what is tried again.

Theory: recipients fall into three lots. Finished ones (delivered, discarded) go to the journal as such. Failed and
expired ones are journaled with their outcome, because a DSN is owed from then on, whatever crashes; they count as
finished when that DSN is spooled, or at once when nobody is to have one (``<>``). The others stay in the entry,
which thereby narrows.

Every outcome that is not known is temporary.

Not here: where the entry waits (scheduler.py), the text of a DSN (relay/dsn).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.mail import outcome as kinds
from relay.mail.outcome import Outcome
from relay.queue.action import JournalEntry, Notice, Settled
from relay.queue.entry import IS_NULL_PATH, Entry, Reason, Reasons, reason_of
from relay.queue.retry import RetryPolicy

_FINISHED = (kinds.DELIVERED, kinds.DISCARDED)
_REPORTED = (kinds.FAILED, kinds.EXPIRED)


def settle(
    entry: Entry, outcomes: Sequence[Outcome], policy: RetryPolicy, reasons: Reasons, now: int, draw: float
) -> Settled:
    """Applies ``outcomes`` (one per recipient of ``entry``, in order) to ``entry``; returns what follows.

    Afterwards ``entry.count`` recipients are left in it: 0 when it is over. When not, ``attempts``, ``due_at``
    and ``reason`` are those of the next attempt.
    """
    before = entry.indexes
    over: list[int] = []
    failures: list[tuple[int, Outcome]] = []
    waiting: list[tuple[int, Outcome]] = []
    for position, outcome in enumerate(outcomes):
        index = before[position] if before is not None else position
        if outcome.kind in _FINISHED:
            over.append(index)
        elif outcome.kind in _REPORTED:
            failures.append((index, outcome))
        else:
            waiting.append((index, outcome))
    journal: list[JournalEntry] = []
    all_outcomes = tuple(outcomes)
    if waiting:
        due_at = policy.next(entry.attempts + 1, entry.received_at, now, draw)
        if due_at is None:
            failures = sorted(failures + [(index, expired(outcome)) for index, outcome in waiting])
            all_outcomes = _with_expired(all_outcomes)
            waiting = []
        else:
            entry.attempts = min(entry.attempts + 1, 65535)
            entry.due_at = due_at
    notice = _fail(entry, over, failures, policy, journal)
    if waiting:
        _defer(entry, waiting, len(outcomes), reasons, journal)
    else:
        entry.count = 0
    if over:
        indexes = before if len(over) == len(outcomes) else tuple(over)
        journal.append(("finished", entry.log, entry.segment, entry.offset, indexes))
    return Settled(entry, journal, notice, all_outcomes, before)


def expired(outcome: Outcome) -> Outcome:
    """``outcome``, the last of a recipient whose lifetime is over, as the end of it (RFC 3463 X.4.7).

    Its text stays the next hop's, status and all, so that the DSN quotes nothing that was not sent; X.0.0 stands for a
    status that was not sent (relay/delivery/_replies.pyx).
    """
    text = outcome.text
    has_status = outcome.status and not outcome.status.endswith(".0.0")
    if outcome.code and has_status and not text.startswith(outcome.status):
        text = f"{outcome.status} {text}"
    return Outcome(kinds.EXPIRED, outcome.code, "4.4.7", text, outcome.stage, outcome.next_hop)


def expire(entry: Entry, policy: RetryPolicy, reason: Reason | None) -> Settled:
    """Ends ``entry`` because its lifetime is over; ``reason`` (that of its group) counts more than its own."""
    unknown = kinds.deferred("4.4.7", "it was never its turn", "queue")
    outcomes = [
        expired((reason or reason_of(entry, i) or unknown_reason(unknown)).outcome()) for i in range(entry.count)
    ]
    return end(entry, outcomes, policy)


def unknown_reason(outcome: Outcome) -> Reason:
    """``outcome`` as a reason that is not shared."""
    return Reason(outcome.code, outcome.status, outcome.text, outcome.stage, outcome.next_hop)


def end(entry: Entry, outcomes: Sequence[Outcome], policy: RetryPolicy) -> Settled:
    """Ends ``entry`` with outcomes that are all failed or expired."""
    indexes = entry.indexes
    failures = [(indexes[i] if indexes is not None else i, outcome) for i, outcome in enumerate(outcomes)]
    journal: list[JournalEntry] = []
    over: list[int] = []
    notice = _fail(entry, over, failures, policy, journal)
    if over:
        journal.append(("finished", entry.log, entry.segment, entry.offset, indexes))
    entry.count = 0
    return Settled(entry, journal, notice, tuple(outcomes), indexes)


def delay(entry: Entry, policy: RetryPolicy, reason: Reason | None) -> Settled:
    """The delay notice of ``entry``; ``reason`` (that of its group) counts more than its own."""
    indexes = entry.indexes
    unknown = unknown_reason(kinds.deferred("4.4.0", "it has not been its turn yet", "queue"))
    failures = tuple(
        (indexes[i] if indexes is not None else i, (reason or reason_of(entry, i) or unknown).outcome())
        for i in range(entry.count)
    )
    expires_at = entry.received_at + policy.lifetime
    notice = Notice("delay", entry.log, entry.segment, entry.offset, failures, expires_at)
    return Settled(entry, [], notice, (), indexes)


def failed_entries(notice: Notice) -> list[JournalEntry]:
    """The journal entries of a bounce that is owed: one for each different outcome."""
    lots: dict[Outcome, list[int]] = {}
    for index, outcome in notice.failures:
        lots.setdefault(outcome, []).append(index)
    return [
        ("failed", notice.log, notice.segment, notice.offset, tuple(lot), *o[1:], o.kind) for o, lot in lots.items()
    ]


def deferred_entries(entry: Entry) -> Iterable[JournalEntry]:
    """The journal entries about when ``entry`` is due and why it waits: one for each different reason."""
    reason: Reason | tuple[Reason, ...] | None = entry.reason
    head = ("deferred", entry.log, entry.segment, entry.offset)
    if not isinstance(reason, tuple):
        return [(*head, entry.indexes, entry.attempts, entry.due_at, *_why(reason))]
    lots: dict[Reason, list[int]] = {}
    for position, each in enumerate(reason):
        lots.setdefault(each, []).append(entry.indexes[position] if entry.indexes is not None else position)
    return [(*head, tuple(lot), entry.attempts, entry.due_at, *_why(r)) for r, lot in lots.items()]


def _why(reason: Reason | None) -> tuple[str, str, int, str, str]:
    """In the order of the journal, where the last three were added later."""
    if reason is None:
        return "", "", 0, "", ""
    return reason.status, reason.text, reason.code, reason.stage, reason.next_hop


def _fail(
    entry: Entry, over: list[int], failures: list[tuple[int, Outcome]], policy: RetryPolicy, journal: list[JournalEntry]
) -> Notice | None:
    if not failures:
        return None
    if entry.flags & IS_NULL_PATH:
        over.extend(index for index, _ in failures)
        over.sort()
        return None
    expires_at = entry.received_at + policy.lifetime
    notice = Notice("bounce", entry.log, entry.segment, entry.offset, tuple(failures), expires_at)
    journal.extend(failed_entries(notice))
    return notice


def _defer(
    entry: Entry, waiting: list[tuple[int, Outcome]], count: int, reasons: Reasons, journal: list[JournalEntry]
) -> None:
    if len(waiting) != count:
        entry.indexes = tuple([index for index, _ in waiting])
        entry.count = len(waiting)
    kept = [reasons.keep(outcome) for _, outcome in waiting]
    entry.reason = kept[0] if all(reason is kept[0] for reason in kept) else tuple(kept)
    journal.extend(deferred_entries(entry))


def _with_expired(outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    known = (*_FINISHED, *_REPORTED)
    return tuple(outcome if outcome.kind in known else expired(outcome) for outcome in outcomes)
