"""The worker processes: forking them, hearing from them, telling and killing them, waiting for them.

Theory: a worker is forked, not executed: code and configuration are shared with the parent until somebody writes to
them (``gc.freeze`` keeps the collector from that). The parent has no threads and no event loop, so a fork copies
nothing that is half done. Traps: signals between fork and the child's own handlers (signals.py); descriptors of the
others, which would keep dead slots' sockets and control connections open - the child closes every one it was not given.

Not here: when any of this is done (plan.py).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from relay.net import kernel
from relay.net.frames import FrameBuffer, FrameError, Message, encode
from relay.supervisor import privileges
from relay.supervisor.signals import Signals
from relay.telemetry.page import BEAT_CELL, CountersPage
from relay.workers.process import EXIT_FAULT, EXIT_ORPHANED, Role, WorkerContext

_READ: Final = 1 << 16


@dataclass(eq=False, slots=True)
class Process:
    """A living worker process."""

    pid: int
    row: int
    control: socket.socket
    arrived: FrameBuffer = field(default_factory=FrameBuffer)
    is_open: bool = True
    """Whether the control connection still stands."""


class Processes:
    """All of them, by the worker's number in the plan."""

    def __init__(self, page: CountersPage, signals: Signals, close_in_child: Callable[[WorkerContext], None]) -> None:
        """``close_in_child`` closes, in a new child, what the caller holds and the worker was not given."""
        self._page = page
        self._signals = signals
        self._close_in_child = close_in_child
        self._processes: dict[int, Process] = {}

    def __contains__(self, worker: int) -> bool:
        return worker in self._processes

    def __getitem__(self, worker: int) -> Process:
        return self._processes[worker]

    def fork(self, worker: int, role: Role, context: WorkerContext) -> None:
        """Makes the process; ``context`` is whole but for its row and control. OSError, NoRowLeftError when it
        cannot."""
        row = self._page.take_row(role.name, context.slot, context.generation)
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        context.page, context.row, context.control = self._page, self._page.row(row), theirs
        gc.collect()
        gc.freeze()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with self._signals.blocked():
                pid = os.fork()
                if pid == 0:
                    self._become(role, context, mine)
        except OSError:
            mine.close()
            self._page.release(row)
            raise
        finally:
            theirs.close()
        self._page.mark(row, pid=pid)
        self._processes[worker] = Process(pid, row, mine)

    def receive(self, worker: int) -> list[Message]:
        """What a worker has said since the last time; one that talks nonsense is killed."""
        process = self._processes[worker]
        messages: list[Message] = []
        while process.is_open:
            try:
                octets = process.control.recv(_READ)
                messages += process.arrived.feed(octets)
            except BlockingIOError:
                break
            except (OSError, FrameError):
                octets = b""
                self.kill(worker, signal.SIGKILL)
            if not octets:
                process.is_open = False
        return messages

    def send(self, worker: int, message: Message) -> None:
        """Sends an order. One that cannot be sent is not: a worker that does not read is killed by the plan in time."""
        process = self._processes.get(worker)
        if process is not None and process.is_open:
            try:
                process.control.send(encode(message))
            except OSError:
                process.is_open = False

    def kill(self, worker: int, number: signal.Signals) -> None:
        """Sends a signal; nothing when the process is gone (it is ours to wait for, so its pid is no other's)."""
        if worker in self._processes:
            os.kill(self._processes[worker].pid, number)

    def beats(self) -> dict[int, float]:
        """By worker: the loop's last sign of life, seconds of CLOCK_MONOTONIC; 0.0 for none."""
        return {worker: self._page.row(process.row)[BEAT_CELL] / 1e6 for worker, process in self._processes.items()}

    def reap(self) -> list[tuple[int, int]]:
        """Waits for every child that has ended, strangers included (as PID 1 we inherit them).

        Returns our workers among them with their code: 0 or more an exit code, negative a signal. They are still in
        here, to be read a last time, until ``remove``.
        """
        ended: list[tuple[int, int]] = []
        by_pid = {process.pid: worker for worker, process in self._processes.items()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            if pid in by_pid:
                ended.append((by_pid[pid], os.waitstatus_to_exitcode(status)))

    def remove(self, worker: int) -> None:
        """Forgets a process that has been waited for."""
        process = self._processes.pop(worker)
        process.control.close()
        self._page.release(process.row)

    # ---- in the child -----------------------------------------------------------------------------------------------

    def _become(self, role: Role, context: WorkerContext, parents_end: socket.socket) -> NoReturn:
        """The rest of this process's life; never returns into the supervisor's frames."""
        code = EXIT_FAULT
        try:
            parents_end.close()
            for process in self._processes.values():
                process.control.close()
            self._close_in_child(context)
            self._signals.let_go()
            privileges.give_up_capabilities()
            if not kernel.die_with_parent(signal.SIGKILL, context.supervisor_pid):
                os._exit(EXIT_ORPHANED)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            code = role.run(context)
        except BaseException:  # noqa: BLE001 - SystemExit and all: a child must not run on as a supervisor
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
