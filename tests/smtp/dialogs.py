"""Reads the dialog scripts in tests/dialogs (their form is described in the README there)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "dialogs"
_ESCAPES: Final = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}


@dataclass
class Dialog:
    """One script."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    kind: str = "mx"
    stored: int | None = None
    is_closed: bool = False
    turns: list[tuple[bytes, list[str]]] = field(default_factory=list)
    """What the client sends as one buffer, and the lines that the server then says. The first buffer is empty: the
    greeting."""

    @property
    def sent(self) -> bytes:
        """All that the client sends."""
        return b"".join(octets for octets, _ in self.turns)

    @property
    def said(self) -> list[str]:
        """All that the server says."""
        return [line for _, lines in self.turns for line in lines]


def load(path: Path) -> Dialog:
    """The script in ``path``; AssertionError for a line that is none."""
    dialog = Dialog(path.stem)
    octets, said = b"", list[str]()
    for line in path.read_text(encoding="utf-8").split("\n"):
        mark, text = line[:2], line[3:]
        if mark in ("C:", "C|"):
            if said:
                dialog.turns.append((octets, said))
                octets, said = b"", []
            octets += text.encode() + b"\r\n" if mark == "C:" else _unescape(text)
        elif mark == "S:":
            said.append(text)
        elif mark.startswith("!"):
            _directive(dialog, line[2:].split())
        elif line == "closed":
            dialog.is_closed = True
        else:
            assert not line or mark.startswith("#"), f"{path.name}: what is {line!r}?"
    dialog.turns.append((octets, said))
    return dialog


def load_all() -> list[Dialog]:
    """Every script, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]


def matches(lines: list[str], expected: list[str]) -> bool:
    """Whether the reply ``lines`` are the ``expected`` ones."""
    return len(lines) == len(expected) and all(
        re.fullmatch(_pattern(want), line) for line, want in zip(lines, expected, strict=True)
    )


def _pattern(want: str) -> str:
    is_open = want.endswith("...")
    pattern = re.escape(want.removesuffix("...")).replace("<id>", "[0-9A-HJKMNP-TV-Z]{13}")
    return pattern + (".*" if is_open else "")


def _directive(dialog: Dialog, words: list[str]) -> None:
    match words:
        case ["set", name, "=", value]:
            dialog.settings[name] = int(value)
        case ["set", name, value]:
            dialog.settings[name] = int(value)
        case ["listener", kind]:
            dialog.kind = kind
        case ["trusted"]:
            dialog.settings["trusted_networks"] = ("127.0.0.0/8", "192.0.2.0/24")
        case ["tls"]:
            dialog.settings["tls"] = True
        case ["plaintext_login"]:
            dialog.settings["plaintext_login"] = True
        case ["stored", number]:
            dialog.stored = int(number)
        case _:
            raise AssertionError(f"{dialog.name}: what is {words}?")


def _unescape(text: str) -> bytes:
    def octet(match: re.Match[str]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if code.startswith("x") else _ESCAPES[code].encode()

    parts = re.split(r"(\\(?:x[0-9a-f]{2}|[rn0t\\]))", text)
    return b"".join(octet(m) if (m := re.fullmatch(r"\\(.+)", part)) else part.encode() for part in parts)
