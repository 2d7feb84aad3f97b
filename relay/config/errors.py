"""What is wrong with a configuration: all of it at once."""

from __future__ import annotations

from typing import NamedTuple


class ConfigError(NamedTuple):
    """One thing that is wrong, and where."""

    source: str
    """The file, or the environment variable."""
    line: int
    """Line in the file, counted from 1; 0 where there is none."""
    key: str
    """The key path, e.g. ``smtp.max_line`` or ``listener[2].port``; empty where the file itself is meant."""
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigErrors(Exception):  # noqa: N818 - it is several errors, and the name says so
    """The configuration cannot be used. ``errors`` is never empty and is in the order of the files."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))
