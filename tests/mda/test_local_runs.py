"""relay/mda/local_runs.py, mailbox_delivery.py, turnstile.py: a delivery that hangs holds up nobody else's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from relay.config import Config
from relay.delivery._delivery import Delivery
from relay.mail.outcome import DEFERRED, DELIVERED, Outcome
from relay.mail.queue_id import QueueIds
from relay.mda import local_runs as runs_module
from relay.mda.hand import Hand, key_of
from relay.mda.local import LocalJob, Suspect
from relay.mda.local_runs import LocalRuns
from relay.mda.mailbox_delivery import MailboxDelivery
from relay.mda.sieve_plan import Filters
from relay.mda.turnstile import Turnstile
from relay.net import threads as threads_module
from relay.spool import LogWriter
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from tests.support.waiting import reached, settled


class Sink:
    def __init__(self) -> None:
        self.told: list[str] = []

    def event(self, _level: str, event: str, /, **_fields: object) -> None:
        self.told.append(event)


class Scripts:
    """Stands for ``Filters``: hangs for accounts whose name begins with x until ``goes_on``."""

    faults = 0

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.begun: list[str] = []

    def plan(self, folder: Path, _incoming: object, _now: float) -> None:
        self.begun.append(folder.name)
        if folder.name.startswith("x"):
            self.goes_on.wait(30)


class World:
    """Deliveries to accounts by name, and what was told of each."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")
        self.sink = Sink()
        self.hand = Hand(folder / "in-hand")
        self.runs = LocalRuns(self.row, cast("LogSink", self.sink), self.hand, seconds)
        config = Config(hostname="mx.relay.example", data_dir=folder)
        self.delivery = MailboxDelivery(
            config, cast("LogWriter", None), QueueIds(0), cast("LogSink", self.sink), self.row, self.runs
        )
        self.scripts = Scripts()
        self.delivery._filters = cast("Filters", self.scripts)
        self.found: dict[str, Any] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def deliver(self, *names: str, alone: bool = False) -> None:
        jobs = [
            LocalJob(Delivery(b"", (b"",), 0, 20, content=b"Subject: x\r\n\r\nhi\r\n"), f"{name}@local.test".encode())
            for name in names
        ]
        keys = [key_of(number + 1, job.mailbox) for number, job in enumerate(jobs)]

        def tell(number: int, found: Outcome | Suspect) -> None:
            assert names[number] not in self.found or names[number].startswith("x"), "told once"
            self.found[names[number]] = found

        await self.delivery.deliver(jobs, keys, tell, self.behind, alone=alone)

    def behind(self, slow: Any) -> None:
        self.tasks.append(asyncio.ensure_future(slow))

    def stored(self, name: str) -> int:
        return len(list((self.folder / "mail" / "local.test" / name / "new").glob("*")))

    async def until(self, condition: Callable[[], object]) -> None:
        def turned() -> object:
            self.runs.turn()
            return condition()

        await reached(turned)

    async def during(self, work: Awaitable[None]) -> None:
        """Waits for ``work`` while time goes by."""
        task = asyncio.ensure_future(work)
        await self.until(task.done)
        await task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(threads_module, "GRACE_SECONDS", 0.1)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def run_it(scenario: Callable[[World], Awaitable[None]], seconds: float = 1.0) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                world = World(tmp_path, seconds)
                await scenario(world)
                world.scripts.goes_on.set()
                await asyncio.gather(*world.tasks)
                await world.until(lambda: not world.runs.hung)
                world.runs.close()

        asyncio.run(bounded())

    return run_it


def test_a_batch_goes_on_without_the_one_that_hangs_and_that_one_is_given_up(run) -> None:
    async def scenario(world: World) -> None:
        await world.during(world.deliver("a", "x", "b", "c"))
        assert [world.found[name].kind for name in "abc"] == [DELIVERED] * 3
        assert [world.stored(name) for name in "abc"] == [1, 1, 1]
        await world.until(lambda: "x" in world.found)
        assert (world.found["x"].cause, world.found["x"].outcome.kind) == ("hung", DEFERRED)
        assert world.runs.hung == {b"x@local.test": 1}
        assert "store thread lost" in world.sink.told
        await world.during(world.deliver("x", "d"))
        assert world.found["d"].kind == DELIVERED
        assert "another delivery" in world.found["x"].text, "its mailbox waits until the thread is back"
        world.scripts.goes_on.set()
        await world.until(lambda: not world.runs.hung)
        assert world.stored("x") == 0, "what was given up is not written when its thread comes back"
        await world.during(world.deliver("x"))
        assert world.stored("x") == 1

    run(scenario)


def test_one_that_is_only_slow_is_written_by_its_own_thread(run) -> None:
    async def scenario(world: World) -> None:
        await world.during(world.deliver("a", "x", "b"))
        assert sorted(world.found) == ["a", "b"]
        world.scripts.goes_on.set()
        await world.until(lambda: "x" in world.found)
        assert world.found["x"].kind == DELIVERED
        assert [world.stored(name) for name in "axb"] == [1, 1, 1]
        assert world.scripts.begun.count("x") == 1

    run(scenario, seconds=60.0)


def test_a_mailbox_that_hangs_takes_one_thread_whatever_else_there_is_for_it(run) -> None:
    async def scenario(world: World) -> None:
        await world.during(world.deliver("x", "a", "x", "x", "b"))
        assert sorted(world.found) == ["a", "b"]
        await world.during(world.deliver("x", "c"))
        assert world.found["c"].kind == DELIVERED
        assert world.scripts.begun.count("x") == 1
        await world.until(lambda: all(task.done() for task in world.tasks))
        assert "another delivery" in world.found["x"].text, "what waited for it"
        assert world.scripts.begun.count("x") == 1
        assert world.sink.told == ["store thread lost"]

    run(scenario)


def test_what_waits_for_a_slow_one_of_its_mailbox_is_delivered_when_that_is(run) -> None:
    async def scenario(world: World) -> None:
        await world.during(world.deliver("x", "a", "x"))
        world.scripts.goes_on.set()
        await world.until(lambda: all(task.done() for task in world.tasks))
        assert (world.found["x"].kind, world.stored("x")) == (DELIVERED, 2)
        assert not world.runs.slow

    run(scenario, seconds=60.0)


def test_four_that_hang_leave_threads_for_others(run) -> None:
    """Threads that were lost counted as if they delivered, so that nothing more was delivered."""

    async def scenario(world: World) -> None:
        await world.during(world.deliver(*(f"x{number}" for number in range(runs_module.LOCAL_THREADS))))
        await world.until(lambda: len(world.runs.hung) == runs_module.LOCAL_THREADS)
        await world.during(world.deliver("a"))
        assert world.found["a"].kind == DELIVERED

    run(scenario)


def test_several_that_hang_in_one_batch_are_given_up_one_by_one(run) -> None:
    async def scenario(world: World) -> None:
        names = ["x1", "a", "x2", "b", "x3", "c"]
        await world.during(world.deliver(*names))
        await world.until(lambda: len(world.found) == len(names))
        assert [getattr(world.found[name], "cause", "") for name in names] == ["hung", "", "hung", "", "hung", ""]
        assert [world.stored(name) for name in "abc"] == [1, 1, 1]

    run(scenario)


def test_what_is_in_hand_is_noted_while_it_is_prepared(run, tmp_path) -> None:
    async def scenario(world: World) -> None:
        await world.during(world.deliver("a", "x"))
        successor = Hand(tmp_path / "in-hand")
        assert set(successor.suspects) == {key_of(2, b"x@local.test")}
        world.scripts.goes_on.set()
        await world.until(lambda: "x" in world.found)

    run(scenario, seconds=60.0)


def test_a_deadly_one_runs_alone(run) -> None:
    async def scenario(world: World) -> None:
        deadly = asyncio.ensure_future(world.deliver("x", alone=True))
        await world.until(lambda: world.scripts.begun == ["x"])
        others = asyncio.ensure_future(world.deliver("a", "b"))
        for _ in range(20):
            world.runs.turn()
            await settled(5)
        assert world.scripts.begun == ["x"]
        world.scripts.goes_on.set()
        await world.until(lambda: deadly.done() and others.done())
        assert sorted(world.found) == ["a", "b", "x"]

    run(scenario, seconds=60.0)


def test_who_is_to_be_alone_waits_for_a_time_and_holds_up_nobody_for_longer(run) -> None:
    """A delivery that hangs while it is written cannot be taken back: the turn of a deadly one would never come, and
    nobody else's behind it."""

    async def scenario(world: World) -> None:
        await world.runs._turnstile.enter(alone=False)
        deadly = asyncio.ensure_future(world.deliver("b", alone=True))
        other = asyncio.ensure_future(world.deliver("a"))
        await world.until(lambda: deadly.done() and other.done())
        assert world.found["b"].kind == DEFERRED
        assert "not come to an end" in world.found["b"].text
        await world.deliver("c")
        assert world.found["c"].kind == DELIVERED
        world.runs._turnstile.leave()

    run(scenario, seconds=0.5)


def test_a_turnstile_lets_many_in_or_one_alone() -> None:
    async def scenario() -> None:
        gate, inside = Turnstile(), list[str]()

        async def enter(name: str, *, alone: bool) -> None:
            await gate.enter(alone=alone)
            inside.append(name)

        await enter("a", alone=False)
        await enter("b", alone=False)
        tasks = [asyncio.ensure_future(enter(name, alone=name.isupper())) for name in ("X", "c", "Y")]
        await settled()
        assert inside == ["a", "b"]
        gate.leave()
        await settled()
        assert inside == ["a", "b"]
        gate.leave()
        await settled()
        assert inside == ["a", "b", "X"]
        gate.leave()
        await settled()
        assert inside == ["a", "b", "X", "Y"]
        gate.leave()
        await asyncio.gather(*tasks)
        assert inside == ["a", "b", "X", "Y", "c"]

    asyncio.run(scenario())
