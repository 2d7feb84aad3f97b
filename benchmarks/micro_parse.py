"""How fast the parsers are: ``python -m benchmarks.micro_parse``. One thread; the best of several rounds.

Each figure holds one Python call (about 50 ns), which the compiled sessions do not make.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from relay import _fastparse
from relay.delivery import _replies
from relay.mail import _paths
from relay.smtp import _parameters

LINE: Final = b"The quick brown fox jumps over the lazy dog and then goes on to the next.\r\n"
MIB: Final = 1 << 20


def repeated(line: bytes, size: int) -> bytes:
    return line * (size // len(line)) + b".\r\n"


CONTENTS: Final[dict[str, bytes]] = {
    "text, 1 MiB": repeated(LINE, MIB),
    "base64, 1 MiB": repeated(b"QUJD" * 19 + b"\r\n", MIB),
    "UTF-8 text, 1 MiB": repeated("Grüße aus Köln, schöne größere Übung\r\n".encode(), MIB),
    "text, 1 KiB": repeated(LINE, 1024),
    "text, 64 KiB": repeated(LINE, 65536),
    "each line stuffed, 1 MiB": repeated(b"." + LINE, MIB),
    "each line empty, 1 MiB": repeated(b"\r\n", MIB),
}
HEADER: Final = (
    b"Received: from a.example (a.example [192.0.2.1])\r\n\tby b.example with SMTP;\r\n\tMon, 1 Jan 2024 00:00:00\r\n"
    * 3
    + b"From: <a@example.org>\r\nTo: <b@example.org>\r\nSubject: hello\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbody\r\n"
)
EHLO_REPLY: Final = b"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


def best_seconds(call: Callable[[], Any], rounds: int = 7, least: float = 0.02) -> float:
    """Seconds of one call: the best of ``rounds``, each of at least ``least`` seconds."""
    count = 1
    best = float("inf")
    while rounds:
        start = time.perf_counter()
        for _ in range(count):
            call()
        taken = time.perf_counter() - start
        if taken < least:
            count *= 4
            continue
        best = min(best, taken / count)
        rounds -= 1
    return best


def scan(content: bytes) -> Callable[[], Any]:
    return lambda: _fastparse.ContentScanner().feed(content)


def main() -> None:
    for name, content in CONTENTS.items():
        seconds = best_seconds(scan(content))
        print(f"content scan, {name:<26}{len(content) / seconds / 1e9:8.2f} GB/s{seconds * 1e9:14.0f} ns")
    text = CONTENTS["text, 1 MiB"]
    for name, call in {
        "unstuff, 1 MiB": lambda: _fastparse.unstuff(text),
        "stuff, 1 MiB": lambda: _fastparse.stuff(text),
    }.items():
        print(f"{name:<40}{len(text) / best_seconds(call) / 1e9:7.2f} GB/s")
    calls: dict[str, Callable[[], Any]] = {
        "line": lambda: _fastparse.split_line(b"MAIL FROM:<user@example.org> SIZE=1000\r\n"),
        "command": lambda: _fastparse.parse_command(b"MAIL FROM:<user@example.org> SIZE=1000"),
        "path": lambda: _paths.parse_path("MAIL", b"FROM:<user@example.org> SIZE=1000"),
        "parameters": lambda: _parameters.parse_params(b"SIZE=1000 BODY=8BITMIME"),
        f"header section, {len(HEADER)} octets": lambda: _fastparse.parse_header(HEADER),
        "reply to EHLO, 5 lines": lambda: _replies.parse_reply(EHLO_REPLY),
    }
    for name, call in calls.items():
        print(f"{name:<40}{best_seconds(call) * 1e9:7.0f} ns")


if __name__ == "__main__":
    main()
