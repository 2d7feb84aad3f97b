"""Delivery into mailboxes as a whole: the script, what it sends (spooled in this worker's own log), and the store.

Order: a vacation answer is noted before it is spooled (a crash loses an answer, never doubles it); a redirected or
rejected message after it is *synced* in the spool (a crash doubles it at worst, never loses it). When something cannot
be spooled nothing is stored, and the delivery is tried again as a whole; what was spooled is not sent again.

Not here: what a script means (sieve_plan.py), storing (local.py), which messages, and what becomes of them (lane.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from relay.config.model import Config
from relay.mail import envelope as envelopes
from relay.mail.content_flags import content_flags
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome, deferred
from relay.mail.queue_id import QueueIds
from relay.mailbox.maildir import folder_of
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.troubles import Troubles
from relay.mda.batch import Batch
from relay.mda.hand import Key
from relay.mda.interfaces import Received
from relay.mda.local import LocalJob, Sending, Suspect, deliver_local, hung, shown
from relay.mda.local_runs import Found, LocalRuns, Run
from relay.mda.room import Room
from relay.mda.sieve_plan import VACATION, Filters, Outgoing
from relay.net.clock import now_us
from relay.net.stopping import JobStopped
from relay.spool import LargeContent, LogWriter, SpoolError
from relay.spool.waiter import Spooled
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink

Report = Callable[[int, Outcome | Suspect], None]
"""Gets what came of a job, by its number."""
Behind = Callable[[Coroutine[Any, Any, None]], None]
_KEPT_FLAGS = envelopes.BODY_8BIT | envelopes.SMTPUTF8 | envelopes.DOTS | envelopes.LARGE


class MailboxDelivery:
    """For one delivery worker."""

    def __init__(
        self, config: Config, writer: LogWriter, ids: QueueIds, sink: LogSink, row: memoryview[int], runs: LocalRuns
    ) -> None:
        self._mail_dir = config.mail_dir
        self._large_content = config.smtp.large_content
        self._troubles = Troubles(sink.event)
        self._filters = Filters(
            config.sieve,
            hostname=config.hostname,
            delimiter=config.smtp.recipient_delimiter,
            global_dir=config.data_dir / "sieve",
            lifetime=config.queue.lifetime,
            troubles=self._troubles,
        )
        self._room = Room(config.mailbox, config.mailbox_limits)
        self._writer = writer
        self._ids = ids
        self._sink = sink
        self._row = row
        self._runs = runs
        self._sent = {
            kind: metrics.index("relay_sieve_messages_total", kind) for kind in ("redirect", "vacation", "rejected")
        }
        self._faults = metrics.Total(row, "relay_sieve_faults_total")

    async def deliver(
        self, jobs: list[LocalJob], keys: list[Key], report: Report, behind: Behind, *, alone: bool = False
    ) -> None:
        """Reports what comes of each job, once; ``alone``: while no other delivery is at work.

        Returns when all but slow ones are reported; those go on behind, in coroutines that ``behind`` is given.
        """
        left = list(range(len(jobs)))
        if self._runs.hung:
            left = [number for number in left if not self._waits_for_another(jobs[number], number, report)]
        while left:
            if self._runs.slow:
                later = [number for number in left if jobs[number].mailbox in self._runs.slow]
                for number in later:
                    left.remove(number)
                    behind(self._later(jobs[number], keys[number], number, report, behind, alone=alone))
                if not left:
                    return
            these = [jobs[number] for number in left]
            try:
                run = await self._runs.start(these, [keys[number] for number in left], self._deliver, alone=alone)
            except JobStopped:
                for number in left:
                    text = "other deliveries have not come to an end"
                    report(number, deferred("4.3.0", text, "store", next_hop=shown(jobs[number].mailbox)))
                return
            found = await run.whole
            if found is None:
                slow = left.pop(run.batch.at)
                behind(self._follow(run, jobs[slow], slow, report))
                continue
            self._faults.is_now(self._filters.faults)
            sending = [
                self._report_sent(jobs[number], number, each, report)
                for number, each in zip(left, found, strict=True)
                if isinstance(each, Sending)
            ]
            for number, each in zip(left, found, strict=True):
                if not isinstance(each, Sending):
                    report(number, each)
            if sending:
                await asyncio.gather(*sending)
            return

    def _deliver(self, jobs: Sequence[LocalJob], batch: Batch) -> list[Found]:
        return deliver_local(self._mail_dir, list(jobs), self._room, time.time(), self._filters, batch, self._troubles)

    def _waits_for_another(self, job: LocalJob, number: int, report: Report) -> bool:
        """Whether a delivery to the same mailbox hangs."""
        if job.mailbox not in self._runs.hung:
            return False
        report(number, deferred("4.3.0", "another delivery into the mailbox has not come to an end", "store",
                              next_hop=shown(job.mailbox)))  # fmt: skip
        return True

    async def _later(
        self, job: LocalJob, key: Key, number: int, report: Report, behind: Behind, *, alone: bool
    ) -> None:
        """Delivers when what is slow in the same mailbox has ended, so that a mailbox that hangs takes one thread."""
        while (slow := self._runs.slow.get(job.mailbox)) is not None:
            await asyncio.wait([slow])
        await self.deliver([job], [key], lambda _number, found: report(number, found), behind, alone=alone)

    async def _follow(self, run: Run, job: LocalJob, number: int, report: Report) -> None:
        """Waits for one that is slow."""
        try:
            found = await run.rest
        except JobStopped:
            found = hung(job)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            found = self._failed(job, fault)
        self._faults.is_now(self._filters.faults)
        if isinstance(found, Sending):
            await self._report_sent(job, number, found, report)
        else:
            report(number, found)

    async def _report_sent(self, job: LocalJob, number: int, sending: Sending, report: Report) -> None:
        try:
            found: Outcome | Suspect = await self._send_and_store(job, sending)
        except JobStopped:
            found = hung(job)
        except Exception as fault:  # noqa: BLE001 - the others of the batch must not be lost with it
            found = self._failed(job, fault)
        report(number, found)

    async def _send_and_store(self, job: LocalJob, sending: Sending) -> Outcome | Suspect:
        memory = Memory(folder_of(self._mail_dir, job.mailbox))
        if not self._writer.has_room():
            return self._deferred(job, "the mail system is full")
        answers = [each for each in sending.outgoing if each.kind == VACATION]
        known = await self._note(memory, answers)
        wanted = [each for each in sending.outgoing if each not in known]
        answers = [each for each in answers if each not in known]
        errors = await asyncio.gather(*[self._spool(job, each) for each in wanted])
        sent = [each for each, error in zip(wanted, errors, strict=True) if error is None]
        await self._note(memory, [each for each in sent if each.kind != VACATION])
        unsent = [each for each in answers if each not in sent]
        if unsent:
            await self._runs.call(lambda: _forget(memory, unsent))
        if len(sent) < len(errors):
            return self._deferred(job, "what the script sends cannot be spooled")
        jobs = [job._replace(plan=sending.plan)]
        (outcome,) = await self._runs.call(
            lambda: deliver_local(self._mail_dir, jobs, self._room, time.time(), troubles=self._troubles)
        )
        assert not isinstance(outcome, Sending)
        return outcome

    async def _note(self, memory: Memory, outgoing: list[Outgoing]) -> list[Outgoing]:
        """Remembers them; returns those that another delivery has remembered meanwhile, or all when that failed."""
        try:
            return await self._runs.call(lambda: _remember(memory, outgoing))
        except (OSError, JobStopped) as fault:
            cause = fault.strerror if isinstance(fault, OSError) else "it took too long"
            self._sink.event("warning", "sieve memory not written", cause=cause)
            return outgoing

    async def _spool(self, job: LocalJob, outgoing: Outgoing) -> SpoolError | None:
        loop = asyncio.get_running_loop()
        now = now_us()
        queue_id = self._ids.next(now)
        attempt = cast("Received", job.delivery)
        large: LargeContent | None = None
        content, flags = outgoing.content, content_flags(outgoing.content)
        size = len(content)
        committed: asyncio.Future[SpoolError | None] = loop.create_future()
        if not outgoing.is_whole:
            flags |= attempt.envelope.flags & _KEPT_FLAGS
            size += attempt.envelope.size
            content += bytes(attempt.message.content)
            if attempt.message.record.large is not None:
                large = self._writer.link_large(attempt.message, committed.set_result)
        elif size > self._large_content:
            flags |= envelopes.LARGE
            large = self._writer.open_large(queue_id)
            large.write(content)
            large.commit(committed.set_result)
            content = b""
        if large is not None and (error := await committed) is not None:
            return error
        spooled: asyncio.Future[SpoolError | None] = loop.create_future()
        envelope = Envelope(queue_id, now, outgoing.reverse_path, (outgoing.recipient,), flags, size)
        self._writer.append(envelope.pack(), content, Spooled(spooled), large)
        error = await spooled
        if error is None:
            self._row[self._sent[outgoing.kind]] += 1
            self._sink.event("info", "sieve message spooled", sieve=outgoing.kind, queue_id=queue_id,
                             about=job.queue_id, mailbox=job.mailbox, recipient=outgoing.recipient)  # fmt: skip
        return error

    def _deferred(self, job: LocalJob, text: str) -> Outcome:
        return deferred("4.3.1", text, "store", next_hop=shown(job.mailbox))

    def _failed(self, job: LocalJob, fault: Exception) -> Suspect:
        text = f"the delivery into the mailbox failed: {type(fault).__name__}"
        return Suspect("failed", deferred("4.3.0", text, "store", next_hop=shown(job.mailbox)))


def _remember(memory: Memory, outgoing: list[Outgoing]) -> list[Outgoing]:
    now = time.time()
    return [each for each in outgoing if not memory.add(each.kind, each.key, now + each.seconds, now)]


def _forget(memory: Memory, outgoing: list[Outgoing]) -> None:
    with contextlib.suppress(OSError):
        for each in outgoing:
            memory.forget(each.kind, each.key, time.time())
