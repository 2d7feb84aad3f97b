"""The wall clock is set under a running appliance (more in tests/dispatch/test_clock.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink
from tests.support.wall_clock import WallClock

DAY = 86_400
SOON = '[queue]\nretry_first = "1s"\nretry_max = "2s"\n'


class Closed:
    """Defers every recipient until it is opened."""

    is_open = False

    def __call__(self, stage: str, argument: str) -> str | None:
        return "450 4.2.0 not today" if stage == "rcpt" and not self.is_open else None


@pytest.fixture
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WallClock]:
    with WallClock(tmp_path_factory.mktemp("clock")) as clock:
        yield clock


@pytest.mark.parametrize("ahead", [-DAY, 30 * DAY])
def test_what_waits_and_what_comes_afterwards_is_tried_on_time(tmp_path: Path, wall: WallClock, ahead: int) -> None:
    """A day back stopped all retries for a day; a month forward would be beyond queue.lifetime."""
    door = Closed()
    with Sink(answer=door) as sink, Appliance(tmp_path, sink.port, more=SOON, wrap=wall.wrap) as relay:
        relay.send("before@relay.test")
        wait_for(lambda: relay.deliveries("before@relay.test"), 10, relay.tail)
        wall.set_ahead(ahead)
        relay.send("after@relay.test")
        wait_for(lambda: [e for e in relay.events() if e.get("event") == "clock was set"], 10, relay.tail)
        (event,) = [e for e in relay.events() if e.get("event") == "clock was set"]
        assert abs(event["seconds"] - abs(ahead)) <= 1
        tries = len(relay.deliveries("before@relay.test"))
        wait_for(lambda: len(relay.deliveries("before@relay.test")) > tries + 1, 15, relay.tail)
        wait_for(lambda: len(relay.deliveries("after@relay.test")) > 1, 15, relay.tail)
        door.is_open = True
        wait_for(lambda: len(sink.messages) == 2, 15, relay.tail)
        outcomes = {line["outcome"] for name in ("before", "after") for line in relay.deliveries(f"{name}@relay.test")}
        assert outcomes <= {"deferred", "delivered"}
        direction = "forward" if ahead > 0 else "back"
        assert relay.metrics()[f'relay_queue_clock_jumps_total{{direction="{direction}"}}'] == 1
