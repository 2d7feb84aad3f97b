"""Which checks are asked at which stage of a session, how they are asked, and what has been decided.

Theory: a listener has one pipeline, made at start and at a reload: for each stage a tuple of checks, or None where
there are none, so that an empty stage costs its session one test in C. The checks of a stage are asked in their order.
One that answers at once costs a call; those that have to wait wait at the same time, each until its own deadline. As
soon as one rejects nobody else is asked or waited for: nothing is stricter. What a check has answered is a Decision,
which is counted at once and written to the transaction's log line.

A check that raises, gives no answer in time or one that cannot be acted on has failed: by its ``on_error`` the message
goes on unchecked, or is refused for now. A check in shadow is asked, logged and counted like any other, and its answer
is not acted on.

It is compiled (pipeline.pxd), because it stands in the way of each message; it behaves identically uncompiled.

Not here: what a session does with the answer (relay/smtp/_policy.pyx), the checks (checks.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from relay.mail.address import AddressError, parse_address
from relay.mail.reply import POLICY_FAILED
from relay.net.clock import now_us
from relay.policy.edits import check as check_edit
from relay.policy.facts import Facts
from relay.policy.verdict import DEFER, REJECT, Answer, Verdict, join
from relay.telemetry import metrics
from relay.telemetry.lines import escape

STAGES: Final = ("connect", "helo", "mail", "rcpt", "content")
OFF: Final = "off"
SHADOW: Final = "shadow"
ON: Final = "on"
ACCEPT: Final = "accept"
DEADLINE: Final = 30.0
"""Seconds that a check may take when it says nothing else."""
DECISIONS: Final = 50
"""Decisions of one session or transaction that are kept for its log line."""
WHY: Final = 200
"""Octets of a decision's reason in the log line."""
PASS: Final = "pass"  # noqa: S105 (no password)

_NO_LINES: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0|[^\n]\Z")
"""What content has not: CR or LF that stand alone, NUL, a line without an end (RFC 5321 2.3.8)."""
_TIME: Final = b'"us":'
_CONTROL: Final = re.compile(rb"[\0-\x1f\x7f]")

Ask = Callable[[Any, Any], Answer]
"""Takes a View and what the stage is about: None, the name of HELO or EHLO, the reverse-path, the recipient, or the
Content."""


class Decision:
    """What one check has said at one stage; of several equal ones in a row ``times`` counts."""

    check: Check
    result: str
    why: str
    microseconds: int
    """Of all times together."""
    times: int

    def encode(self) -> tuple[bytes, int]:
        """The JSON object of the log line, as lines take it (JSON in relay/telemetry/lines.py): check, stage, result,
        and where they say something mode, times and why; at last the microseconds."""
        head = self.check.pass_head if self.result is PASS else self.check.head(self.result)
        if self.times > 1 or self.why:
            head = head.removesuffix(_TIME)
            head += b'"times":%d,' % self.times if self.times > 1 else b""
            head += b'"why":"%b",' % escape(self.why.encode("utf-8", "backslashreplace"), WHY) if self.why else b""
            head += _TIME
        return head, self.microseconds


class Check:
    """One check at one stage. Made once, shared by all sessions of a worker."""

    def __init__(
        self,
        name: str,
        stage: str,
        ask: Ask,
        *,
        deadline: float = DEADLINE,
        on_error: str = DEFER,
        mode: str = ON,
    ) -> None:
        """``ask`` is called with the View and what the stage is about, on the loop's thread; it must not block. An
        awaitable that it gives has ``deadline`` seconds. ``on_error``: ACCEPT or DEFER."""
        if stage not in STAGES or on_error not in (ACCEPT, DEFER) or mode not in (OFF, SHADOW, ON):
            raise ValueError(f"check {name}: stage {stage!r}, on_error {on_error!r}, mode {mode!r}")
        self.name = name
        self.stage = stage
        self.ask = ask
        self.deadline = deadline
        self.on_error = on_error
        self.mode = mode
        self.is_shadow = mode == SHADOW
        self._heads: dict[str, bytes] = {}
        self.cells = {
            result: metrics.index("relay_policy_checks_total", self._label(), result) for result in metrics.CHECKED
        }
        self.pass_cell = self.cells[PASS]
        self.pass_head = self.head(PASS)
        self.time = metrics.histogram_cells("relay_policy_check_seconds", self._label())

    def _label(self) -> str:
        return self.name if self.name in metrics.CHECKS else "other"

    def head(self, result: str) -> bytes:
        """How a decision with ``result`` begins."""
        found = self._heads.get(result)
        if found is None:
            mode = b'"mode":"shadow",' if self.is_shadow else b""
            found = b'{"check":"%b","stage":"%b",%b"result":"%b",%b' % (
                escape(self.name.encode()), self.stage.encode(), mode, result.encode(), _TIME
            )  # fmt: skip
            self._heads[result] = found
        return found

    def failed(self, why: str) -> Verdict | None:
        """What counts in the place of an answer."""
        return None if self.on_error == ACCEPT else Verdict(DEFER, POLICY_FAILED, "internal", why, self.name)


class Subject:
    """Who or what is judged: a session, and in it each transaction (relay/smtp). Holds what checks may read of both
    (View in verdict.py), and what they have decided."""

    def __init__(self) -> None:
        self.client_address = ""
        self.account = ""
        self.tls = ""
        self.is_trusted = False
        self.helo_name: bytes | None = None
        self.session_facts: Facts | None = None
        self.own_facts: Facts | None = None
        self.decisions: list[Decision] | None = None
        self.annotations: list[Verdict] | None = None

    @property
    def helo(self) -> bytes:
        return self.helo_name or b""

    @property
    def facts(self) -> Facts:
        if self.own_facts is None:
            self.own_facts = Facts(self.session_facts)
        return self.own_facts

    def known_facts(self) -> list[str] | None:
        """Those that are logged."""
        facts = self.own_facts or self.session_facts
        return facts.shown() if facts is not None else None

    def annotate(self, verdict: Verdict) -> None:
        """What ``verdict`` carries is remembered, behind what was annotated before."""
        if self.annotations is None:
            self.annotations = []
        self.annotations.append(verdict)

    def inherit(self, session: Subject) -> None:
        """It begins in ``session``: what is known and annotated there holds here as well."""
        self.client_address = session.client_address
        self.account = session.account
        self.tls = session.tls
        self.is_trusted = session.is_trusted
        self.helo_name = session.helo_name
        self.session_facts = session.own_facts
        if session.decisions is not None:
            self.decisions = list(session.decisions)
        if session.annotations is not None:
            self.annotations = list(session.annotations)


class Pipeline:
    """The checks of one listener, by stage."""

    def __init__(
        self,
        checks: Iterable[Check],
        row: Any,
        on_fault: Callable[[str, BaseException], object] | None = None,
    ) -> None:
        """``row``: the worker's counters. ``on_fault`` takes the name of a check that has raised, and what."""
        wanted = [check for check in checks if check.mode != OFF]
        self.connect, self.helo, self.mail, self.rcpt, self.content = (
            tuple(check for check in wanted if check.stage == stage) or None for stage in STAGES
        )
        self._row = row
        self._on_fault = on_fault

    def ask(self, checks: tuple[Check, ...], subject: Subject, about: Any) -> Answer:
        """Asks the checks of one stage: None, the verdict that they make together, or an awaitable of one of these. The
        decisions are in ``subject``. Never raises."""
        verdicts: list[Verdict | None] | None = None
        waiting: list[tuple[int, Check, Awaitable[Verdict | None], int]] | None = None
        began = now_us()
        for number, check in enumerate(checks):
            try:
                answer = check.ask(subject, about)
            except Exception as fault:  # noqa: BLE001 (whatever it is, the check has failed)
                answer = self._fault(check, fault)
                result = "error"
            else:
                if answer is None:
                    now = now_us()
                    self.passed(subject, check, now - began)
                    began = now
                    continue
                result = ""
            if not (answer is None or isinstance(answer, Verdict)):
                if waiting is None:
                    waiting = []
                waiting.append((number, check, answer, began))
                continue
            now = now_us()
            verdict = self._take(subject, check, answer, result, now - began)
            began = now
            if verdict is None:
                continue
            if verdicts is None:
                verdicts = [None] * len(checks)
            verdicts[number] = verdict
            if verdict.kind == REJECT:
                for _, _, awaitable, _ in waiting or ():
                    _drop(awaitable)
                return verdict
        if waiting is not None:
            return self._wait(subject, waiting, verdicts or [None] * len(checks))
        return None if verdicts is None else _joined(verdicts)

    def passed(self, subject: Subject, check: Check, microseconds: int) -> None:
        """decide() for what most checks say most of the time."""
        if subject.decisions:
            last = subject.decisions[-1]
            if last.check is check and last.result is PASS:
                self._row[check.pass_cell] += 1
                last.times += 1
                last.microseconds += microseconds
                return
        self.decide(subject, check, PASS, "", microseconds)

    def decide(self, subject: Subject, check: Check, result: str, why: str, microseconds: int) -> None:
        """Counts and remembers one decision."""
        self._row[check.cells[result]] += 1
        if subject.decisions is None:
            subject.decisions = []
        decisions = subject.decisions
        if decisions:
            last = decisions[-1]
            if last.check is check and last.result == result and last.why == why:
                # Its own: what a transaction has of its session is of other stages, so of other checks.
                last.times += 1
                last.microseconds += microseconds
                return
            if len(decisions) >= DECISIONS:
                return
        decision = Decision.__new__(Decision)
        decision.check = check
        decision.result = result
        decision.why = why
        decision.microseconds = microseconds
        decision.times = 1
        decisions.append(decision)

    def _take(
        self, subject: Subject, check: Check, answer: Verdict | None, result: str, microseconds: int
    ) -> Verdict | None:
        """One answer is there: its decision is remembered, and the verdict is returned as it counts."""
        if answer is not None and not result:
            fault = _wrong(answer, check.stage)
            if fault:
                answer = self._fault(check, ValueError(fault))
                result = "error"
        if not result:
            result = _result_of(answer)
        why = "" if answer is None else answer.why or (answer.reason if answer.is_refusal else "")
        self.decide(subject, check, result, why, microseconds)
        if answer is None or check.is_shadow:
            return None
        return answer if answer.check else answer._replace(check=check.name)

    def _fault(self, check: Check, fault: BaseException) -> Verdict | None:
        """A check has failed: its cause is for the log."""
        why = f"{type(fault).__name__}: {fault}"
        if self._on_fault is not None:
            self._on_fault(check.name, fault)
        return check.failed(why)

    async def _wait(
        self,
        subject: Subject,
        waiting: Sequence[tuple[int, Check, Awaitable[Verdict | None], int]],
        verdicts: list[Verdict | None],
    ) -> Verdict | None:
        """Waits for those that have to wait, at the same time, until all are there or one rejects."""
        tasks = {
            asyncio.ensure_future(_in_time(check, awaitable)): (number, check, began)
            for number, check, awaitable, began in waiting
        }
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda each: tasks[each][0]):
                    number, check, began = tasks.pop(task)
                    verdict = verdicts[number] = self._finished(subject, check, task, now_us() - began)
                    if verdict is not None and verdict.kind == REJECT:
                        return verdict
            return _joined(verdicts)
        finally:
            for task, (_, check, began) in tasks.items():
                task.cancel()
                self.decide(subject, check, "cancelled", "", now_us() - began)

    def _finished(
        self, subject: Subject, check: Check, task: asyncio.Task[Verdict | None], microseconds: int
    ) -> Verdict | None:
        """The answer of one that had to wait, or why there is none."""
        check.time.observe(self._row, microseconds)
        if task.cancelled():
            return self._take(subject, check, self._fault(check, asyncio.CancelledError()), "error", microseconds)
        fault = task.exception()
        if fault is None:
            return self._take(subject, check, task.result(), "", microseconds)
        if isinstance(fault, _TooLateError):
            return self._take(subject, check, check.failed(str(fault)), "timeout", microseconds)
        return self._take(subject, check, self._fault(check, fault), "error", microseconds)


class _TooLateError(Exception):
    """A check's deadline has passed."""


async def _in_time(check: Check, awaitable: Awaitable[Verdict | None]) -> Verdict | None:
    deadline = asyncio.timeout(check.deadline)
    try:
        async with deadline:
            return await awaitable
    except TimeoutError:
        if deadline.expired():
            raise _TooLateError(f"no answer in {check.deadline:g} s") from None
        raise


def _drop(awaitable: Any) -> None:
    """Nobody waits for it any more."""
    close = getattr(awaitable, "cancel", None) or getattr(awaitable, "close", None)
    if close is not None:
        close()


def _wrong(answer: Any, stage: str) -> str:
    """Why ``answer`` cannot be acted on; empty when it can."""
    if not isinstance(answer, Verdict):
        return f"not an answer: {type(answer).__name__}"
    if answer.is_refusal:
        return (
            ""
            if answer.reply is not None and (answer.kind == REJECT) == answer.reply.is_permanent
            else "the wrong reply"
        )
    for edit in answer.edits:
        try:
            check_edit(edit)
        except ValueError as fault:
            return str(fault)
    if answer.body is not None and _NO_LINES.search(answer.body):
        return "a body of whole lines was expected"
    try:
        for address in (*answer.added, answer.reverse_path):
            if address:
                parse_address(address)
    except AddressError as fault:
        return f"not an address: {fault}"
    if any(_CONTROL.search(address) for address in answer.instead or ()):
        return "not an address: it has a control character"
    if answer.instead is not None and stage != "rcpt":
        return "only at rcpt there is a recipient to replace"
    if stage != "content" and (answer.body is not None or answer.removed):
        return "body and recipients that there are can be changed at content only"
    if stage in ("connect", "helo") and (answer.added or answer.reverse_path is not None):
        return "there is no envelope yet"
    return ""


def _result_of(answer: Verdict | None) -> str:
    """The result that is logged and counted."""
    if answer is None:
        return PASS
    if answer.kind == "annotate":
        return "quarantine" if answer.quarantine else "hold" if answer.hold else "annotate"
    return answer.kind


def _joined(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """All have answered: what counts."""
    return join([verdict for verdict in verdicts if verdict is not None])
