"""A script that has been checked, as a tree that can be run: commands and tests with their arguments bound.

Not here: what makes it (check.py), what runs it (run.py, conditions.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

Value = str | int | tuple[str, ...] | bool


@dataclass(slots=True)
class Node:
    """A command or test with its arguments bound."""

    name: str
    line: int
    tags: dict[str, tuple[str, Value]] = field(default_factory=dict)
    """By group: the tag's name, and its argument or True."""
    arguments: list[Value] = field(default_factory=list)
    """The positional ones: int, str, or tuple of str, as the signature says. Optional ones are in ``optional``."""
    optional: Value | None = None
    tests: list[Node] = field(default_factory=list)
    block: list[Node] = field(default_factory=list)
    branches: list[Node] = field(default_factory=list)
    """Of an ``if``: the elsif and else that belong to it."""


@dataclass(slots=True, frozen=True)
class Script:
    """A script that can be run."""

    commands: tuple[Node, ...]
    extensions: frozenset[str]
    """All that it requires, and what that implies."""
    triggers: frozenset[bytes] | None
    """What a message must have for anything to happen (triggers.py)."""
