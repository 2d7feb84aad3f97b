"""Starts the generator and the sink as a person would, and reads what they print."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "benchmarks.load"]
PATIENCE = 60
"""Seconds after which a run is a failure; each takes less than two."""


def run(*words: object) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON on stdout ({} when there is none), and stderr."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


def generate(server: str, *words: object) -> dict[str, Any]:
    """The result; the exit code must be what it says."""
    code, result, errors = run("generate", "--server", server, "--time-limit", 30, "--json", *words)
    assert result, errors
    counts = result["messages"]
    assert counts["offered"] == sum(counts[what] for what in ("accepted", "refused", "unsure", "broken"))
    assert code == (0 if counts["accepted"] == counts["offered"] and result["ended"] in {"messages", "duration"} else 1)
    return result


@dataclass
class Sink:
    """A running sink; ``totals`` are there after the with block."""

    process: subprocess.Popen[str]
    address: str
    control: str
    totals: dict[str, Any] = field(default_factory=dict)


@contextmanager
def sink(*words: object, listen: str = "127.0.0.1:0") -> Iterator[Sink]:
    command = [*COMMAND, "sink", "--listen", listen, "--control", "127.0.0.1:0", "--time-limit", PATIENCE, *words]
    with subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        assert where["kind"] == "listening"
        assert where["pid"] == process.pid
        running = Sink(process, where["listen"], where["control"])
        try:
            yield running
        finally:
            process.terminate()
            running.totals = json.loads(process.stdout.read())
            assert process.wait(PATIENCE) == 0


def ask(control: str, command: str) -> dict[str, Any]:
    """One command on a control socket."""
    host, port = control.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(command.encode() + b"\n")
        return dict(json.loads(connection.makefile().read()))
