"""relay/net/threads.py: jobs end once, late ones are stopped, those that hang are given up and replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.net import stopping
from relay.net.stopping import DEADLINE, GONE, JobStopped
from relay.net.threads import GRACE_SECONDS, Meter, Threads, Ticket
from relay.telemetry import metrics
from tests.support.waiting import pause, reached, settled


class World:
    """Threads, and what came of their jobs."""

    def __init__(self, size: int = 2, share: int | None = 2) -> None:
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")
        self.lost: list[Any] = []
        self.threads = Threads(
            asyncio.get_running_loop(), size, share=share, name=f"store-{id(self)}", meter=Meter(self.row),
            on_lost=lambda key, _seconds: self.lost.append(key),
        )  # fmt: skip
        self.ended: list[tuple[str, Any]] = []
        self.stuck: list[str] = []
        self.release = threading.Event()
        self.begun = 0

    def submit(self, name: str, run: Callable[[], Any], *, key: str = "k", timeout: float = 60.0,
               waits: bool = False) -> Ticket:  # fmt: skip
        def done(result: Any, fault: BaseException | None) -> None:
            self.ended.append((name, f"{type(fault).__name__} {fault}" if fault else result))

        return self.threads.submit(key, run, done, timeout=timeout, stuck=lambda: self.stuck.append(name), waits=waits)

    def alive(self) -> int:
        """Threads of these, without those that tests before have left."""
        return sum(thread.name.startswith(f"store-{id(self)}_") for thread in threading.enumerate())

    def hang(self) -> str:
        self.begun += 1
        self.release.wait(30)
        return "late"

    def cell(self, name: str, *labels: str) -> int:
        return self.row[metrics.index(name, *labels)]

    async def until(self, condition: Callable[[], object]) -> None:
        await reached(condition)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


def test_results_and_faults_of_all_kinds_come_back() -> None:
    async def scenario() -> None:
        world = World()
        world.submit("good", lambda: 7)
        world.submit("bad", lambda: 1 // 0)
        world.submit("deep", lambda: (_ for _ in ()).throw(RecursionError("deep")))
        world.submit("exit", lambda: (_ for _ in ()).throw(SystemExit("no")))
        await world.until(lambda: len(world.ended) == 4)
        assert dict(world.ended) == {
            "good": 7,
            "bad": "ZeroDivisionError integer division or modulo by zero",
            "deep": "RecursionError deep",
            "exit": "SystemExit no",
        }
        world.threads.close()

    run(scenario)


def test_one_key_does_not_take_the_threads_of_another() -> None:
    async def scenario() -> None:
        world = World(size=3, share=2)
        for number in range(5):
            world.submit(f"slow{number}", world.hang, key="mallory")
        world.submit("login", lambda: "in", key="alice")
        await world.until(lambda: world.ended)
        assert world.ended == [("login", "in")]
        world.release.set()
        await world.until(lambda: len(world.ended) == 6)
        world.threads.close()

    run(scenario)


def test_a_late_job_that_looks_is_stopped_and_its_thread_is_not_lost() -> None:
    async def scenario() -> None:
        world = World()

        def work() -> None:
            while True:
                stopping.check()
                pause(0.001)

        world.submit("search", work, timeout=5.0)
        now = time.monotonic()
        world.threads.turn(now + 4)
        await asyncio.sleep(0)
        assert not world.ended
        world.threads.turn(now + 6)
        await world.until(lambda: world.ended)
        assert world.ended == [("search", f"JobStopped {DEADLINE}")]
        assert world.cell("relay_store_stopped_jobs_total", DEADLINE) == 1
        world.submit("next", lambda: "a mark of its own")
        await world.until(lambda: len(world.ended) == 2)
        assert world.ended[1] == ("next", "a mark of its own")
        assert not world.stuck
        assert not world.lost
        world.threads.close()

    run(scenario)


def test_a_job_that_does_not_look_is_given_up_and_a_fresh_thread_takes_over() -> None:
    async def scenario() -> None:
        world = World(size=1, share=1)
        world.submit("hung", world.hang, key="mallory", timeout=5.0)
        world.submit("other", lambda: "done", key="alice")
        await world.until(lambda: world.begun)
        now = time.monotonic()
        world.threads.turn(now + 6)
        assert not world.stuck
        world.threads.turn(now + 6 + GRACE_SECONDS)
        assert world.stuck == ["hung"]
        assert world.lost == ["mallory"]
        await world.until(lambda: world.ended)
        assert world.ended == [("other", "done")]
        world.threads.turn(time.monotonic())
        assert world.cell("relay_store_threads", "lost") == 1
        world.submit("again", lambda: "", key="mallory", timeout=5.0)
        assert len(world.ended) == 1, "its share is lost, too"
        world.release.set()
        await world.until(lambda: len(world.ended) == 3)
        assert world.ended[1:] == [("hung", "late"), ("again", "")], "it ends once, and then its share is free"
        world.threads.turn(time.monotonic())
        assert world.cell("relay_store_threads", "lost") == 0
        assert world.stuck == ["hung"]
        world.threads.close()

    run(scenario)


def test_threads_are_bounded_however_many_hang_and_the_page_says_so() -> None:
    async def scenario() -> None:
        world = World(size=2, share=2)
        for number in range(10):
            world.submit(f"hung{number}", world.hang, key=str(number), timeout=5.0, waits=True)
        now = time.monotonic()
        for seconds in range(0, 60, 3):
            await world.until(lambda: world.begun == min(4, 2 + 2 * (len(world.stuck) > 0)))
            world.threads.turn(now + seconds)
        assert world.alive() == 4
        assert world.cell("relay_store_threads", "busy") == 2
        assert world.cell("relay_store_threads", "lost") == 2
        assert world.cell("relay_store_waiting_jobs") == 6
        assert world.cell("relay_store_stuck_seconds") > 10_000_000
        assert world.cell("relay_store_oldest_job_seconds") > 50_000_000
        assert len(world.stuck) == 4, "each is told once"
        world.release.set()
        await world.until(lambda: len(world.ended) == 10)
        world.threads.turn(now + 61)
        assert world.cell("relay_store_stuck_seconds") == 0
        await world.until(lambda: world.alive() == 2)
        world.threads.close()

    run(scenario)


def test_without_a_share_lost_threads_of_the_only_key_are_replaced_all_the_same() -> None:
    """Local deliveries have one key: when as many as there were at first hung, nothing more was delivered."""

    async def scenario() -> None:
        world = World(size=2, share=None)
        for name in ("hung", "hung, too"):
            world.submit(name, world.hang, timeout=5.0, waits=True)
        await world.until(lambda: world.begun == 2)
        for seconds in (6, 6 + GRACE_SECONDS):
            world.threads.turn(time.monotonic() + seconds)
        assert len(world.stuck) == 2
        world.submit("other", lambda: "done", waits=True)
        await world.until(lambda: world.ended)
        assert world.ended == [("other", "done")]
        world.release.set()
        await world.until(lambda: len(world.ended) == 3)
        world.threads.close()

    run(scenario)


def test_a_job_that_waits_too_long_never_begins() -> None:
    async def scenario() -> None:
        world = World(size=1, share=1)
        world.submit("first", world.hang, key="a", waits=True)
        await world.until(lambda: world.begun)
        world.submit("second", lambda: "began", key="b", timeout=5.0)
        world.submit("patient", lambda: "began", key="c", timeout=5.0, waits=True)
        world.threads.turn(time.monotonic() + 6)
        assert world.ended == [("second", f"JobStopped {DEADLINE}")]
        world.release.set()
        await world.until(lambda: len(world.ended) == 3)
        assert world.ended[1:] == [("first", "late"), ("patient", "began")]
        world.threads.close()

    run(scenario)


def test_a_job_that_nobody_wants_any_more_is_dropped_or_stopped() -> None:
    async def scenario() -> None:
        world = World(size=1, share=1)
        stopped: list[str] = []

        def work() -> None:
            world.begun += 1
            try:
                while True:
                    stopping.check()
                    pause(0.001)
            except JobStopped as fault:
                stopped.append(fault.cause)
                raise

        runs = world.submit("runs", work)
        waits = world.submit("waits", lambda: "began")
        await world.until(lambda: world.begun)
        world.threads.drop(waits, GONE)
        assert world.ended == [("waits", f"JobStopped {GONE}")]
        world.threads.drop(runs, GONE)
        world.threads.drop(runs, GONE)
        await world.until(lambda: len(world.ended) == 2)
        assert stopped == [GONE]
        assert world.cell("relay_store_stopped_jobs_total", GONE) == 2
        world.threads.close()

    run(scenario)


def test_outside_a_job_nothing_is_stopped() -> None:
    stopping.check()


def test_what_is_handed_in_after_the_end_is_not_begun() -> None:
    async def scenario() -> None:
        world = World()
        world.threads.close()
        world.submit("late", lambda: pytest.fail("it began"))
        await settled()
        assert not world.ended

    run(scenario)
