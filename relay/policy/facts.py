"""Facts: typed values that checks find out and later checks, the log line and traces read.

Theory: a fact is declared once, where it is found out, as a Fact with a name and a type; whoever reads it imports that
declaration, so the type checker knows what it gets. Facts of the session (written at connect and helo) can be read in
each of its transactions; what is written in a transaction ends with it.

Not here: who writes which (checks.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Fact(Generic[T]):
    """One kind of fact. ``shown`` makes of a value what the log line has, ``name=text``; without it, it is not
    logged."""

    __slots__ = ("name", "shown")

    def __init__(self, name: str, shown: Callable[[T], str] | None = None) -> None:
        self.name = name
        self.shown = shown

    def __repr__(self) -> str:
        return f"Fact({self.name!r})"


class Facts:
    """Those of a session, or of a transaction on top of its session's (``outer``)."""

    __slots__ = ("_outer", "_values")

    def __init__(self, outer: Facts | None = None) -> None:
        self._outer = outer
        self._values: dict[Fact[Any], Any] = {}

    def __bool__(self) -> bool:
        return bool(self._values) or bool(self._outer)

    def get(self, fact: Fact[T]) -> T | None:
        """Its value, or None while nobody has found it out."""
        if fact in self._values:
            value: T = self._values[fact]
            return value
        return None if self._outer is None else self._outer.get(fact)

    def put(self, fact: Fact[T], value: T) -> None:
        """``value`` is known now; the last one counts."""
        self._values[fact] = value

    def shown(self) -> list[str]:
        """``name=text`` of each that is logged, the session's first."""
        found = [] if self._outer is None else self._outer.shown()
        return found + [f"{fact.name}={fact.shown(value)}" for fact, value in self._values.items() if fact.shown]
