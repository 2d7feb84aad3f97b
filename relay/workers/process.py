"""The one skeleton of every worker process: what is the same whether it speaks SMTP, delivers or serves HTTP.

Theory: a worker is forked by the supervisor with everything it needs in a ``WorkerContext``. Its role's ``run`` calls
``run_worker`` with a coroutine function that wires the role's parts together:

    async def main(worker: Worker) -> None:
        ...                                     # open what is needed; raise StartError when that cannot work
        await worker.listen("mx", factory)      # accepts on the slot's sockets from now on
        worker.ready()                          # a reload goes on when all workers of the generation have said so
        if await worker.activation():           # exclusive roles only: now no other process holds the queue
            ...
        await worker.draining.wait()            # the skeleton has stopped accepting before this is set
        ...                                     # finish what is begun, within worker.seconds_left(); then return

    def run(context: WorkerContext) -> int:
        return run_worker(context, main)

Invariants: the beat is written by the loop itself, so that a hung loop is seen; a worker whose supervisor is gone does
not live on; a worker told to drain ends by the deadline, one asked to stop ends at once; the exit code says why.

The control connection carries, to the supervisor: ``("ready",)``, ``("failed", text)``, ``("status", text)``; to the
worker: ``("activate",)``, ``("leave",)``, ``("drain", seconds)``, ``("stop",)``.

Not here: forking, and what becomes of the process (relay/supervisor).
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import uvloop

from relay.config.model import Config
from relay.net import kernel, listeners
from relay.net.frames import FrameError, FrameProtocol, Message
from relay.net.listeners import Endpoint
from relay.net.tickets import TicketKeys
from relay.telemetry import metrics
from relay.telemetry.page import BEAT_CELL, CountersPage

_FREED_KEPT: Final = 32 << 20
"""Octets of freed memory that a worker keeps, or the kernel clears new pages for each content of 1 MiB."""
EXIT_DRAINED: Final = 0
"""Drained, or its work was done."""
EXIT_ORPHANED: Final = 69
"""The supervisor is gone (EX_UNAVAILABLE of sysexits.h)."""
EXIT_FAULT: Final = 70
"""An exception nobody expected (EX_SOFTWARE)."""
EXIT_CUT: Final = 75
"""The drain's deadline passed with work unfinished; peers and queue will repeat it (EX_TEMPFAIL)."""
EXIT_STOPPED: Final = 77
"""Told to stop at once."""
EXIT_CANNOT_START: Final = 78
"""This configuration does not work here (EX_CONFIG)."""
EXIT_TEXTS: Final = {
    EXIT_DRAINED: "drained",
    EXIT_ORPHANED: "its supervisor was gone",
    EXIT_FAULT: "an unexpected fault, see stderr",
    EXIT_CUT: "the drain's deadline passed",
    EXIT_STOPPED: "asked to stop",
    EXIT_CANNOT_START: "could not start",
}

BEAT_PARTS: Final = 8
"""A beat is written this many times per ``workers.beat_timeout``."""
UNWIND_SECONDS: Final = 1.0
"""How long a cancelled main coroutine may take to end."""


class Closable(Protocol):
    """What accepts connections, as the skeleton sees it."""

    def close(self) -> None:
        """Accepts no more and closes the listening socket; connections that were accepted stay."""


class StartError(Exception):
    """Raised by a main coroutine before ``ready``: this configuration will not work here; its text says why.

    At the first start the supervisor ends with it; in a reload the old generation goes on.
    """


class Role(NamedTuple):
    """A kind of worker, as the supervisor knows it. All of it is imported before the fork."""

    name: str
    run: Callable[[WorkerContext], int]
    """Called in the new process; its result is the exit code."""
    slots: Callable[[Config], int]
    """How many of them a configuration asks for."""
    endpoints: Callable[[Config], tuple[Endpoint, ...]]
    """What they listen on; every slot gets a socket for each."""
    keeps_sessions: bool = False
    """In a reload its sessions go on until ``reload_timeout`` is over; its main coroutine waits with
    ``Worker.serve_out``."""
    is_exclusive: bool = False
    """A slot's work may be done by one process only, and no two generations may be at it at once: such a worker stands
    by until it is activated."""


@dataclass(slots=True)
class WorkerContext:
    """What the supervisor gives a worker. Owned by the worker; nothing in it is shared memory but ``page``."""

    role: str
    """``smtp``, ``delivery``, ``admin``, ..."""
    slot: int
    """0 to the number of workers of this role - 1; for delivery workers the shard."""
    generation: int
    """1 at the start, one more with every reload."""
    config: Config
    """The checked configuration of this generation."""
    sockets: dict[str, tuple[socket.socket, ...]]
    """By the listener's name: listening, non-blocking sockets. Nearly always one; more when a reload lowered the
    number of workers and this one also serves a vanished slot's backlog. Use ``Worker.listen``."""
    supervisor_pid: int
    tickets: TicketKeys = field(default_factory=lambda: TicketKeys(time.monotonic()))
    """The keys of TLS session tickets: the same in all processes of all generations, because they come by fork."""
    run: int = 0
    """Counts the starts of the appliance on this data directory (``DataLock.run``)."""
    page: CountersPage = field(init=False)
    """The counters of all processes, for those that show them."""
    row: memoryview[int] = field(init=False)
    """This process's own counters, a row of ``page``; nobody else writes it but for its first cells."""
    control: socket.socket = field(init=False)
    """To the supervisor: frames, see above. Its end of file means that the supervisor is dead."""


class Worker:
    """A running worker as its main coroutine sees it. Belongs to the loop's thread."""

    def __init__(self, context: WorkerContext, loop: asyncio.AbstractEventLoop) -> None:
        self.context: Final = context
        self.config: Final = context.config
        self.loop: Final = loop
        self.activated: Final = asyncio.Event()
        """Set when this worker may use what only one process may (the queue's shards)."""
        self.draining: Final = asyncio.Event()
        """Set when the worker is to finish what it has begun and return; its listeners are closed already."""
        self.leaving: Final = asyncio.Event()
        """Set when another generation takes the new sessions; the listeners are closed. ``draining`` may follow."""
        self.is_ready = False
        self.accepts_while_draining = False
        """Set by a main coroutine that calls ``stop_accepting`` itself, sometime after ``draining``."""
        self._beat_interval: Final = context.config.workers.beat_timeout * 1e6 / BEAT_PARTS  # microseconds
        self._lag: Final = metrics.histogram_cells("relay_worker_loop_lag_seconds")
        self._cut_code = EXIT_DRAINED  # anything else: the main coroutine was cut, for this reason
        self._drain_until: float | None = None
        self._servers: list[Closable] = []
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._control: FrameProtocol | None = None
        self._task: asyncio.Task[None] | None = None

    # -- for the main coroutine ------------------------------------------------------------------------------------

    def accept(self, name: str, open_acceptor: Callable[[socket.socket], Closable]) -> None:
        """As ``listen``, for those who accept themselves: ``open_acceptor`` gets each of our sockets for ``name``, and
        what it returns is closed, with the socket, when the drain begins."""
        self._servers += [open_acceptor(listening) for listening in self.context.sockets.get(name, ())]
        if self.leaving.is_set() or (self.draining.is_set() and not self.accepts_while_draining):
            self.stop_accepting()

    async def listen(self, name: str, factory: Callable[[], asyncio.BaseProtocol], **options: Any) -> None:
        """Accepts connections on the listener ``name`` until the drain begins; does nothing when it is not ours.

        ``options`` go to ``loop.create_server`` (``ssl`` for TLS from the first octet).
        """
        for listening in self.context.sockets.get(name, ()):
            # Listening again with a smaller backlog would shrink the one that the supervisor asked for.
            server = await self.loop.create_server(factory, sock=listening, backlog=listeners.BACKLOG, **options)
            self._servers.append(server)
        if self.leaving.is_set() or (self.draining.is_set() and not self.accepts_while_draining):
            self.stop_accepting()

    def stop_accepting(self) -> None:
        """Closes our copies of the listening sockets; the supervisor's keep the backlog for the other workers."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def ready(self) -> None:
        """Tells the supervisor that this worker serves (a standby: that it could). Once; later calls do nothing."""
        if not self.is_ready:
            self.is_ready = True
            self._tell(("ready",))

    async def activation(self) -> bool:
        """For exclusive roles: waits until no other process holds what is ours; False when it is to drain instead."""
        await self._any_of(self.activated, self.draining)
        return self.activated.is_set()

    async def serve_out(
        self, when_empty: Callable[[Callable[[], None]], None], drain: Callable[[Callable[[], None]], None]
    ) -> None:
        """Serves until there is nobody left to serve: after a reload as long as the sessions take, then what a drain
        leaves them. ``when_empty`` calls what it is given when no session is left, ``drain`` has the sessions end as
        well; both call at once when there is none."""
        await self._any_of(self.leaving, self.draining)
        empty = asyncio.Event()
        if not self.draining.is_set():
            when_empty(empty.set)
            await self._any_of(empty, self.draining)
        if not empty.is_set():
            drain(empty.set)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(empty.wait(), self.seconds_left())

    async def _any_of(self, *events: asyncio.Event) -> None:
        """Returns when one of them is set."""
        waits = [self.loop.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def status(self, text: str) -> None:
        """A line about this worker for the supervisor's event log."""
        self._tell(("status", text))

    def seconds_left(self) -> float:
        """Until the drain's deadline, at least 0.0; infinite when no drain has begun."""
        if self._drain_until is None:
            return float("inf")
        return max(0.0, self._drain_until - self.loop.time())

    def repeat(self, seconds: float, callback: Callable[[], object]) -> None:
        """Calls ``callback`` every ``seconds`` until the worker ends; a late call does not bring the next one nearer.

        What it raises ends the worker: a periodic duty that fails is not a thing to go on without.
        """
        key = object()

        def again() -> None:
            try:
                callback()
            except Exception:  # noqa: BLE001 - see above
                self._report_fault(f"{getattr(callback, '__qualname__', callback)} failed")
                self._cut(EXIT_FAULT)
                return
            self._timers[key] = self.loop.call_later(seconds, again)

        self._timers[key] = self.loop.call_later(seconds, again)

    # -- the skeleton ----------------------------------------------------------------------------------------------

    async def run(self, main: Callable[[Worker], Coroutine[Any, Any, None]]) -> int:
        """Runs ``main`` to its end under the supervisor's orders; returns the exit code."""
        self._beat()
        self.repeat(self._beat_interval / 1e6, self._beat)
        self.loop.add_signal_handler(signal.SIGTERM, self._terminated)
        await self.loop.create_unix_connection(self._connect, sock=self.context.control)
        code = await self._carry_out(main)
        code = self._cut_code or code  # before the unwinding, which closes the control connection
        await self._unwind()
        return code

    async def _carry_out(self, main: Callable[[Worker], Coroutine[Any, Any, None]]) -> int:
        if self._cut_code:
            return self._cut_code
        self._task = self.loop.create_task(main(self), name=self.context.role)
        try:
            await self._task
        except asyncio.CancelledError:
            return EXIT_FAULT  # unless it was cut
        except StartError as fault:
            self._tell(("failed", str(fault)))
            return EXIT_CANNOT_START
        except Exception as fault:  # noqa: BLE001 - whatever it is ends this process, and is seen
            if not self.is_ready:
                self._tell(("failed", f"{type(fault).__name__}: {fault}"))
            self._report_fault("its main coroutine failed")
            return EXIT_FAULT
        return EXIT_DRAINED

    def _connect(self) -> FrameProtocol:
        self._control = FrameProtocol(self._told, self._orphaned)
        return self._control

    def _tell(self, message: Message) -> None:
        if self._control is not None:
            self._control.send(message)

    def _told(self, _protocol: FrameProtocol, message: Message) -> None:
        match message:
            case ("activate",):
                self.activated.set()
            case ("leave",):
                self.stop_accepting()
                self.leaving.set()
            case ("drain", float() | int() as seconds):
                self._drain(float(seconds))
            case ("stop",):
                self._cut(EXIT_STOPPED)
            case _:
                raise FrameError(f"unknown order {message[:1]!r}")

    def _drain(self, seconds: float) -> None:
        if self._drain_until is not None:
            return
        self._drain_until = self.loop.time() + seconds
        self._timers[self] = self.loop.call_later(seconds, self._cut, EXIT_CUT)
        if not self.accepts_while_draining:
            self.stop_accepting()
        self.draining.set()

    def _terminated(self) -> None:
        """SIGTERM sent to this very process: an operator wants it replaced, or the whole group was asked to go."""
        self._drain(self.config.drain_timeout)

    def _orphaned(self, _protocol: FrameProtocol, _fault: Exception | None) -> None:
        """The control connection ended: the supervisor is dead, or one of us talks nonsense. Either way: out."""
        if self._control is not None:  # else we closed it ourselves
            self._control = None
            self._cut(EXIT_ORPHANED)

    def _cut(self, code: int) -> None:
        """Ends the main coroutine now; what it had not finished is not lost (I1 and I2 hold at any instant)."""
        if self._cut_code:
            return
        self._cut_code = code
        if self._task is not None and not self._task.done():
            self._task.cancel()
            # A main that will not be cancelled must not keep the process alive.
            self._timers[self._task] = self.loop.call_later(UNWIND_SECONDS, os._exit, code)

    def _report_fault(self, what: str) -> None:
        print(f"relay {self.context.role}-{self.context.slot}: {what}", file=sys.stderr)
        traceback.print_exc(file=sys.stderr)

    def _beat(self) -> None:
        now = time.monotonic_ns() // 1000
        lag = now - self.context.row[BEAT_CELL] - self._beat_interval if self.context.row[BEAT_CELL] else 0
        self._lag.observe(self.context.row, int(lag))
        self.context.row[BEAT_CELL] = now

    async def _unwind(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self.stop_accepting()
        if self._control is not None:
            closing, self._control = self._control, None
            closing.close()
        await asyncio.sleep(0)  # lets the last frames and closed descriptors go


def run_worker(context: WorkerContext, main: Callable[[Worker], Coroutine[Any, Any, None]]) -> int:
    """Runs ``main`` in this process, which was forked for it; returns the exit code, one of this module's.

    The loop and the threads of its executor are left as they are: the process ends with ``os._exit``, and a thread that
    waits for a slow disk must not hold it up.
    """
    faulthandler.enable()  # a hung worker is ended with SIGABRT: the stacks of its threads go to stderr
    kernel.set_name(f"{context.role}-{context.slot}@relay")
    kernel.keep_freed_memory(_FREED_KEPT)
    for terminal in (signal.SIGINT, signal.SIGHUP):
        signal.signal(terminal, signal.SIG_IGN)  # sent to the whole group; the supervisor says what to do about it
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(_run(context, main))


async def _run(context: WorkerContext, main: Callable[[Worker], Coroutine[Any, Any, None]]) -> int:
    return await Worker(context, asyncio.get_running_loop()).run(main)
