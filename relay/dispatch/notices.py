"""The DSNs that are owed: made, spooled, and then owed no longer.

Order (I1): that a recipient has failed is *synced* to the journal before the DSN is spooled, and the recipient counts
as finished only once the DSN is spooled; a crash in between makes the DSN again.

Theory: the recipients of one message wait in several groups, and fail there one after the other. A DSN about a message
with more recipients than have failed waits a moment for those of the other groups, so that the sender gets one.
Recipients that fail later, or belong to another delivery worker, have a DSN of their own.

Limit: MAKING are made at once; the others wait in the order in which they were owed, as what the queue knew of them.

Not here: the text of a DSN (relay/dsn), when one is owed (relay/queue).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final

from relay import dsn
from relay.dispatch.shard import Shard
from relay.dispatch.tasks import Tasks
from relay.mail import envelope as envelopes
from relay.mail.envelope import Envelope
from relay.net.clock import now_us
from relay.queue.action import Notice
from relay.spool import Message, MissingRecord, SpoolError
from relay.spool.waiter import Spooled
from relay.telemetry import metrics

MOMENT_SECONDS: Final = 0.5
"""How long a DSN waits for other recipients of its message."""
RETRY_SECONDS: Final = 5.0
"""How long a DSN waits that could not be spooled."""
MAKING: Final = 500
"""DSNs that are made at once: they share the syncs of the journal and of the log."""
RETURN_LIMIT: Final = 1 << 20
"""Octets of a large content that are read for a bounce."""

_Key = tuple[str, int, int, int]


class Notices:
    """Makes the DSNs of one delivery worker."""

    def __init__(self, shard: Shard) -> None:
        self._config = shard.config
        self._scheduler = shard.scheduler
        self._journaling = shard.journaling
        self._writer = shard.writer
        self._reader = shard.reader
        self._sink = shard.sink
        self._row = shard.row
        self._ids = shard.ids
        self._gathered: dict[_Key, list[Notice]] = {}
        """What is owed, by the DSN that it will be in."""
        self._waiting: deque[tuple[float, _Key]] = deque()
        """Those of them that nobody makes yet, and until when they wait for others of their message."""
        self._making = 0
        self._tasks = Tasks()
        self._draining = asyncio.Event()
        self._made = {kind: metrics.index("relay_dsn_messages_total", kind) for kind in ("bounce", "delay")}

    def owed(self, notice: Notice) -> None:
        """A DSN is owed from now on, or since an earlier life of this worker."""
        key = (notice.kind, notice.log, notice.segment, notice.offset)
        gathered = self._gathered.get(key)
        if gathered is not None:
            gathered.append(notice)
            return
        self._gathered[key] = [notice]
        self._waiting.append((time.monotonic() + MOMENT_SECONDS, key))
        if self._making < MAKING:
            self._making += 1
            self._tasks.start(self._work())

    async def drain(self, seconds: float) -> None:
        """Waits for nothing more; lets those that are being spooled end. What is still owed is made at the next start,
        from the journal."""
        self._draining.set()
        await self._tasks.wait(seconds)

    async def _work(self) -> None:
        """Makes one after the other while any wait."""
        try:
            while self._waiting:
                until, key = self._waiting.popleft()
                await self._gather(key, until)
                await self._pay(key)
        finally:
            self._making -= 1

    async def _pay(self, key: _Key) -> None:
        notices = self._gathered.pop(key)
        merged = notices[0]
        if len(notices) > 1:
            failures = {index: outcome for each in notices for index, outcome in each.failures}
            merged = merged._replace(failures=tuple(sorted(failures.items())))
        while not await self._make(merged):
            if await self._is_draining_within(RETRY_SECONDS):
                return
        for notice in notices:
            self._journaling.add(self._scheduler.notice_spooled(notice, now_us()))
        self._journaling.flush()

    async def _gather(self, key: _Key, until: float) -> None:
        """Waits for recipients of other groups, if there are any, until ``until``."""
        with contextlib.suppress(MissingRecord, OSError):  # whatever it is, it is met again below
            record = self._reader.load(*key[1:]).record
            failed = sum(len(notice.failures) for notice in self._gathered[key])
            if failed < len(record.envelope.recipients):
                await self._is_draining_within(max(0.0, until - time.monotonic()))

    async def _is_draining_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)
        return self._draining.is_set()

    async def _make(self, notice: Notice) -> bool:
        """Spools the DSN; False when that has to be tried again."""
        try:
            if notice.kind == "bounce":
                await self._journaling.sync()
            message = self._reader.load(notice.log, notice.segment, notice.offset)
        except MissingRecord as fault:
            self._sink.event("error", "dsn not made", cause=str(fault), log=notice.log, segment=notice.segment,
                             offset=notice.offset)  # fmt: skip
            return True
        except (SpoolError, OSError) as fault:
            self._sink.event("warning", "dsn waits", cause=str(fault))
            return False
        original = message.record.envelope
        try:
            envelope, content = self._compose(notice, message)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            self._sink.event("error", "dsn waits", cause=repr(fault), queue_id=original.queue_id)
            return False
        future: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()
        self._writer.append(envelope.pack(), content, Spooled(future))
        error = await future
        if error is not None:
            self._sink.event("warning", "dsn waits", cause=str(error), queue_id=original.queue_id)
            return False
        self._row[self._made[notice.kind]] += 1
        self._sink.event("info", "dsn spooled", dsn=notice.kind, queue_id=envelope.queue_id, about=original.queue_id,
                         recipient=original.reverse_path)  # fmt: skip
        return True

    def _compose(self, notice: Notice, message: Message) -> tuple[Envelope, bytes]:
        config = self._config
        original = message.record.envelope
        now = now_us()
        queue_id = self._ids.next(now)
        content = returned_content(message)
        common: dict[str, Any] = {
            "hostname": config.hostname, "message_id": f"{queue_id}@{config.hostname}", "now": now,
        }  # fmt: skip
        if notice.kind == "bounce":
            whole = config.queue.bounce_content == "full"
            report = dsn.bounce(original, notice.failures, content, whole=whole, **common)
        else:
            report = dsn.delay(original, notice.failures, content, expires_at=notice.expires_at, **common)
        flags = dsn.flags(report) | envelopes.DSN
        return Envelope(queue_id, now, b"", (original.reverse_path,), flags, len(report)), report


def returned_content(message: Message) -> bytes:
    """What of the original a DSN may return: all of a small one, the beginning of a large one."""
    content = bytes(message.content)
    large = message.record.large
    if large is not None and len(content) < RETURN_LIMIT:
        with large.path.open("rb") as file:
            content += file.read(RETURN_LIMIT - len(content))
    return content
