"""Local delivery: a message into the maildirs of its recipients, with the header fields of final delivery.

RFC 5321 4.4: the server that makes final delivery adds Return-Path. Delivered-To names the mailbox, for people and
for tracing loops (trace.py).

A message that names one account several times (with tags, as postmaster) is stored once: each recipient has its turn
with the account's script, and what would be the same copy in the same mailbox again is not made.

Theory: blocking work for a thread. What waits is handed over as one batch while the batch before is being synced, so
that deliveries share syncs the more, the more there are; several threads gain on top of that. A script of the account
is run in the same thread (sieve_plan.py). Where it sends new messages the job comes back as ``Sending``: when they are
spooled, the job is handed in again with its plan.

Not here: choosing the mailbox (addressee.py), the file itself (relay/mailbox/maildir.py), what a script
means (sieve_plan.py), spooling (mailbox_delivery.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

from relay.mail.outcome import DELIVERED, DISCARDED, Outcome, deferred, failed
from relay.mailbox.files import is_lasting
from relay.mailbox.logfile import NAME as LOG
from relay.mailbox.maildir import Message, deliver, folder_of
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.store import FolderStore
from relay.mailbox.troubles import SILENT, Troubles
from relay.mailbox.vocabulary import INBOX, Refusal, Refused
from relay.mda import trace
from relay.mda.batch import Batch
from relay.mda.incoming import Incoming, edited, whole
from relay.mda.interfaces import Deliverable
from relay.mda.room import Room
from relay.mda.sieve_plan import STORED, Filters, Outgoing, Placement, Plan
from relay.net.stopping import DEADLINE, JobStopped

_LETTERS: Final = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}


class LocalJob(NamedTuple):
    """One message for one mailbox."""

    delivery: Deliverable
    """Its content and reverse-path; the recipients are not looked at."""
    mailbox: bytes
    """The account it belongs to, ``local@domain``; names the folder."""
    recipient: bytes = b""
    """The address in the envelope, for a script."""
    queue_id: str = ""
    plan: Plan | None = None
    """What a script wants, when its new messages are spooled already."""


class Suspect(NamedTuple):
    """The job counts against its message: a second time, and the message is set aside."""

    cause: str
    """One of ``SET_ASIDE`` of relay/telemetry/metrics.py."""
    outcome: Outcome


class Sending(NamedTuple):
    """New messages to spool before the job goes on with its plan."""

    plan: Plan
    outgoing: list[Outgoing]


def deliver_local(
    mail_dir: Path,
    jobs: list[LocalJob],
    room: Room | None = None,
    now: float = 0.0,
    filters: Filters | None = None,
    batch: Batch | None = None,
    troubles: Troubles = SILENT,
) -> list[Outcome | Sending | Suspect]:
    """Delivers ``jobs`` and returns one outcome for each, in order. Blocking: call it in a thread.

    ``room`` knows the quota of the accounts; ``now`` (seconds since 1970) is for its warnings and for scripts, which
    ``filters`` knows. ``batch`` is how the caller follows it, and takes back jobs while nothing is written: the result
    is then that of the one job that was not taken back. JobStopped when that one was, too.

    Delivered means *published*: synced, in ``new``, directory synced. A fault of the disk defers that job alone, and
    ``troubles`` gets the file, the sender never reads of it. So does any other fault: it makes its job a ``Suspect``.
    """
    batch = batch or Batch()
    works: list[_Work | Outcome | Sending | Suspect] = []
    for number, job in enumerate(jobs):
        if not batch.begins(number):
            break
        works.append(_prepared_or_not(mail_dir, job, filters, room, now, troubles))
    if not batch.writes():
        raise JobStopped(DEADLINE)
    if batch.is_split:
        works, jobs = works[-1:], [jobs[batch.at]]
    if len(jobs) > 1:
        _join(jobs, works)
    results = iter(_written([message for work in works if isinstance(work, _Work) for message in work.messages]))
    done = [
        _outcome(work, [next(results) for _ in work.messages], now, troubles) if isinstance(work, _Work) else work
        for work in works
    ]
    if room and room.is_limited:
        _warn(mail_dir, jobs, done, room, now)
    return done


class _Keywords(NamedTuple):
    """A copy that has keywords: it goes through the store, which knows their letters."""

    job: LocalJob
    account: Path
    placement: Placement


class _Same(NamedTuple):
    """A copy that another recipient of the message gets already."""

    place: int
    """Where that is among all messages of the batch."""


def _join(jobs: list[LocalJob], works: list[_Work | Outcome | Sending | Suspect]) -> None:
    """Leaves out what would be the same copy of the same content in the same mailbox once more, and a new message that
    another recipient's script sends already."""
    seen: dict[object, int] = {}
    place = 0
    for job, work in zip(jobs, works, strict=True):
        if isinstance(work, _Work):
            for number, copy in enumerate(_copies(job, work)):
                first = seen.setdefault(copy, place + number)
                if first != place + number and isinstance(work.messages[number], Message | _Keywords):
                    work.messages[number] = _Same(first)
            place += len(work.messages)
    done: set[object] = {*seen}
    for job, work in zip(jobs, works, strict=True):
        if isinstance(work, Sending):
            _leave_out(job, work, done)


def _leave_out(job: LocalJob, sending: Sending, done: set[object]) -> None:
    """The same for what is stored when new messages are spooled. Should the other recipient's turn fail, it comes again
    by itself."""
    plan = sending.plan
    placements = [each for each in plan.placements if _copy(job, each) not in done]
    outgoing = [each for each in plan.outgoing if _sent(job, each) not in done]
    plan.is_shared = len(placements) < len(plan.placements) or len(outgoing) < len(plan.outgoing)
    done.update(_copy(job, each) for each in placements)
    done.update(_sent(job, each) for each in outgoing)
    plan.placements[:], plan.outgoing[:] = placements, outgoing


def _copies(job: LocalJob, work: _Work) -> list[object]:
    """What each message of ``work`` is a copy of, a notice left out."""
    if work.plan is None:
        message = work.messages[0]
        assert isinstance(message, Message)
        return [_copy(job, Placement(message.folder, (), None, "INBOX"))]
    return [_copy(job, each) for each in work.placements]


def _sent(job: LocalJob, outgoing: Outgoing) -> object:
    return id(job.delivery), job.mailbox, outgoing.kind, outgoing.key


def _copy(job: LocalJob, placement: Placement) -> object:
    return id(job.delivery), placement.folder, placement.flags, placement.header


def _written(messages: list[Message | _Keywords | _Same]) -> list[str | OSError]:
    """Stores all of them, those without keywords in one batch."""
    kept = [_with_keywords(each) if isinstance(each, _Keywords) else each for each in messages]
    results = iter(deliver([each for each in kept if isinstance(each, Message)]))
    done: list[str | OSError] = []
    for each in kept:
        if isinstance(each, _Same):
            done.append(done[each.place])
        else:
            done.append(next(results) if isinstance(each, Message) else each)
    return done


def _with_keywords(copy: _Keywords) -> str | OSError | Message:
    """Stores a copy that has keywords; a message without them when the store does not take them."""
    try:
        return _through_store(*copy) or _message(copy.job, copy.placement)
    except OSError as fault:
        return fault
    except Exception as fault:  # noqa: BLE001 - the others of the batch must not be lost with it
        return OSError(errno.EIO, type(fault).__name__)


def _through_store(job: LocalJob, account: Path, placement: Placement) -> str | OSError | None:
    incoming = _incoming(job)
    if placement.header is not None:
        parts: tuple[trace.Part, ...] = (edited(incoming, trace.without(placement.header)),)
    else:
        parts, _ = trace.parts_of(whole(incoming), None)
    content = b"".join((_trace(job), *parts))
    try:
        appending = FolderStore(account).begin_append(placement.shown)
        try:
            appending.add(placement.flags)
            appending.write(content)
            appended = appending.commit()
        except BaseException:
            appending.abort()
            raise
    except Refused as refused:
        return OSError(errno.EDQUOT, "over quota") if refused.why is Refusal.OVER_QUOTA else None
    return f"UID {appended.uids[0]}"


def _warn(
    mail_dir: Path, jobs: list[LocalJob], outcomes: list[Outcome | Sending | Suspect], room: Room, now: float
) -> None:
    """Tells owners whose mailbox is nearly full; the messages are delivered whatever becomes of that."""
    delivered = {
        job.mailbox
        for job, outcome in zip(jobs, outcomes, strict=True)
        if isinstance(outcome, Outcome) and outcome.kind == DELIVERED
    }
    for mailbox in delivered:
        with contextlib.suppress(OSError, JobStopped):
            room.warn(folder_of(mail_dir, mailbox), shown(mailbox), now)


class _Work(NamedTuple):
    """One job with the messages that it comes to."""

    job: LocalJob
    plan: Plan | None
    placements: list[Placement]
    """Those that no earlier attempt has made."""
    messages: list[Message | _Keywords | _Same]
    """One for each, and perhaps a notice."""
    memory: Memory | None
    """That of the account, when there is a plan."""


def _prepared_or_not(
    mail_dir: Path, job: LocalJob, filters: Filters | None, room: Room | None, now: float, troubles: Troubles
) -> _Work | Outcome | Sending | Suspect:
    try:
        return _prepared(mail_dir, job, filters, room, now, troubles)
    except JobStopped:
        return hung(job)
    except Exception as fault:  # noqa: BLE001 - one message must not take the others of its batch with it
        text = f"the delivery into the mailbox failed: {type(fault).__name__}"
        return Suspect("failed", deferred("4.3.0", text, "store", next_hop=shown(job.mailbox)))


def hung(job: LocalJob) -> Suspect:
    """What becomes of a job that was stopped, or given up, because it took too long."""
    text = "the delivery into the mailbox did not come to an end"
    return Suspect("hung", deferred("4.3.0", text, "store", next_hop=shown(job.mailbox)))


def _prepared(
    mail_dir: Path, job: LocalJob, filters: Filters | None, room: Room | None, now: float, troubles: Troubles
) -> _Work | Outcome | Sending:
    try:
        folder = folder_of(mail_dir, job.mailbox)
    except ValueError:
        return failed("5.1.3", "the address cannot name a mailbox here", "store", next_hop=shown(job.mailbox))
    plan = job.plan
    try:
        _require_log(folder)
        if plan is None and filters is not None:
            plan = filters.plan(folder, _incoming(job), now)
        if room is not None and (plan is None or plan.placements):
            targets = [folder] if plan is None else [each.folder for each in plan.placements]
            refusal = room.refusal(folder, targets, job.delivery.size, shown(job.mailbox))
            if refusal is not None:
                return refusal
        if plan is not None and plan.outgoing and job.plan is None:
            return Sending(plan, plan.outgoing)
        if plan is None:
            return _Work(job, None, [], [_message(job, Placement(folder, (), None, "INBOX"))], None)
        memory = Memory(folder)
        placements = _left(job, plan, memory, now)
        messages: list[Message | _Keywords | _Same] = [
            _message(job, each) if all(flag in _LETTERS for flag in each.flags) else _Keywords(job, folder, each)
            for each in placements
        ]
    except OSError as fault:
        _tell(troubles, folder, fault)
        return _fault_outcome(job, fault)
    if plan.notice is not None:
        messages.append(Message(folder, (trace.fields(b"", job.mailbox, job.mailbox), plan.notice)))
    return _Work(job, plan, placements, messages, memory)


def _require_log(folder: Path) -> None:
    """Makes the uid log of an account's INBOX before the first message is there: it keeps the room that lets the owner
    read and remove on a full disk. Where it cannot be made, the first session tries again."""
    if not os.path.exists(f"{folder}/{LOG}"):
        with contextlib.suppress(OSError, Refused):
            FolderStore(folder).open(INBOX).close()


def _left(job: LocalJob, plan: Plan, memory: Memory, now: float) -> list[Placement]:
    if len(plan.placements) == 1:
        return plan.placements
    return [each for each in plan.placements if not memory.knows(STORED, _place(job, each), now)]


def _place(job: LocalJob, placement: Placement) -> str:
    return f"{job.queue_id} {placement.shown}"


def _incoming(job: LocalJob) -> Incoming:
    delivery = job.delivery
    head = delivery.content if delivery.content is not None else b""
    recipient = job.recipient or job.mailbox
    return Incoming(job.queue_id, delivery.reverse_path, recipient, job.mailbox, delivery.size, head, delivery.path)


def _message(job: LocalJob, placement: Placement) -> Message:
    delivery = job.delivery
    header = _trace(job)
    flags = "".join(sorted(_LETTERS[flag] for flag in placement.flags if flag in _LETTERS))
    if placement.header is not None:
        content = edited(_incoming(job), trace.without(placement.header))
        return Message(placement.folder, (header, content), flags=flags)
    beginning = delivery.content if delivery.content is not None else b""
    parts, skip = trace.parts_of(beginning, delivery.path)
    return Message(placement.folder, (header, *parts), delivery.path, delivery.size - len(beginning), flags, skip)


def _trace(job: LocalJob) -> bytes:
    return trace.fields(job.delivery.reverse_path, job.recipient or job.mailbox, job.mailbox)


def _tell(troubles: Troubles, folder: Path, fault: OSError) -> None:
    """Somebody has to put it right."""
    if is_lasting(fault):
        troubles.report(fault.filename or folder, fault)


def _outcome(work: _Work, results: list[str | OSError], now: float, troubles: Troubles) -> Outcome:
    try:
        return _told_outcome(work, results, now, troubles)
    except Exception as fault:  # noqa: BLE001 - see _prepared_or_not; what is stored is delivered all the same
        mailbox = shown(work.job.mailbox)
        if any(isinstance(result, OSError) for result in results):
            return deferred("4.3.0", f"internal error: {type(fault).__name__}", "store", next_hop=mailbox)
        return Outcome(DELIVERED, 0, "2.0.0", f"stored; internal error: {type(fault).__name__}", "store", mailbox)


def _told_outcome(work: _Work, results: list[str | OSError], now: float, troubles: Troubles) -> Outcome:
    """Texts go to the sender in a DSN: no path of ours is in them."""
    job, plan = work.job, work.plan
    mailbox = shown(job.mailbox)
    faults = [result for result in results if isinstance(result, OSError)]
    for fault, message in zip(results, work.messages, strict=True):
        if isinstance(fault, OSError):
            _tell(troubles, message.folder if isinstance(message, Message) else Path(mailbox), fault)
    if plan is None:
        if faults:
            return _fault_outcome(job, faults[0])
        return Outcome(DELIVERED, 0, "2.0.0", f"stored as {results[0]}", "store", mailbox)
    try:
        _remember(work, results, now)
    except (OSError, JobStopped) as fault:
        # The message is stored: to try again would store it twice.
        cause = os.strerror(fault.errno or 0) if isinstance(fault, OSError) else "it took too long"
        plan.notes.append(f"not remembered: {cause}")
    if faults:
        return _fault_outcome(job, faults[0])
    if plan.refusal is not None:
        return failed("5.7.1", plan.refusal, "store", code=550, next_hop=mailbox)
    is_delivered = plan.placements or plan.outgoing or plan.is_shared or "rejected" in plan.notes
    kind = DELIVERED if is_delivered else DISCARDED
    return Outcome(kind, 0, "2.0.0", _told(work, results), "store", mailbox)


def _told(work: _Work, results: list[str | OSError]) -> str:
    """What the script did, for the log and for the operator."""
    plan = work.plan
    assert plan is not None
    said = [f"stored as {name} in {each.shown}" for each, name in zip(work.placements, results, strict=False)]
    said += [f"{each.kind}: {shown(each.recipient)}" for each in plan.outgoing]
    if plan.fault:
        said.append(f"the script failed: {plan.fault}")
    if plan.is_shared:
        said.append("as for another recipient of it")
    return "sieve: " + "; ".join([*said, *plan.notes] or ["discarded"])


def _remember(work: _Work, results: list[str | OSError], now: float) -> None:
    """What is done is remembered: all of it, or, when a part failed, the copies that an attempt to come need not
    make again."""
    plan, memory = work.plan, work.memory
    assert plan is not None
    assert memory is not None
    if not any(isinstance(result, OSError) for result in results):
        for kind, key, seconds in plan.remember:
            memory.add(kind, key, now + seconds, now)
    elif len(plan.placements) > 1:
        for placement, result in zip(work.placements, results, strict=False):
            if not isinstance(result, OSError):
                memory.add(STORED, _place(work.job, placement), now + 7 * 86_400, now)


def _fault_outcome(job: LocalJob, fault: OSError) -> Outcome:
    mailbox = shown(job.mailbox)
    if fault.errno == errno.EDQUOT:
        return deferred("4.2.2", "the mailbox is full", "store", next_hop=mailbox)
    if fault.errno == errno.ENOSPC:
        return deferred("4.3.1", "the mail system is full", "store", next_hop=mailbox)
    cause = os.strerror(fault.errno) if fault.errno else type(fault).__name__
    return deferred("4.3.0", f"the mailbox cannot be written: {cause}", "store", next_hop=mailbox)


def shown(mailbox: bytes) -> str:
    """A mailbox as text."""
    return mailbox.decode("utf-8", "backslashreplace")
