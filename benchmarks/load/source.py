"""A generator's run: from a plan to a result. The format of the result is in README.md."""

from __future__ import annotations

import json
import resource
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from benchmarks.load import address
from benchmarks.load._control import Control
from benchmarks.load._drive import Drive
from benchmarks.load._ledger import Ledger
from benchmarks.load._loop import Loop
from benchmarks.load._messages import Messages
from benchmarks.load._smtp_opening import SmtpLoad
from benchmarks.load._smtp_source import SmtpSession
from benchmarks.load.contents import make_texts
from benchmarks.load.plan import GeneratePlan, SinkPlan, parse_sizes, parse_template
from benchmarks.load.tls import client_context

Result = dict[str, object]
VERSION = 1


class ImpossibleError(Exception):
    """The server cannot do what the plan asks for."""


def generate(plan: GeneratePlan) -> Result:
    """Runs to the end. ValueError for a plan that makes no sense, ImpossibleError when the server cannot do it.

    For the main thread: SIGINT and SIGTERM end the run early.
    """
    run = int(plan.run, 16) if plan.run else secrets.randbits(64)
    target = address.pack(*address.resolve(plan.server, allow_remote=plan.allow_remote))
    messages = _messages(plan, run)
    loop = Loop()
    ledger = Ledger(run) if plan.ledger else None
    drive = Drive(loop, plan, ledger)
    load = SmtpLoad(drive, messages, plan, target, client_context(plan.ca) if plan.tls != "none" else None)
    open_more_files()
    started_at = time.time()
    before = cpu_seconds()

    def totals() -> Result:
        after = cpu_seconds()
        counted: Result = drive.totals()
        return {
            "kind": "generate",
            "version": VERSION,
            "run": f"{run:016x}",
            "options": options(plan),
            "started_at": started_at,
            **counted,
            "replies": load.replies.by_stage(),
            "cpu_seconds": {kind: after[kind] - before[kind] for kind in after},
        }

    def answer(command: str) -> str:
        if command == "stop":
            drive.stop("stop")
        elif command != "totals":
            return json.dumps({"error": f"no such command: {command[:40]}"})
        return json.dumps(totals())

    control = (
        Control(loop, address.listen(plan.control, allow_remote=plan.allow_remote), answer) if plan.control else None
    )
    sessions = [SmtpSession(load) for _ in range(plan.sessions)]
    with interrupted_by((signal.SIGINT, signal.SIGTERM), drive.stop):
        drive.start(list(sessions))
        loop.run()
    for session in sessions:
        session.abandon()
    if control:
        control.close()
    if load.fatal:
        raise ImpossibleError(load.fatal)
    if ledger is not None and plan.ledger is not None:
        with plan.ledger.open("wb") as file:
            ledger.write(file)
    return totals()


def _messages(plan: GeneratePlan, run: int) -> Messages:
    sizes = parse_sizes(plan.size)
    texts = [(share, make_texts(size, 1 / len(sizes), plan.sender)) for size, share in sizes]
    return Messages(run, texts, tuple(parse_template(text) for text in plan.recipient), plan.recipients)


def options(plan: GeneratePlan | SinkPlan) -> Result:
    """All of a plan in JSON's types; passwords are left out."""
    values: Result = {}
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name == "account":
            value = bool(value)
        values[field.name] = str(value) if isinstance(value, Path) else value
    return values


def cpu_seconds() -> dict[str, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"user": usage.ru_utime, "system": usage.ru_stime}


def open_more_files() -> None:
    """As many descriptors as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def interrupted_by(signals: tuple[signal.Signals, ...], stop: Callable[[], None]) -> Iterator[None]:
    """While in force, the signals call ``stop``. For the main thread only."""
    before = {number: signal.signal(number, lambda *_: stop()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
