"""relay/readers/turns.py: commands are told by name and time."""

from __future__ import annotations

from relay.readers.machine import Blocking
from relay.readers.turns import Turns


class Line(Turns):
    """Each command is the name that is received; WORK needs a job."""

    def receive(self, name: str, now: int) -> None:
        self._now = now
        self._begins(name)
        if name == "work":
            self._wait(Blocking(lambda: None), lambda _result, _fault: None)
        else:
            self._finished()

    def _go_on(self) -> None:
        self._finished()


def test_a_command_takes_from_its_octets_to_the_end_of_its_last_job() -> None:
    line = Line(60.0)
    line.receive("noop", 1_000)
    line.receive("work", 2_000)
    assert line.report.finished == [("noop", 0)]
    assert line.take_job() is not None
    line.job_done(None, None, 5_500)
    assert line.report.finished == [("noop", 0), ("work", 3_500)]


def test_a_command_is_finished_once() -> None:
    line = Line(60.0)
    line.receive("noop", 1_000)
    line._finished()
    assert line.report.finished == [("noop", 0)]
