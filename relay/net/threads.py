"""Threads for work that blocks, with deadlines, fair shares, and an account of those that are lost.

Theory: the loop's thread decides everything; a thread is handed one job and hands back what came of it. A job that is
late is marked so (stopping.py), and most end at once. One that does not look is *given up*: whoever waits for it is
called, its thread counts as lost until it comes back, and a fresh one takes its place, up to as many as there were at
first. So a few jobs that hang - a disk that does not answer, a file that somebody holds locked - cost nothing but
themselves, and an account whose jobs hang keeps its share of threads, and no more, until they come back (shares.py).

When all threads are taken, and none comes back, for a while, readiness says so (relay/admin/readiness.py): the
``Meter`` writes the cells that it looks at.

Invariants: a job ends exactly once (``done``), whatever happens to it, unless the process ends first; ``stuck`` comes
at most once and before ``done``; there are never more than ``size + spare`` threads, and never more than ``size`` jobs
at work that are not given up.

Belongs to the loop's thread; only ``run`` of a job is called elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from relay.net.shares import Shares
from relay.net.stopping import DEADLINE, JobStopped, Mark, check, enter
from relay.telemetry import metrics

GRACE_SECONDS: Final = 2.0
"""How long a job that was asked to stop may take to do so, before its thread counts as lost."""

T = TypeVar("T")
Done = Callable[[Any, BaseException | None], None]
"""Is given a job's result, or what it raised; JobStopped when it was stopped."""


async def in_time(awaitable: Awaitable[T], seconds: float) -> T:
    """For work that waits on the loop. Raises JobStopped when it takes longer than that."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        raise JobStopped(DEADLINE) from None


class Meter:
    """The cells of one process's threads."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row: Final = row
        self._busy: Final = metrics.index("relay_store_threads", "busy")
        self._lost: Final = metrics.index("relay_store_threads", "lost")
        self._waiting: Final = metrics.index("relay_store_waiting_jobs")
        self._oldest: Final = metrics.index("relay_store_oldest_job_seconds")
        self._stuck: Final = metrics.index("relay_store_stuck_seconds")
        self._stopped: Final = {cause: metrics.index("relay_store_stopped_jobs_total", cause)
                                for cause in metrics.STOPPED_JOBS}  # fmt: skip
        self._lost_total: Final = metrics.index("relay_store_lost_threads_total")

    def look(self, *, busy: int, lost: int, waiting: int, oldest: float, stuck: float) -> None:
        """How things are; ``oldest`` and ``stuck`` in seconds."""
        row = self._row
        row[self._busy], row[self._lost], row[self._waiting] = busy, lost, waiting
        row[self._oldest], row[self._stuck] = int(oldest * 1_000_000), int(stuck * 1_000_000)

    def stopped(self, cause: str) -> None:
        """A job was asked to stop, or dropped."""
        self._row[self._stopped[cause]] += 1

    def lost(self) -> None:
        """A thread was given up."""
        self._row[self._lost_total] += 1


class Ticket:
    """One job. Whoever handed it in may only give it back to ``Threads.drop``."""

    __slots__ = ("done", "handed_in", "is_reported", "key", "mark", "run", "stopped_at", "stuck", "timeout", "waits")

    def __init__(
        self,
        key: Hashable,
        run: Callable[[], Any],
        done: Done,
        stuck: Callable[[], None] | None,
        timeout: float,
        now: float,
        *,
        waits: bool,
    ) -> None:
        self.key: Final = key
        self.run: Final = run
        self.done: Final = done
        self.stuck: Final = stuck
        self.timeout: Final = timeout
        self.waits: Final = waits
        """Its time begins only with a thread."""
        self.handed_in: Final = now
        self.mark: Final = Mark()
        self.stopped_at = 0.0
        """When it was asked to stop."""
        self.is_reported = False
        """Whoever waits has been called: it does not come back."""


class Threads:
    """The threads of one process, and the jobs that wait for them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        size: int,
        *,
        share: int | None,
        name: str,
        meter: Meter,
        on_lost: Callable[[Hashable, float], None] = lambda _key, _seconds: None,
    ) -> None:
        """``share``: jobs of one key at the same time, those that threads are lost with included; None: any number. As
        many threads more than ``size`` may take the places of lost ones. ``on_lost`` gets whose job a thread is
        given up with, and how many seconds it has been at it."""
        self._loop: Final = loop
        self._size: Final = size
        self._spare: Final = size
        self._name: Final = name
        self._meter: Final = meter
        self._on_lost: Final = on_lost
        self._shares: Final[Shares[Ticket]] = Shares(size + self._spare if share is None else min(share, size))
        self._queued: Final[dict[Ticket, None]] = {}
        self._running: Final[dict[Ticket, None]] = {}
        self._lost: Final[dict[Ticket, None]] = {}
        self._inbox: Final[SimpleQueue[Ticket | None]] = SimpleQueue()
        self._alive = 0
        self._made = 0
        self._is_closed = False
        self._came_back = True
        self._full_since = 0.0

    def submit(
        self,
        key: Hashable,
        run: Callable[[], Any],
        done: Done,
        *,
        timeout: float,
        stuck: Callable[[], None] | None = None,
        waits: bool = False,
    ) -> Ticket:
        """Has ``run`` carried out for ``key``. ``timeout``: seconds, from now until it is done; with ``waits`` from
        when a thread begins (or from ``mark.since``, which the job may put forward). ``stuck`` is called when it will
        not come back in time."""
        ticket = Ticket(key, run, done, stuck, timeout, time.monotonic(), waits=waits)
        if not waits:
            self._queued[ticket] = None
        self._shares.put(key, ticket)
        self._hand_out()
        return ticket

    async def call(self, key: Hashable, run: Callable[[], T], seconds: float) -> T:
        """What ``run`` returns or raises; JobStopped when it takes longer, from when a thread begins."""
        answer: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, fault: BaseException | None) -> None:
            if answer.done():
                return
            if fault is None:
                answer.set_result(result)
            else:
                answer.set_exception(fault)

        self.submit(key, run, done, timeout=seconds, stuck=lambda: done(None, JobStopped(DEADLINE)), waits=True)
        return await answer

    def drop(self, ticket: Ticket, cause: str) -> None:
        """Nobody wants the job any more: one that waits is over now, one that runs is asked to stop."""
        if ticket.stopped_at:
            return
        self._stop(ticket, cause, time.monotonic())
        if self._shares.drop(ticket.key, ticket):
            self._queued.pop(ticket, None)
            ticket.done(None, JobStopped(cause))

    def turn(self, now: float) -> None:
        """Stops what is late, gives up what does not stop, and reports how things are; at least once a second.

        ``now``: seconds of CLOCK_MONOTONIC.
        """
        late = []
        for ticket in self._queued:
            if ticket.handed_in + ticket.timeout > now:
                break
            late.append(ticket)
        for ticket in late:
            self.drop(ticket, DEADLINE)
        for ticket in list(self._running):
            if ticket.mark.cause:
                if now - ticket.stopped_at >= GRACE_SECONDS:
                    self._give_up(ticket, now)
            elif now - (ticket.mark.since if ticket.waits else ticket.handed_in) >= ticket.timeout:
                self._stop(ticket, DEADLINE, now)
        self._hand_out()
        self._tell(now)

    def close(self) -> None:
        """Hands out no more; threads end as their jobs do, and those that hang are not waited for."""
        self._is_closed = True
        for _ in range(self._alive):
            self._inbox.put(None)

    # ---- jobs -------------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        while len(self._running) < self._size and not self._is_closed:
            ticket = self._shares.take()
            if ticket is None:
                return
            self._queued.pop(ticket, None)
            ticket.mark.since = time.monotonic()
            self._running[ticket] = None
            if len(self._running) + len(self._lost) > self._alive:
                self._alive += 1
                self._made += 1
                name = f"{self._name}_{self._made}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
            self._inbox.put(ticket)

    def _work(self) -> None:
        """A thread's life."""
        while (ticket := self._inbox.get()) is not None:
            enter(ticket.mark)
            result, fault = None, None
            try:
                check()
                result = ticket.run()
            except BaseException as raised:  # noqa: BLE001 - whatever it is belongs to the job, not to the thread
                fault = raised
            try:
                self._loop.call_soon_threadsafe(self._ended, ticket, result, fault)
            except RuntimeError:  # the loop is closed, and with it all that waited
                return
            del ticket, result, fault

    def _ended(self, ticket: Ticket, result: Any, fault: BaseException | None) -> None:
        self._came_back = True
        self._running.pop(ticket, None)
        if ticket in self._lost:
            del self._lost[ticket]
            if self._alive > self._size:
                self._alive -= 1
                self._inbox.put(None)
        self._shares.done(ticket.key)
        self._hand_out()
        ticket.done(result, fault)

    def _stop(self, ticket: Ticket, cause: str, now: float) -> None:
        ticket.mark.cause = cause
        ticket.stopped_at = now
        self._meter.stopped(cause)

    def _give_up(self, ticket: Ticket, now: float) -> None:
        if len(self._lost) < self._spare:
            del self._running[ticket]
            self._lost[ticket] = None
            self._meter.lost()
            self._on_lost(ticket.key, now - ticket.mark.since)
        if not ticket.is_reported:
            ticket.is_reported = True
            if ticket.stuck is not None:
                ticket.stuck()

    def _tell(self, now: float) -> None:
        if len(self._running) < self._size or self._came_back:
            self._full_since = now
        self._came_back = False
        oldest = min((each.mark.since for each in (*self._running, *self._lost)), default=now)
        self._meter.look(
            busy=len(self._running),
            lost=len(self._lost),
            waiting=len(self._shares),
            oldest=max(0.0, now - oldest),
            stuck=now - self._full_since,
        )
