"""The MIME structure scanner, and what the standard library's email parser takes for the same contents.

Both make the tree of parts of a content in memory; email also decodes nothing, but copies every body into strings,
which is what a program that wants the structure has to put up with. CPU time of one thread, best of the rounds of a
repetition.
"""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.micro_parse import LINE
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.settings import Settings

MIB: Final = 1 << 20
_SHORTEST: Final = 0.001
COLUMNS: Final = (
    Column("bytes_per_second", "MB/s", 1, 1e-6),
    Column("us", "µs a content", 1),
    Column("parts", "parts"),
)


def multipart(body: bytes, parts: int) -> bytes:
    """A content with ``parts`` parts of ``body``."""
    head = b'From: <a@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
    one = (
        b"--=_b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body + b"\r\n"
    )
    return head + one * parts + b"--=_b--\r\n"


def contents() -> dict[str, bytes]:
    """Name -> content."""
    base64 = b"QUJD" * 19 + b"\r\n"
    return {
        "1 MiB multipart, 4 base64 parts": multipart(base64 * (MIB // 4 // len(base64)), 4),
        "1 MiB multipart, 1,000 text parts": multipart(LINE * (MIB // 1000 // len(LINE)), 1000),
        "10 KiB multipart, 2 text parts": multipart(LINE * (5 * 1024 // len(LINE)), 2),
    }


def best_seconds(call: Callable[[], Any], seconds: float) -> float:
    """CPU time of one call: the least mean of runs that take a millisecond or more each, as many as fit into
    ``seconds`` and three at least. The clock of a single short call may stand still in a virtual machine."""
    calls = 1
    while cpu_seconds(call, calls) < _SHORTEST:
        calls *= 2
    best, rounds = float("inf"), 0
    until = time.monotonic() + seconds
    while rounds < 3 or time.monotonic() < until:
        best = min(best, cpu_seconds(call, calls))
        rounds += 1
    return best / calls


def cpu_seconds(call: Callable[[], Any], count: int) -> float:
    """CPU time of this thread for ``count`` calls."""
    began = time.thread_time_ns()
    for _ in range(count):
        call()
    return (time.thread_time_ns() - began) / 1e9


def run(run: Run, settings: Settings) -> None:
    """Both, in turns."""
    from relay._mime import scan

    repetitions, seconds = settings.repetitions or 5, settings.seconds or 0.3
    works = {name: content for name, content in contents().items() if settings.wanted(name)}
    run.expect(2 * repetitions * len(works))
    for name, content in works.items():
        ways: dict[str, Callable[[], Any]] = {
            "relay": partial(scan, content),
            "email": partial(email.message_from_bytes, content, policy=email.policy.SMTP),
        }
        parts = scan(content).count
        for repetition in range(repetitions):
            for way, call in ways.items():
                run.step(f"{name}, {way}")
                taken = best_seconds(call, seconds)
                values = {"us": taken * 1e6, "bytes_per_second": len(content) / taken, "parts": parts}
                run.add(Measurement(name, way, repetition, values))
