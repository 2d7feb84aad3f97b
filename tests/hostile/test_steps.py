"""What strangers wrote is read in linear time (I11): twice the octets, twice the steps and no more.

Steps are counted, not timed: instructions of Python's code, one by one, for each parser and input; and instructions of
the processor under callgrind for what is compiled, each parser with all its inputs together.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.hostile_cases import KINDS, Parser, repeated
from benchmarks.micro import COUNTER
from tests.hostile import counted
from tests.support.needs import need

MOST = 2.2
OCTETS = 4096
CASES = [(kind, name) for kind in KINDS for name in KINDS[kind].parsers()]


def steps(parser: Parser, value: bytes) -> int:
    """How many instructions of Python's code a call takes."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parser(value)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}-{name}" for kind, name in CASES])
def test_twice_the_octets_take_twice_the_steps_of_python(kind: str, name: str) -> None:
    parser = KINDS[kind].parsers()[name]
    for title, unit in (KINDS[kind].hostile | KINDS[kind].friendly).items():
        parser(repeated(unit, OCTETS))  # imports, tables, compiled patterns
        once, twice = (steps(parser, repeated(unit, octets)) for octets in (OCTETS, 2 * OCTETS))
        assert twice <= MOST * once + 100, title


def test_steps_are_counted() -> None:
    """The check itself: what looks at all octets for each octet is found."""

    def quadratic(value: bytes) -> int:
        return sum(other == octet for octet in value[:100] for other in value[:100]) if len(value) < 150 else sum(
            other == octet for octet in value[:200] for other in value[:200]
        )  # fmt: skip

    assert steps(quadratic, b"x" * 200) > MOST * steps(quadratic, b"x" * 100)


COUNTING = (
    COUNTER
    + """
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }
"""
)


def made(library: Path) -> bool:
    """Whether valgrind is there, and what speaks with it from inside could be compiled."""
    if not shutil.which("valgrind") or not shutil.which("cc"):
        return False
    words = ["cc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)]
    return not subprocess.run(words, input=COUNTING.encode(), capture_output=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twice_the_octets_take_twice_the_instructions_of_the_processor(tmp_path: Path) -> None:
    library = tmp_path / "counter.so"
    need(made(library), "valgrind, its headers or a C compiler are not installed")
    words = [shutil.which("valgrind") or "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={tmp_path}/out"]
    words += ["--instr-atstart=no"]
    words += [sys.executable, "-m", "tests.hostile.counted", str(library)]
    environ = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ, timeout=280)
    assert not done.returncode, done.stderr
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for path in tmp_path.glob("out*"):
        text = path.read_text()
        named = re.search(r"^desc: Trigger: Client Request: (.*)\|(\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if named and total:
            counts[named[1]][int(named[2])] = int(total[1])
    assert len(counts) == len([name for _, name in CASES if name not in counted.LEFT_OUT])
    for name, each in counts.items():
        assert each[2 * counted.OCTETS] <= MOST * each[counted.OCTETS], (name, each)
