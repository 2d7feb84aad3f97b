"""What is wrong with a script, and what went wrong while one ran."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One error of a script."""

    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"


class ScriptError(ValueError):
    """A script that cannot be used; has all that was found wrong with it, in its order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class RunError(Exception):
    """A script cannot go on: an address or a mailbox name that is none, actions that exclude each other, a limit. The
    message must be kept (RFC 5228 2.10.6)."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {text}" if line else text)
        self.text = text
        self.line = line
