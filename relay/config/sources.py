"""The files of a configuration, put together into one tree of values that knows where each of them stands.

Theory: beside ``relay.toml`` there may be a folder ``relay.d``; its files ``*.toml`` are read after it, in the order of
their names. Tables of one name become one table, arrays of tables (``[[listener]]``) follow each other, and every other
key is set once: a second value in another file is an error that names both places. An override by order would hang
on names of files, and what ``relay.toml`` says would not hold; the environment is there for overrides.

Invariant: whatever is wrong with one file, the others are read, so that all errors are reported at once.

Not here: what the keys mean (load.py), on which lines of a file they stand (positions.py).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

from relay.config.errors import ConfigError
from relay.config.positions import KeyPath, key_lines, show_path

FILE_NAME: Final = "relay.toml"
"""What is read in a folder that is given in the place of a file."""
LARGEST_FILE: Final = 16 * 2**20
MOST_FILES: Final = 1000
"""Files in ``relay.d``."""


class Place(NamedTuple):
    """Where a value is set."""

    source: str
    """A file, or an environment variable."""
    line: int
    """In the file, counted from 1; 0 where there is none."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


def main_file(path: Path) -> Path:
    """The file that ``path`` means: itself, or ``relay.toml`` in it when it is a folder."""
    return path / FILE_NAME if os.path.isdir(path) else path


def folder_beside(path: Path) -> Path:
    """The folder with more files: ``relay.d`` for ``relay.toml``."""
    return path.with_suffix(".d")


def are_there(path: Path) -> bool:
    """Whether there is anything to read at ``path`` or in the folder beside it."""
    try:
        return os.path.lexists(path) or bool(_listed(folder_beside(path)))
    except OSError:
        return True  # something is there, and reading it will say what is wrong with it


def read(path: Path) -> Tree:
    """What stands in ``path`` and in the folder beside it. ``path`` may be missing when there are files in the folder,
    as a container has them. Errors are in the tree."""
    tree = Tree(path)
    folder = folder_beside(path)
    found: list[Path] = []
    try:
        found = _listed(folder)
        if len(found) > MOST_FILES:
            tree.errors.append(ConfigError(str(folder), 0, "", f"holds more than {MOST_FILES} files"))
    except OSError as fault:
        tree.errors.append(ConfigError(str(folder), 0, "", f"cannot be read: {fault.strerror}"))
    if os.path.lexists(path) or not found:
        tree.read(path)
    for each in found[:MOST_FILES]:
        tree.read(each)
    return tree


class Tree:
    """The values of all files that were read so far."""

    def __init__(self, path: Path | None = None) -> None:
        """Empty; ``path`` is where that which is set nowhere is said to be missing, and where relative paths begin."""
        self.values: dict[str, Any] = {}
        self.errors: list[ConfigError] = []
        self.files: list[Path] = []
        self.base = path.absolute().parent if path is not None else Path.cwd()
        self._places: dict[KeyPath, Place] = {}
        self._nowhere = Place(str(path) if path is not None else "defaults", 0)

    def place(self, path: KeyPath) -> Place | None:
        """Where the value at ``path`` is set; None when no file sets it."""
        return self._places.get(path)

    def nearest(self, path: KeyPath) -> Place:
        """The place of ``path``, or of the nearest table around it."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, self._nowhere)

    def read(self, file: Path) -> None:
        """Adds what stands in ``file``."""
        self.files.append(file)
        line = 0
        try:
            text = _text_of(file)
        except OSError as fault:
            reason = f"cannot be read: {fault.strerror}"
        except UnicodeDecodeError as fault:
            line, reason = fault.object.count(b"\n", 0, fault.start) + 1, "is not UTF-8 text"
        except ValueError as fault:
            reason = str(fault)
        else:
            self._parse(file, text)
            return
        self.errors.append(ConfigError(str(file), line, "", reason))

    def _parse(self, file: Path, text: str) -> None:
        try:
            self._merge(tomllib.loads(text), str(file), key_lines(text))
        except tomllib.TOMLDecodeError as fault:
            self.errors.append(ConfigError(str(file), *_syntax_error(text, fault)))
        except RecursionError:
            self.errors.append(ConfigError(str(file), 0, "", "is nested too deep"))

    def _merge(self, more: dict[str, Any], source: str, lines: dict[KeyPath, int]) -> None:
        """Puts ``more`` into the values. Paths have two forms: in the tree (``here``) and in the file (``there``)."""
        tables: list[tuple[dict[str, Any], dict[str, Any], KeyPath, KeyPath]] = [(self.values, more, (), ())]
        while tables:
            into, values, above, above_there = tables.pop()
            for key, value in values.items():
                here, there = (*above, key), (*above_there, key)
                if key not in into:
                    into[key] = value
                    self._note(value, here, there, source, lines)
                elif isinstance(value, dict) and isinstance(into[key], dict):
                    tables.append((into[key], value, here, there))
                elif are_tables(value) and are_tables(into[key]):
                    for number, table in enumerate(value):
                        self._note(table, (*here, len(into[key])), (*there, number), source, lines)
                        into[key].append(table)
                else:
                    place = Place(source, lines.get(there, 0))
                    message = f"is set in {self.nearest(here)} already; a setting stands in one file only"
                    self.errors.append(ConfigError(*place, show_path(here), message))

    def _note(self, value: object, here: KeyPath, there: KeyPath, source: str, lines: dict[KeyPath, int]) -> None:
        """Remembers where ``value`` and all that is in it stand."""
        found = [(value, here, there)]
        while found:
            value, here, there = found.pop()
            if there in lines:
                self._places[here] = Place(source, lines[there])
            inside: Iterator[tuple[str | int, object]] = iter(())
            if isinstance(value, dict):
                inside = iter(value.items())
            elif isinstance(value, list):
                inside = iter(enumerate(value))
            found += [(each, (*here, step), (*there, step)) for step, each in inside]


def are_tables(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether ``value`` is an array of tables, be it an empty one."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _listed(folder: Path) -> list[Path]:
    """The files of ``folder`` that are read, in order; none when there is no such folder. Names that begin with a dot
    (Kubernetes' ``..data``, ``.x.toml.swp``) or ``#`` and those that do not end in ``.toml`` (``x.toml~``,
    ``x.toml.dpkg-old``) are not. Raises OSError."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(".toml") and name[0] not in ".#"]


def _text_of(file: Path) -> str:
    """Raises OSError, UnicodeDecodeError, and ValueError when it is too large or no regular file: a pipe might be
    waited for without an end, and would be empty, which is a configuration too, at the next reload."""
    if file.exists() and not file.is_file():
        raise ValueError("is no regular file")
    with file.open("rb") as opened:
        octets = opened.read(LARGEST_FILE + 1)
    if len(octets) > LARGEST_FILE:
        raise ValueError("is too large for a configuration file")
    return octets.decode().replace("\r\n", "\n")


def _syntax_error(text: str, fault: tomllib.TOMLDecodeError) -> tuple[int, str, str]:
    """The line, the key path (nothing) and the words of a ConfigError."""
    message = str(fault)
    place = re.search(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$", message)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    return line, "", f"is not TOML: {message[: place.start()] if place else message}"
