"""Batches of local deliveries in threads: a slow one is split, one that hangs is given up, a deadly one runs alone.

Theory: a batch in which nothing moves for a second is split (relay/mda/batch.py): the one that is slow keeps its
thread, the others are handed in again, those to the same mailbox only when it has ended (mailbox_delivery.py). When the
slow one is not done within ``delivery.local_timeout`` it is given up: a fresh thread takes the place of its own, as far
as may be (relay/net/threads.py), and as long as its thread has not come back nothing more is delivered to that mailbox,
so that one mailbox never takes more than the threads it had at first.

What is being *written* cannot be taken back: it might come twice. Its batch waits for the disk, however long.

Not here: what a delivery does (relay/mda/local.py), what becomes of its message (lane.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

from relay.mail.outcome import Outcome
from relay.mda.batch import Batch
from relay.mda.hand import Hand, Key
from relay.mda.local import LocalJob, Sending, Suspect
from relay.mda.turnstile import Turnstile
from relay.net.stopping import DEADLINE, JobStopped
from relay.net.threads import Meter, Threads, in_time
from relay.telemetry.sink import LogSink

LOCAL_THREADS: Final = 4
SLOW_SECONDS: Final = 1.0
"""How long one delivery may be prepared before the others of its batch go on without it."""

T = TypeVar("T")
Found = Outcome | Sending | Suspect
Deliver = Callable[[Sequence[LocalJob], Batch], list[Found]]


class LocalRuns:
    """Of one delivery worker."""

    def __init__(self, row: memoryview[int], sink: LogSink, hand: Hand, seconds: float) -> None:
        """``seconds``: how long a delivery may be prepared."""
        self.hand: Final = hand
        self.seconds: Final = seconds
        self.hung: Final[Counter[bytes]] = Counter()
        """Mailboxes with deliveries that were given up and whose threads have not come back."""
        self.slow: Final[dict[bytes, asyncio.Future[Found]]] = {}
        """Mailboxes with a delivery that was left behind by its batch, and what comes of that."""
        self._sink: Final = sink
        self._turnstile: Final = Turnstile()
        self._runs: Final[set[Run]] = set()
        self._threads: Final = Threads(
            asyncio.get_running_loop(), LOCAL_THREADS, share=None, name="mailbox", meter=Meter(row), on_lost=self._lost,
        )  # fmt: skip

    async def start(self, jobs: list[LocalJob], keys: list[Key], deliver: Deliver, *, alone: bool) -> Run:
        """Hands ``jobs`` in; ``alone``: nothing else is at work meanwhile. JobStopped when it is not their turn in
        time, because one is being written that does not come to an end."""
        await in_time(self._turnstile.enter(alone=alone), self.seconds)
        run = Run(self, jobs, keys)
        self._runs.add(run)
        self._threads.submit(
            "local delivery", lambda: deliver(jobs, run.batch), run.ended, timeout=self.seconds, stuck=run.stuck,
            waits=True,
        )  # fmt: skip
        return run

    async def call(self, work: Callable[[], T]) -> T:
        """Something else that blocks. JobStopped when it takes too long."""
        return await self._threads.call("local delivery", work, self.seconds)

    def turn(self) -> None:
        """Looks after what is slow; several times a second."""
        now = time.monotonic()
        for run in list(self._runs):
            run.look(now)
        self._threads.turn(now)

    def close(self) -> None:
        """What is at work ends by itself, or with the process."""
        self._threads.close()

    def left(self, run: Run) -> None:
        """It is over, or was given up."""
        self._runs.discard(run)
        self._turnstile.leave()

    def _lost(self, key: Hashable, seconds: float) -> None:
        self._sink.event("error", "store thread lost", account_or_client=str(key), seconds=round(seconds, 1))


class Run:
    """One batch in a thread."""

    def __init__(self, runs: LocalRuns, jobs: list[LocalJob], keys: list[Key]) -> None:
        loop = asyncio.get_running_loop()
        hand, slot = runs.hand, runs.hand.slot()
        self.batch: Final = Batch(lambda number: hand.take(slot, keys[number]), lambda: hand.put_down(slot))
        self.whole: Final[asyncio.Future[list[Found] | None]] = loop.create_future()
        """What came of all jobs; None: all but ``batch.at`` are to be handed in again."""
        self.rest: Final[asyncio.Future[Found]] = loop.create_future()
        """What came of that one; JobStopped when it was given up."""
        self._runs: Final = runs
        self._jobs: Final = jobs
        self._slot: Final = slot
        self._is_given_up = False

    def look(self, now: float) -> None:
        """Splits it when nothing moves."""
        if self.batch.at >= 0 and now - self.batch.since > SLOW_SECONDS:
            self._split()

    def stuck(self) -> None:
        """It does not come back in time (Threads)."""
        self._split()
        if self.batch.give_up():
            self._is_given_up = True
            self._runs.hung[self._jobs[self.batch.at].mailbox] += 1
            self._let_go()
            self._is_no_longer_slow()
            self.rest.set_exception(JobStopped(DEADLINE))

    def ended(self, result: list[Found] | None, fault: BaseException | None) -> None:
        """Its thread has come back (Threads)."""
        if self._is_given_up:
            mailbox = self._jobs[self.batch.at].mailbox
            self._runs.hung[mailbox] -= 1
            if not self._runs.hung[mailbox]:
                del self._runs.hung[mailbox]
            return
        self._let_go()
        if self.batch.is_split:
            self._is_no_longer_slow()
            if fault is None and result:
                self.rest.set_result(result[0])
            else:
                self.rest.set_exception(fault or JobStopped(DEADLINE))
        elif fault is None:
            self.whole.set_result(result)
        else:
            self.whole.set_exception(fault)

    def _split(self) -> None:
        if self.batch.split():
            self._runs.slow[self._jobs[self.batch.at].mailbox] = self.rest
            self.whole.set_result(None)

    def _is_no_longer_slow(self) -> None:
        mailbox = self._jobs[self.batch.at].mailbox
        if self._runs.slow.get(mailbox) is self.rest:
            del self._runs.slow[mailbox]

    def _let_go(self) -> None:
        self._runs.hand.free(self._slot)
        self._runs.left(self)
