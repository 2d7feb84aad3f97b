"""How the checks of a stage are asked: in order or at the same time, in time or not, and what is remembered of it."""

import asyncio
import json
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.mail.reply import Reply
from relay.policy.edits import Add
from relay.policy.pipeline import ACCEPT, DECISIONS, OFF, SHADOW, STAGES, Check, Decision, Pipeline, Subject
from relay.policy.verdict import ANNOTATE, DISCARD, Answer, Verdict, defer, join, reject
from relay.telemetry import metrics
from relay.telemetry.lines import JSON, Line

NO = reject(Reply(550, "5.7.1", "No"), "relay_denied")
LATER = defer(Reply(451, "4.7.1", "Later"))
FIELD = Add(b"X-Seen: yes\r\n")


class World:
    """A pipeline of given checks at one stage, and what came of it."""

    def __init__(self, *checks: Check) -> None:
        self.cells = array("Q", [0]) * metrics.ROW_CELLS
        self.faults: list[tuple[str, str]] = []
        self.pipeline = Pipeline(checks, memoryview(self.cells), self._fault)
        self.subject = Subject()

    def _fault(self, name: str, fault: BaseException) -> None:
        self.faults.append((name, type(fault).__name__))

    def ask(self, about: Any = b"x") -> Answer:
        checks = self.pipeline.rcpt
        assert checks is not None
        return self.pipeline.ask(checks, self.subject, about)

    def answer(self) -> Verdict | None:
        """The answer once it is there."""

        async def wait() -> Verdict | None:
            answer = self.ask()
            assert isinstance(answer, Awaitable)
            return await answer

        return asyncio.run(wait())

    @property
    def made(self) -> list[Decision]:
        return self.subject.decisions or []

    @property
    def decided(self) -> list[tuple[str, str]]:
        return [(each.check.name, each.result) for each in self.made]

    def count(self, name: str, result: str) -> int:
        return self.cells[metrics.index("relay_policy_checks_total", name, result)]


def check(name: str, answer: Any, stage: str = "rcpt", **settings: Any) -> Check:
    """One that gives ``answer``, raises it, or calls it for an awaitable."""

    def ask(_view: Any, _about: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    return Check(name, stage, ask, **settings)


def late(value: Any, turns: int = 1) -> Callable[[], Any]:
    """An awaitable that gives ``value`` after some turns of the loop, or raises it."""

    async def wait() -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        if isinstance(value, BaseException):
            raise value
        return value

    return wait


def never() -> Any:
    return asyncio.Event().wait()


def spelled(decision: Decision) -> dict[str, Any]:
    """As the log line has it."""
    line = Line("test", [("decisions", JSON)]).build(0, ([decision.encode()],))
    (found,) = json.loads(line)["decisions"]
    return dict(found)


def test_a_stage_without_checks_has_none() -> None:
    world = World(check("a", None, "mail"), check("b", NO, "rcpt", mode=OFF))
    assert [getattr(world.pipeline, stage) is None for stage in STAGES] == [True, True, False, True, True]


def test_checks_are_asked_in_their_order_and_all_must_agree() -> None:
    world = World(check("a", None), check("b", LATER), check("c", None))
    answer = world.ask()
    assert isinstance(answer, Verdict)
    assert (answer.kind, answer.check) == ("defer", "b")
    assert world.decided == [("a", "pass"), ("b", "defer"), ("c", "pass")]


def test_after_a_rejection_nobody_is_asked() -> None:
    world = World(check("a", NO), check("b", AssertionError("asked")))
    answer = world.ask()
    assert isinstance(answer, Verdict)
    assert (answer.kind, answer.check, answer.reason) == ("reject", "a", "relay_denied")
    assert world.decided == [("a", "reject")]
    assert world.faults == []


def test_a_rejection_is_stricter_than_what_defers() -> None:
    answer = World(check("a", LATER), check("b", NO)).ask()
    assert isinstance(answer, Verdict)
    assert answer.kind == "reject"


def test_what_annotates_adds_up() -> None:
    first = Verdict(ANNOTATE, edits=(FIELD,), added=(b"a@b.test",), hold="first", reverse_path=b"x@y.test")
    second = Verdict(ANNOTATE, edits=(FIELD,), added=(b"c@d.test", b"a@b.test"), hold="second", reverse_path=b"")
    answer = World(check("a", first), check("b", None), check("c", second)).ask()
    assert isinstance(answer, Verdict)
    assert answer.edits == (FIELD, FIELD)
    assert answer.added == (b"a@b.test", b"c@d.test")
    assert (answer.hold, answer.reverse_path) == ("first", b"")


def test_a_discard_keeps_what_was_annotated_beside_it() -> None:
    joined = join([Verdict(ANNOTATE, edits=(FIELD,)), Verdict(DISCARD, check="x")])
    assert joined is not None
    assert (joined.kind, joined.check, joined.edits) == (DISCARD, "x", (FIELD,))


def test_recipients_that_are_replaced_by_two_checks_are_all_kept() -> None:
    joined = join([Verdict(ANNOTATE, instead=(b"a", b"b")), Verdict(ANNOTATE), Verdict(ANNOTATE, instead=(b"b", b"c"))])
    assert joined is not None
    assert joined.instead == (b"a", b"b", b"c")


# ---- those that have to wait ----------------------------------------------------------------------------------------


def test_checks_that_wait_do_so_at_the_same_time() -> None:
    """Each ends only when the other has begun."""
    gates = [asyncio.Event(), asyncio.Event()]

    def meeting(mine: int) -> Callable[[], Any]:
        async def wait() -> None:
            gates[mine].set()
            await gates[1 - mine].wait()

        return wait

    world = World(check("a", meeting(0)), check("b", None), check("c", meeting(1)))
    assert world.answer() is None
    assert sorted(world.decided) == [("a", "pass"), ("b", "pass"), ("c", "pass")]


def test_verdicts_are_joined_in_the_order_of_the_checks_whichever_is_there_first() -> None:
    slow = Verdict(ANNOTATE, reverse_path=b"slow@x.test")
    fast = Verdict(ANNOTATE, reverse_path=b"fast@x.test")
    at_once = Verdict(ANNOTATE, reverse_path=b"now@x.test")
    answer = World(check("a", late(slow, 9)), check("b", at_once), check("c", late(fast))).answer()
    assert answer is not None
    assert answer.reverse_path == b"fast@x.test"


def test_the_first_rejection_ends_the_waiting() -> None:
    cancelled = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    world = World(check("a", wait), check("b", late(NO)))
    answer = world.answer()
    assert answer is not None
    assert answer.kind == "reject"
    assert world.decided == [("b", "reject"), ("a", "cancelled")]
    assert cancelled == [True]


def test_a_rejection_at_once_drops_what_would_have_to_be_waited_for() -> None:
    dropped = []

    class Waiting:
        def __await__(self) -> Any:
            raise AssertionError("awaited")

        def close(self) -> None:
            dropped.append(True)

    answer = World(check("a", Waiting), check("b", NO)).ask()
    assert isinstance(answer, Verdict)
    assert dropped == [True]


def test_who_cancels_the_waiting_cancels_the_checks() -> None:
    async def scenario() -> World:
        world = World(check("a", never), check("b", never))
        answer = world.ask()
        task = asyncio.ensure_future(answer)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return world

    world = asyncio.run(scenario())
    assert world.decided == [("a", "cancelled"), ("b", "cancelled")]


# ---- those that fail ------------------------------------------------------------------------------------------------

FAILING = [
    (ValueError("secret"), "error"),
    (late(ValueError("secret")), "error"),
    (late(asyncio.CancelledError()), "error"),
    (late(TimeoutError("of its own")), "error"),
    (never, "timeout"),
    ("no answer", "error"),
    (late(17), "error"),
    (Verdict(ANNOTATE, edits=(Add(b"X: a\r\n\r\nbody"),)), "error"),
    (Verdict(ANNOTATE, body=b"at rcpt\r\n"), "error"),
    (Verdict(ANNOTATE, added=(b"a@b.test\r\nRSET",)), "error"),
    (Verdict(ANNOTATE, reverse_path=b"nobody"), "error"),
    (Verdict(ANNOTATE, instead=(b"a\r\nb@x.test",)), "error"),
    (reject(Reply(451, "4.7.1", "not permanent")), "error"),
    (Verdict("reject"), "error"),
]


@pytest.mark.parametrize(("answer", "result"), FAILING)
def test_a_check_that_fails_defers_or_is_passed_over(answer: Any, result: str) -> None:
    async def asked(**settings: Any) -> tuple[World, Any]:
        deadline = 0.001 if result == "timeout" else 30.0
        world = World(check("room", answer, deadline=deadline, **settings), check("b", None))
        given = world.ask()
        return world, given if given is None or isinstance(given, Verdict) else await given

    world, verdict = asyncio.run(asked())
    assert (verdict.kind, verdict.reply.code, verdict.reply.status, verdict.reason) == (
        "defer", 451, "4.3.0", "internal",
    )  # fmt: skip
    assert "secret" not in verdict.reply.text
    assert sorted(world.decided) == [("b", "pass"), ("room", result)]
    assert world.count("room", result) == 1
    assert bool(world.faults) == (result == "error"), "a fault is an event; a deadline that has passed is counted"
    world, verdict = asyncio.run(asked(on_error=ACCEPT))
    assert verdict is None
    assert ("room", result) in world.decided


@pytest.mark.parametrize("answer", [NO, LATER, Verdict(DISCARD), Verdict(ANNOTATE, hold="x"), late(NO), ValueError()])
def test_a_check_in_shadow_is_asked_and_counted_and_changes_nothing(answer: Any) -> None:
    async def asked() -> tuple[World, Any]:
        world = World(check("room", answer, mode=SHADOW), check("b", None))
        given = world.ask()
        return world, given if given is None else await given  # type: ignore[misc]

    world, verdict = asyncio.run(asked())
    assert verdict is None
    result = dict(world.decided)["room"]
    assert result in ("reject", "defer", "discard", "hold", "error")
    assert world.count("room", result) == 1
    decision = next(each for each in world.made if each.check.name == "room")
    assert spelled(decision)["mode"] == "shadow"


# ---- what is remembered ---------------------------------------------------------------------------------------------


def test_a_decision_says_what_was_asked_and_how_it_ended() -> None:
    world = World(check('we"ird', Verdict(ANNOTATE, why='saw a \x1b[31m "thing"\n')))
    world.ask()
    (decision,) = world.made
    found = spelled(decision)
    assert isinstance(found.pop("us"), int)
    assert found == {"check": 'we"ird', "stage": "rcpt", "result": "annotate", "why": 'saw a \x1b[31m "thing"\n'}
    assert b"\x1b" not in decision.encode()[0]


def test_equal_decisions_in_a_row_are_one_and_there_is_a_bound() -> None:
    world = World(check("a", None))
    for _ in range(1000):
        world.ask()
    (decision,) = world.made
    assert decision.times == 1000
    assert spelled(decision)["times"] == 1000
    mixed = World(check("a", None), check("b", None))
    for _ in range(1000):
        mixed.ask()
    assert len(mixed.made) == DECISIONS
    assert mixed.cells[metrics.index("relay_policy_checks_total", "other", "pass")] == 2000


def test_a_check_must_be_one() -> None:
    for wrong in ({"mode": "on?"}, {"on_error": "reject"}):
        with pytest.raises(ValueError, match="check a"):
            check("a", None, **wrong)
    with pytest.raises(ValueError, match="stage 'data'"):
        check("a", None, "data")
