"""Local delivery with scripts: what a script sends is spooled in this worker's own log, then the message is stored.

Order: a vacation answer is noted before it is spooled (a crash loses an answer, never doubles it); a redirected or
rejected message after it is *synced* in the spool (a crash doubles it at worst, never loses it). When something cannot
be spooled nothing is stored, and the delivery is tried again as a whole; what was spooled is not sent again.

Not here: what a script means (relay/delivery/filtering.py), storing (relay/delivery/local.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, cast

from relay import dsn
from relay.config.model import Config
from relay.delivery.filtering import VACATION, Filters, Outgoing
from relay.delivery.local import LocalJob, Sending, deliver_local
from relay.delivery.room import Room
from relay.mail import envelope as envelopes
from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome, deferred
from relay.mail.queue_id import QueueIds
from relay.mailbox.maildir import folder_of
from relay.mailbox.memory import Memory
from relay.mailbox.troubles import Troubles
from relay.spool import LargeContent, LogWriter, SpoolError
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from relay.workers.clock import now_us
from relay.workers.notices import Spooled

if TYPE_CHECKING:
    from relay.workers._attempt import Attempt

_KEPT_FLAGS = envelopes.BODY_8BIT | envelopes.SMTPUTF8 | envelopes.DOTS | envelopes.LARGE


class FilteredDelivery:
    """For one delivery worker."""

    def __init__(self, config: Config, writer: LogWriter, ids: QueueIds, sink: LogSink, row: memoryview[int]) -> None:
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
        self._sent = {
            kind: metrics.index("relay_sieve_messages_total", kind) for kind in ("redirect", "vacation", "rejected")
        }
        self._faults = metrics.Total(row, "relay_sieve_faults_total")

    async def deliver(self, threads: Executor, jobs: list[LocalJob]) -> list[Outcome]:
        """One outcome for each job, in order."""
        loop = asyncio.get_running_loop()
        found: list[Outcome | Sending] = await loop.run_in_executor(
            threads, deliver_local, self._mail_dir, jobs, self._room, time.time(), self._filters, self._troubles
        )
        self._faults.is_now(self._filters.faults)
        pairs = [(job, each) for job, each in zip(jobs, found, strict=True) if isinstance(each, Sending)]
        later = iter(await asyncio.gather(*[self._send_and_store(threads, *pair) for pair in pairs]))
        return [next(later) if isinstance(each, Sending) else each for each in found]

    async def _send_and_store(self, threads: Executor, job: LocalJob, sending: Sending) -> Outcome:
        loop = asyncio.get_running_loop()
        memory = Memory(folder_of(self._mail_dir, job.mailbox))
        if not self._writer.has_room():
            return self._deferred(job, "the mail system is full")
        answers = [each for each in sending.outgoing if each.kind == VACATION]
        known = await self._note(threads, memory, answers)
        wanted = [each for each in sending.outgoing if each not in known]
        answers = [each for each in answers if each not in known]
        errors = await asyncio.gather(*[self._spool(job, each) for each in wanted])
        sent = [each for each, error in zip(wanted, errors, strict=True) if error is None]
        await self._note(threads, memory, [each for each in sent if each.kind != VACATION])
        unsent = [each for each in answers if each not in sent]
        if unsent:
            await loop.run_in_executor(threads, _forget, memory, unsent)
        if len(sent) < len(errors):
            return self._deferred(job, "what the script sends cannot be spooled")
        jobs = [job._replace(plan=sending.plan)]
        (outcome,) = await loop.run_in_executor(
            threads, deliver_local, self._mail_dir, jobs, self._room, time.time(), None, self._troubles
        )
        assert isinstance(outcome, Outcome)
        return outcome

    async def _note(self, threads: Executor, memory: Memory, outgoing: list[Outgoing]) -> list[Outgoing]:
        """Remembers them; returns those that another delivery has remembered meanwhile, or all when that failed."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(threads, _remember, memory, outgoing)
        except OSError as fault:
            self._sink.event("warning", "sieve memory not written", cause=fault.strerror)
            return outgoing

    async def _spool(self, job: LocalJob, outgoing: Outgoing) -> SpoolError | None:
        loop = asyncio.get_running_loop()
        now = now_us()
        queue_id = self._ids.next(now)
        attempt = cast("Attempt", job.delivery)
        large: LargeContent | None = None
        content, flags = outgoing.content, dsn.flags(outgoing.content) & ~envelopes.DSN
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
        return deferred("4.3.1", text, "store", next_hop=job.mailbox.decode("utf-8", "backslashreplace"))


def _remember(memory: Memory, outgoing: list[Outgoing]) -> list[Outgoing]:
    now = time.time()
    return [each for each in outgoing if not memory.add(each.kind, each.key, now + each.seconds, now)]


def _forget(memory: Memory, outgoing: list[Outgoing]) -> None:
    with contextlib.suppress(OSError):
        for each in outgoing:
            memory.forget(each.kind, each.key, time.time())
