"""Tests wait for something to become so, never for a time to pass: tests/support/waiting.py alone lets time go by."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLEEP = re.compile(r"\bsleep\((?!0\))")
EXCEPTIONS = {
    "support/waiting.py": "the one place",
    "test_no_sleep.py": "this file",
    "auth/test_authenticator.py": "a fake of it",
    "benchmarks/test_group.py": "programs of processes that are to be found and ended",
    "benchmarks/test_comparison.py": "the program of a process that waits to be watched",
}


def sleeps(text):
    return [number for number, line in enumerate(text.splitlines(), 1) if SLEEP.search(line)]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_nothing_sleeps(path):
    found = sleeps(path.read_text())
    if str(path.relative_to(TESTS)) in EXCEPTIONS:
        assert found, "no exception is needed any more"
    else:
        assert found == []


def test_sleeping_is_found():
    text = "time.sleep(1)\nawait asyncio.sleep(0)\nawait asyncio.sleep(0.5)\nsleep(seconds)\n"
    assert sleeps(text) == [1, 3, 4]
