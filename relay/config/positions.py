"""On which line of a TOML file each key stands.

tomllib keeps no positions, and an error without a line is a search. This scanner walks a document that tomllib has
already accepted, so it needs to find keys and skip values, not to check anything. On a document that is not TOML it
ends all the same and its answer means nothing.

Not here: what the keys mean (relay/config/load.py).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Final

KeyPath = tuple[str | int, ...]
"""Keys from the top; a number counts the tables of an array, or the items of a list, from 0."""

_BLANK: Final = re.compile(r"[ \t]*")
_BETWEEN: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[^\s.=\[\]{},\"'#]+")
_STRINGS: Final = (
    r'"""(?:[^\\]|\\.)*?"{3,5}',
    r"'''.*?'{3,5}",
    r'"(?:[^"\\\n]|\\.)*"',
    r"'[^'\n]*'",
)
_STRING: Final = re.compile("|".join(_STRINGS), re.DOTALL)
_PLAIN: Final = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of every key, table and list item in the TOML document ``text``."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def show_path(path: KeyPath) -> str:
    """``path`` as people read it, arrays counted from 1: ``listener[2].port``."""
    return "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._position = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._array_sizes: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(_BETWEEN):
            before = self._position
            if self._take("[["):
                table = self._table_path(self._key_path(), is_array=True)
                self._take("]]")
            elif self._take("["):
                table = self._table_path(self._key_path(), is_array=False)
                self._take("]")
            else:
                self._pair(table)
            if self._position == before:
                return

    def _table_path(self, keys: list[str], *, is_array: bool) -> KeyPath:
        """The path of a table header; keys that name an array of tables mean its newest table."""
        path: KeyPath = ()
        for number, key in enumerate(keys, 1):
            path += (key,)
            self._note(path)
            if is_array and number == len(keys):
                self._array_sizes[path] = self._array_sizes.get(path, 0) + 1
            if path in self._array_sizes:
                path += (self._array_sizes[path] - 1,)
        self.lines[path] = self._line()
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        line = self._line()
        for key in self._key_path():
            path += (key,)
            self.lines.setdefault(path, line)
        if self._take("="):
            self._skip(_BLANK)
            self._value(path)

    def _key_path(self) -> list[str]:
        keys = []
        while self._skip(_BLANK):
            if quoted := _STRING.match(self._text, self._position):
                keys.append(_unquote(quoted[0]))
                self._position = quoted.end()
            elif bare := _BARE_KEY.match(self._text, self._position):
                keys.append(bare[0])
                self._position = bare.end()
            self._skip(_BLANK)
            if not self._take("."):
                break
        return keys

    def _value(self, path: KeyPath) -> None:
        self._note(path)
        if string := _STRING.match(self._text, self._position):
            self._position = string.end()
        elif self._take("["):
            self._items(path)
        elif self._take("{"):
            self._inline_table(path)
        else:
            self._skip(_PLAIN)

    def _items(self, path: KeyPath) -> None:
        number = 0
        while self._skip(_BETWEEN) and not self._take("]"):
            before = self._position
            self._value((*path, number))
            number += 1
            self._skip(_BETWEEN)
            self._take(",")
            if self._position == before:
                return

    def _inline_table(self, path: KeyPath) -> None:
        while self._skip(_BETWEEN) and not self._take("}"):
            before = self._position
            self._pair(path)
            self._skip(_BETWEEN)
            self._take(",")
            if self._position == before:
                return

    def _note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self._line())

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._position)

    def _take(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._position)
        self._position += len(mark) if found else 0
        return found

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Moves past ``pattern``, which may be empty; whether anything is left behind it."""
        match = pattern.match(self._text, self._position)
        self._position = match.end() if match else self._position
        return self._position < len(self._text)


def _unquote(quoted: str) -> str:
    """The key in ``quoted``; a key whose escapes are not those of JSON too is only misplaced, not misread."""
    if quoted.startswith("'"):
        return quoted.strip("'")
    try:
        return str(json.loads(quoted))
    except ValueError:
        return quoted.strip('"')
