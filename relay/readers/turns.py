"""What readers' machines (machine.py) have in common: what is said, and one job at a time.

Theory: a machine hands out a job and goes on when it is done; until then it only gathers. ``Turns`` keeps the job and
what follows it; what a protocol sends and reads is its own business (``_go_on``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.readers.machine import Job, Report

Then = Callable[[Any, BaseException | None], None]
"""Is given a job's result, or what it raised."""


class Turns:
    """The half of a Machine that is the same in all of them."""

    def __init__(self, patience: float) -> None:
        self.report = Report()
        self.is_over = self.closes_at_once = self.wants_tls = False
        self.patience = patience
        self._output: list[bytes] = []
        self._job: Job | None = None
        self._then: Then | None = None
        self._now = 0
        """When octets or a result last came in."""
        self._kind = ""
        self._since = 0

    @property
    def _is_busy(self) -> bool:
        """Whether a job is out, or about to be."""
        return self._then is not None

    def take_output(self) -> bytes:
        """See Machine."""
        octets = b"".join(self._output)
        self._output.clear()
        return octets

    def take_job(self) -> Job | None:
        """See Machine."""
        job, self._job = self._job, None
        return job

    def job_done(self, result: Any, fault: BaseException | None, now: int) -> None:
        """See Machine."""
        self._now = now
        then, self._then = self._then, None
        assert then is not None, "no job is out"
        then(result, fault)
        self._go_on()

    def given_up(self) -> None:
        """See Machine. The job stays out, so that nothing else begins."""
        self._end(self._gave_up())

    def _gave_up(self) -> bytes:
        """The answer of the command that is not carried out to its end, and goodbye, as far as may be said now."""
        raise NotImplementedError

    def woken(self, now: int) -> None:
        """See Machine."""

    def _begins(self, kind: str) -> None:
        """A command (relay/telemetry/reader_commands.py) is carried out now; what was before is forgotten."""
        self._kind, self._since = kind, self._now

    def _finished(self) -> None:
        """The command that was carried out, if any, is answered."""
        if self._kind:
            self.report.finished.append((self._kind, self._now - self._since))
            self._kind = ""

    def _wait(self, job: Job, then: Then) -> None:
        """Has ``job`` carried out; nothing else happens before ``then`` is given what comes of it."""
        self._job, self._then = job, then

    def _say(self, octets: bytes) -> None:
        if octets:
            self._output.append(octets)

    def _end(self, octets: bytes) -> None:
        """The last words."""
        self._say(octets)
        self.is_over = True

    def _go_on(self) -> None:
        """Does what there is to do, until there is something to wait for."""
        raise NotImplementedError
