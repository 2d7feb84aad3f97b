"""Kill -9 under load: the generator writes down what was answered with 250, the sink what came; then both are compared.

In turns one smtp worker, one delivery worker, and everything (supervisor and all workers, started again) is killed.
Nothing that was answered with 250 may be missing or altered. A message may come twice: when the kill falls between
the next hop's 250 and our note of it, SMTP has no way to tell.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.comparison import describe
from benchmarks.group import title_of
from benchmarks.machine import ROOT
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import Site
from benchmarks.servers.base import DOMAIN, free_port
from benchmarks.servers.relay import Relay
from benchmarks.tools import Load, OwnSink, finish_sending, missing, start_sending

TARGETS: Final = ("smtp-", "delivery-", "")
"""Beginnings of the titles of the processes killed in turns; empty: all of them."""
QUICK_RETRY: Final = 'retry_first = "1s"\nretry_max = "2s"'
COLUMNS: Final = (
    Column("kills", "kills"),
    Column("accepted", "answered with 250"),
    Column("lost", "lost"),
    Column("altered", "altered"),
    Column("doubled", "doubled"),
    Column("unsure", "no answer seen"),
)


def run(run: Run, settings: Settings) -> None:
    """``size`` kills, one about every ``seconds``."""
    if why := missing("own"):
        run.note(f"crash: {why}")
        return
    kills, seconds = settings.size or 9, settings.seconds or 2.0
    run.expect(kills + 2)
    chance = random.Random()
    sink_port = free_port()
    sent_ledger, received_ledger = run.folder / "sent", run.folder / "received"
    server = Relay(Site(run.folder, free_port(), {DOMAIN: sink_port}, settings={"queue": QUICK_RETRY}))
    run.servers["relay"] = describe(server)
    with server:
        sink = OwnSink(sink_port, "--verify", "--ledger", str(received_ledger))
        with sink:
            more = ("--rate", "2000", "--duration", str((kills + 2) * seconds), "--ledger", str(sent_ledger))
            load = Load("own", "pipelined", more=more)
            argv = load.argv(server.port, 10_000_000)
            run.command(sink.argv)
            run.command(argv)
            began = time.time()
            generator = start_sending(argv)
            for number in range(kills):
                time.sleep(seconds * chance.uniform(0.5, 1.5))
                target = TARGETS[number % len(TARGETS)]
                run.step(f"kill {number + 1}, {target or 'everything'}")
                kill(server, target, chance)
            sent = finish_sending(generator, argv, 0, began)
            run.step("waiting for the queue to be empty")
            wait_empty(server)
            sink.stop()
        account = compared(sent_ledger, received_ledger)
    run.step()
    unsure = float(sent.result["messages"]["unsure"])
    values = {name: float(account[name]) for name in ("accepted", "lost", "altered", "doubled", "misdirected")}
    values |= {"kills": kills, "unsure": unsure}
    run.add(Measurement("kill -9 in turns: smtp, delivery, all", "relay", 0, values))
    if account["lost"] or account["altered"]:
        run.note(f"MAIL WAS LOST OR ALTERED: {json.dumps(account)}")


def kill(server: Relay, target: str, chance: random.Random) -> None:
    """SIGKILL to one worker of the kind, or to all processes, which are then started again."""
    if not target:
        server.group.kill()
        server.launch()
        server.wait_ready()
        return
    workers = [pid for pid in server.group.pids() if title_of(pid).startswith(target)]
    if workers:
        os.kill(chance.choice(workers), signal.SIGKILL)


def wait_empty(server: Relay, timeout: float = 120) -> None:
    """Returns when nothing waits, or after ``timeout`` seconds: what is still missing then counts as lost."""
    until = time.monotonic() + timeout
    while sum(server.waiting().values()) and time.monotonic() < until:
        time.sleep(0.2)
    server.group.settle()


def compared(sent: Path, received: Path) -> dict[str, int]:
    """The generator's and the sink's ledgers, compared."""
    words = [sys.executable, "-m", "benchmarks.load", "account", "--sent", str(sent), "--received", str(received)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    account: dict[str, int] = json.loads(done.stdout)
    return account
