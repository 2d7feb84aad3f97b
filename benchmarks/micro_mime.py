"""How fast the MIME structure scan is, beside the standard library's email: ``python -m benchmarks.micro_mime``.

One thread; the best of several rounds, both parsers on the same octets in the same round. The standard library makes
text of all the octets and keeps it: the ratio is the common measure of MIME parsers, not one of like with like.
"""

from __future__ import annotations

import email.parser
import email.policy
import random
import time
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from relay import _mime, _mime_lines

MIB: Final = 1 << 20
TEXT: Final = b"The quick brown fox jumps over the lazy dog and then goes on to the next.\r\n"
ROUNDS: Final = 7
PART: Final = b"--=_1\r\nContent-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"


def multipart(parts: list[bytes]) -> bytes:
    head = b'From: <a@example.org>\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary="=_1"\r\n\r\n'
    return head + b"".join(parts) + b"--=_1--\r\n"


def base64_part(size: int, seed: int) -> bytes:
    octets = b64encode(random.Random(seed).randbytes(size * 57 // 78))
    lines = b"\r\n".join([octets[at : at + 76] for at in range(0, len(octets), 76)])
    return PART % (b"application/octet-stream; name=x", b"base64", lines)


def text_part(size: int, line: bytes = TEXT) -> bytes:
    return PART % (b"text/plain; charset=utf-8", b"8bit", line * (size // len(line)))


def nested(depth: int, size: int) -> bytes:
    """A multipart in a multipart and so on, each with one part of text before it."""
    content = b"\r\n" + TEXT
    for level in range(depth):
        boundary = b"=_%d" % level
        text = b"--" + boundary + b"\r\n\r\n" + TEXT * (size // depth // len(TEXT))
        content = (
            b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + text
            + b"--" + boundary + b"\r\n" + content + b"--" + boundary + b"--\r\n"
        )  # fmt: skip
    return content


def contents() -> dict[str, bytes]:
    return {
        "base64, 3 parts": multipart([base64_part(MIB // 3, seed) for seed in range(3)]),
        "base64, 3 parts, LF": multipart([base64_part(MIB // 3, seed) for seed in range(3)]).replace(b"\r\n", b"\n"),
        "text, 2 parts": multipart([text_part(MIB // 2), text_part(MIB // 2)]),
        "text, lists and quoted rules": multipart([text_part(MIB, TEXT * 3 + b"- item\r\n" + TEXT + b"-----\r\n")]),
        "100 parts of 10 KiB": multipart([base64_part(10_240, seed) for seed in range(100)]),
        "1,000 parts of 1 KiB": multipart([text_part(1024)] * 1000),
        "5,000 parts of 160 octets": multipart([text_part(100)] * 5000),
        "20 levels deep": nested(20, MIB),
        "each line empty": multipart([text_part(MIB, b"\r\n")]),
        "10 KiB, text and HTML": multipart([text_part(3072), text_part(7168)]),
        "1 KiB, no MIME": b"From: <a@example.org>\r\nSubject: x\r\n\r\n" + TEXT * 13,
    }


def seconds(call: Callable[[], Any], least: float) -> float:
    """Seconds of one call, over at least ``least`` seconds."""
    count = 0
    start = time.perf_counter()
    while (taken := time.perf_counter() - start) < least or not count:
        call()
        count += 1
    return taken / count


def standard(content: bytes) -> Any:
    return email.parser.BytesParser(policy=email.policy.compat32).parsebytes(content)


def main() -> None:
    print(f"bodies: {_mime_lines.VECTORS[-1]}")
    print(f"{'content':<30}{'octets':>10}{'parts':>7}{'GB/s':>8}{'us':>9}{'email MB/s':>12}{'ratio':>8}")
    for name, content in contents().items():
        ours = theirs = float("inf")
        for _ in range(ROUNDS):
            ours = min(ours, seconds(partial(_mime.scan, content), 0.02))
            theirs = min(theirs, seconds(partial(standard, content), 0.05))
        size, parts = len(content), len(_mime.scan(content))
        speeds = f"{size / ours / 1e9:>8.2f}{ours * 1e6:>9.2f}{size / theirs / 1e6:>12.1f}{theirs / ours:>8.0f}"
        print(f"{name:<30}{size:>10}{parts:>7}{speeds}")
    body = b"QUJD" * 19 + b"\r\n"
    content = body * (MIB // len(body))
    for vectors in _mime_lines.VECTORS:
        one = min(seconds(partial(_mime_lines.find_candidate, content, 0, vectors), 0.02) for _ in range(ROUNDS))
        print(f"{'one body of base64, ' + vectors:<30}{len(content) / one / 1e9:>25.2f}")


if __name__ == "__main__":
    main()
