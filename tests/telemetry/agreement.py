"""The escaping of log text, compared with a slow twin: for the tests here and for the fuzz target."""

from __future__ import annotations

import json
import re
from typing import Final

from relay.telemetry.lines import escape

RAW_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""What must not stand in a line as it is: it would make a terminal show something else than was written."""


def slow_escape(octets: bytes) -> str:
    """The slow twin of escape(): what a reader of the JSON gets, sequence by sequence."""
    shown, at = [], 0
    while at < len(octets):
        for length in (1, 2, 3, 4):
            try:
                shown.append(octets[at : at + length].decode("utf-8", "strict"))
            except UnicodeDecodeError:
                continue
            at += length
            break
        else:
            shown.append(f"\\x{octets[at]:02x}")
            at += 1
    return "".join(shown)


def log_text(octets: bytes) -> None:
    """Fails when escape() and the twin differ, or when what it gives could end its string or its line."""
    body = escape(octets, len(octets))
    assert json.loads(b'"' + body + b'"') == slow_escape(octets)
    assert not RAW_CONTROL.search(body.decode("utf-8", "strict"))
