"""A sink's run: from a plan to the totals. Their format is in README.md."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load import address
from benchmarks.load._control import Control
from benchmarks.load._intake import Intake
from benchmarks.load._listener import Listener
from benchmarks.load._loop import Loop
from benchmarks.load._replies import stage_number
from benchmarks.load._smtp_sink import SinkListener
from benchmarks.load.plan import SinkPlan, parse_delays, parse_drops, parse_refusals
from benchmarks.load.source import VERSION, Result, cpu_seconds, interrupted_by, open_more_files, options
from benchmarks.load.tls import server_context


@dataclass(frozen=True)
class Misbehaviour:
    """At one stage: shares between 0 and 1, ``delay`` in seconds."""

    code: int
    refuse_share: float
    drop_share: float
    delay: float


@dataclass(frozen=True)
class Behaviour:
    """A plan, made ready for the machine."""

    stages: dict[int, Misbehaviour]
    is_lmtp: bool
    by_address: bool
    verify: bool
    tls: str
    tarpit: float
    max_connections: int | None
    messages: int | None
    seed: int
    accounts: frozenset[bytes]
    """``PLAIN`` and its initial response, as it follows AUTH."""
    hello: bytes
    hello_secured: bytes


def behaviour_of(plan: SinkPlan) -> Behaviour:
    """ValueError for a plan that makes no sense."""
    refusals, delays, drops = parse_refusals(plan.refuse), parse_delays(plan.slow), parse_drops(plan.drop)
    stages = {}
    for stage in {*refusals, *delays, *drops}:
        code, share = refusals.get(stage, (451, 0.0))
        stages[stage_number(stage)] = Misbehaviour(code, share, drops.get(stage, 0.0), delays.get(stage, 0.0))
    if plan.tls != "none" and not (plan.certificate and plan.key):
        raise ValueError("TLS needs --certificate and --key")
    return Behaviour(
        stages=stages,
        is_lmtp=plan.protocol == "lmtp",
        by_address=plan.by_address,
        verify=plan.verify,
        tls=plan.tls,
        tarpit=plan.tarpit,
        max_connections=plan.max_connections,
        messages=plan.messages,
        seed=plan.seed,
        accounts=frozenset(b"PLAIN " + _initial_response(account) for account in plan.account),
        hello=_hello(plan, offers_starttls=plan.tls == "starttls"),
        hello_secured=_hello(plan, offers_starttls=False),
    )


def _initial_response(account: str) -> bytes:
    name, colon, password = account.partition(":")
    if not colon:
        raise ValueError("an account is written name:password")
    return base64.b64encode(b"\0%b\0%b" % (name.encode(), password.encode()))


def _hello(plan: SinkPlan, *, offers_starttls: bool) -> bytes:
    offers = {
        "PIPELINING": plan.pipelining,
        "CHUNKING": plan.chunking,
        "8BITMIME": plan.eight_bit,
        "SMTPUTF8": plan.eight_bit,
        "STARTTLS": offers_starttls,
        "AUTH PLAIN": bool(plan.account),
        "SIZE 1073741824": True,
    }
    lines = ["sink.test", *(keyword for keyword, is_offered in offers.items() if is_offered), "ENHANCEDSTATUSCODES"]
    return "".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode()


def serve(plan: SinkPlan, say: Callable[[Result], None]) -> Result:
    """Listens, says so, and runs to the end. ValueError for a plan that makes no sense."""
    behaviour = behaviour_of(plan)
    context = server_context(plan.certificate, plan.key) if plan.certificate and plan.key else None
    loop = Loop()
    intake = Intake(loop, behaviour, context)
    open_more_files()
    started_at = time.time()
    before = cpu_seconds()

    def totals() -> Result:
        after = cpu_seconds()
        counted: Result = intake.totals()
        return {
            "kind": "sink",
            "version": VERSION,
            "options": options(plan),
            "started_at": started_at,
            **counted,
            "cpu_seconds": {kind: after[kind] - before[kind] for kind in after},
        }

    def answer(command: str) -> str:
        if command not in ("totals", "reset", "stop"):
            return json.dumps({"error": f"no such command: {command[:40]}"})
        if command == "stop":
            intake.stop("stop")
        line = json.dumps(totals())
        if command == "reset":
            intake.reset()
        return line

    sock = address.listen(plan.listen, allow_remote=plan.allow_remote)
    listeners: list[Listener] = [SinkListener(intake, sock)]
    where: Result = {"kind": "listening", "pid": os.getpid(), "listen": address.name(sock), "control": None}
    if plan.control:
        control = address.listen(plan.control, allow_remote=plan.allow_remote)
        listeners.append(Control(loop, control, answer))
        where["control"] = address.name(control)
    with interrupted_by((signal.SIGINT, signal.SIGTERM), intake.stop):
        say(where)
        signal.setitimer(signal.ITIMER_REAL, plan.time_limit)
        with interrupted_by((signal.SIGALRM,), lambda: intake.stop("time limit")):
            loop.run()
            signal.setitimer(signal.ITIMER_REAL, 0)
    for listener in listeners:
        listener.close()
    if plan.ledger is not None:
        with plan.ledger.open("wb") as file:
            intake.write_ledgers(file)
    return totals()
