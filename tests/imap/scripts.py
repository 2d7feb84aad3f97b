"""Reads the dialog scripts in tests/imap/dialogs (their form is described in the README there)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "dialogs"
_ESCAPES: Final = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}
_LINE: Final = re.compile(r"([2-9]?)(C:|C\||S:) ?(.*)")


class Turn(NamedTuple):
    """What a session's client sends, and the lines that it is then told."""

    session: int
    octets: bytes
    said: list[str]


@dataclass
class Script:
    """One dialog."""

    name: str
    words: dict[str, int] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    is_closed: bool = False


def load(path: Path) -> Script:
    """The script in ``path``; AssertionError for a line that is none."""
    script = Script(path.stem)
    for line in path.read_text(encoding="utf-8").split("\n"):
        found = _LINE.match(line)
        if line.startswith("!"):
            word, _, value = line[2:].partition(" ")
            script.words[word] = int(value or 1)
        elif line == "closed":
            script.is_closed = True
        elif found is not None:
            _add(script, int(found[1] or 1), found[2], found[3])
        else:
            assert not line or line.startswith("#"), f"{path.name}: what is {line!r}?"
    return script


def load_all() -> list[Script]:
    """Every script, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]


def matches(lines: list[str], expected: list[str]) -> bool:
    """Whether ``lines`` are the ``expected`` ones."""
    return len(lines) == len(expected) and all(
        line.startswith(want[:-3]) if want.endswith("...") else line == want
        for line, want in zip(lines, expected, strict=True)
    )


def _add(script: Script, session: int, mark: str, text: str) -> None:
    last = script.turns[-1] if script.turns else None
    if mark == "S:":
        if last is None or last.session != session:
            last = Turn(session, b"", [])
            script.turns.append(last)
        last.said.append(text)
        return
    octets = text.encode() + b"\r\n" if mark == "C:" else _unescape(text)
    if last is not None and last.session == session and not last.said:
        script.turns[-1] = Turn(session, last.octets + octets, [])
    else:
        script.turns.append(Turn(session, octets, []))


def _unescape(text: str) -> bytes:
    def octet(match: re.Match[str]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if code.startswith("x") else _ESCAPES[code].encode()

    parts = re.split(r"(\\(?:x[0-9a-f]{2}|[rn0t\\]))", text)
    return b"".join(octet(m) if (m := re.fullmatch(r"\\(.+)", part)) else part.encode() for part in parts)
