"""The content of a message as text that is safe to print."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

_UNPRINTABLE: Final = re.compile(r"[^\n\t -~]")


def printable_lines(content: Iterator[bytes]) -> Iterator[str]:
    """``content`` as text that cannot steer a terminal: UTF-8 where it is, escapes for what is not and for what is not
    printable; lines end in LF."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    held = ""
    for octets in content:
        text = held + decoder.decode(octets)
        held = "\r" if text.endswith("\r") else ""
        yield _safe(text[: len(text) - len(held)])
    yield _safe(held + decoder.decode(b"", final=True))


def _safe(text: str) -> str:
    return _UNPRINTABLE.sub(_escaped, text.replace("\r\n", "\n"))


def _escaped(match: re.Match[str]) -> str:
    letter = match[0]
    return letter if letter.isprintable() else ascii(letter)[1:-1]
