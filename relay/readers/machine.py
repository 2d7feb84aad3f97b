"""What a reader's protocol (IMAP, POP3) is to its transport: a pure machine, octets in, octets and jobs out.

Theory: the machine never waits. What takes time - a look into the store, a password - it hands out as a ``Job``, and
goes on when ``job_done`` brings the result. While a job is out, what comes in is only gathered, so replies keep the
order of the commands, and a session has one operation in the store at a time. A long answer is many jobs: each makes a
piece, and the next is asked for only when the peer has read the last (relay/readers/dialogue.py).

    machine.open(wake)                  # a greeting is in the output
    machine.receive(octets, now)        # again and again
    transport.write(machine.take_output())
    job = machine.take_job()            # when none is out; carry it out, then
    machine.job_done(result, fault, now)

Invariants: the same octets bring the same output however they are cut; ``now`` is CLOCK_MONOTONIC in microseconds.

Not here: TLS, deadlines, limits of connections, threads (dialogue.py, gate.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.net.tls_machine import TlsServer


@dataclass(frozen=True, slots=True)
class Blocking:
    """Carried out in a thread: may block on the disk."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Carried out on the loop: may wait, must not block."""

    ask: Callable[[], Awaitable[Any]]


Job = Blocking | Waiting


@dataclass(slots=True)
class Report:
    """What the line in the log says of a session; the machine keeps it up to date."""

    account: str = ""
    commands: int = 0
    errors: int = 0
    """Commands that were refused."""
    fetched: int = 0
    """Messages whose content, or a part of it, was sent."""
    added: int = 0
    removed: int = 0
    finished: list[tuple[str, int]] = field(default_factory=list)
    """Commands that were carried out since the transport last looked: name (relay/telemetry/reader_commands.py) and
    microseconds."""
    mixup: str = ""
    """The protocol that the client speaks when it is not ours (``READER_MIXUPS`` of relay/telemetry/metrics.py)."""


class Machine(Protocol):
    """One session. Belongs to the loop's thread; only what is in a ``Blocking`` runs elsewhere."""

    report: Report
    is_over: bool
    """Nothing more will be sent or read: close when the output is written."""
    closes_at_once: bool
    """The peer has said goodbye itself and need not be waited for."""
    wants_tls: bool
    """What is in the output is the last in the clear; all input that the machine held is thrown away."""
    patience: float
    """Seconds that the peer may take until it says more."""

    def open(self, wake: Callable[[], None]) -> None:
        """The peer is there (and TLS, where the listener begins with it): a greeting is in the output.

        ``wake`` may be called from any thread, when something happened that the machine wants to look at:
        ``woken`` follows.
        """

    def receive(self, octets: bytes, now: int) -> None:
        """Octets came in."""

    def take_output(self) -> bytes:
        """What is to be written now."""

    def may_read(self) -> bool:
        """Whether more input is welcome; if not, the peer is not read from (back-pressure)."""

    def take_job(self) -> Job | None:
        """What is to be done next; asked only while none is out."""

    def job_done(self, result: Any, fault: BaseException | None, now: int) -> None:
        """The job's result, or what it raised: JobStopped (stopping.py) when it was asked to stop because it took too
        long."""

    def given_up(self) -> None:
        """The job that is out does not come back in time, if ever; ``job_done`` will not be called for it. Says so, and
        goodbye; then ``is_over``. What the job uses is not touched."""

    def woken(self, now: int) -> None:
        """``wake`` was called, some time ago."""

    def secured(self, stream: TlsServer) -> None:
        """TLS is there: after ``wants_tls``, or before ``open``."""

    def farewell(self, cause: str) -> None:
        """Says goodbye because of ``cause`` (``drained``, ``idle_timeout``, ``limit``, ...), at once or, while a
        job is out, after it; then ``is_over``."""

    def mixed_up(self, protocol: str) -> None:
        """The first octets are ``tls`` (on a port that does not begin with it) or ``plain`` (on one that does): tells
        the peer, as far as can be, what port this is; then ``is_over``."""

    def release(self) -> Job | None:
        """The connection is gone and no job is out: what gives back what the session holds."""
