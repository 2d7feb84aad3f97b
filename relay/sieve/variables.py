"""Variables (RFC 5229): names, values, ``${...}``, modifiers, and what a match left behind.

Names are case-insensitive. A value is cut at its limit (RFC 5229 3); a variable too many is a RunError.
``global.`` variables are shared by all scripts of one run (RFC 6609 3.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from relay.sieve import limits
from relay.sieve.errors import RunError

_REFERENCE: Final = re.compile(r"\$\{((?:[a-z_][a-z0-9_]*\.)*[a-z_][a-z0-9_]*|[0-9]+)\}", re.ASCII | re.IGNORECASE)
_WILDCARD: Final = re.compile(r"([*?\\])")
_PRECEDENCE: Final = ("case", "first", "quote", "length")
"""Groups of modifiers in the order in which they are applied (RFC 5229 4.1)."""


class Variables:
    """Those of one script; ``shared`` are the global ones of the run."""

    def __init__(self, shared: dict[str, str]) -> None:
        self._own: dict[str, str] = {}
        self._shared = shared
        self._global: set[str] = set()
        self._matched: tuple[str, ...] = ()

    def expand(self, text: str) -> str:
        """``text`` with its references replaced (RFC 5229 3)."""
        if "${" not in text:
            return text
        return _REFERENCE.sub(lambda match: self.get(match[1]), text)[: limits.STRING_CHARACTERS]

    def get(self, name: str) -> str:
        """The value; empty for what was never set."""
        if name.isdigit():
            number = int(name[-6:]) if len(name.lstrip("0")) <= 6 else len(self._matched)
            return self._matched[number] if number < len(self._matched) else ""
        name = name.lower()
        values, name = self._place(name)
        return values.get(name, "")

    def set(self, name: str, value: str) -> None:
        """Sets it; what is too long is cut."""
        values, name = self._place(name.lower())
        if name not in values and len(values) >= limits.VARIABLES:
            raise RunError(f"more than {limits.VARIABLES} variables")
        values[name] = value[: limits.VARIABLE_CHARACTERS]

    def share(self, name: str) -> None:
        """From now on ``name`` is the global variable of that name (RFC 6609 3.4.2)."""
        self._global.add(name.lower().removeprefix("global."))

    def matched(self, captures: Sequence[str]) -> None:
        """What ``:matches`` found (RFC 5229 3.2): the whole, and the first nine wildcards at least."""
        self._matched = tuple(each[: limits.VARIABLE_CHARACTERS] for each in captures[:32])

    def _place(self, name: str) -> tuple[dict[str, str], str]:
        if name.startswith("global."):
            return self._shared, name.removeprefix("global.")
        return (self._shared if name in self._global else self._own), name


def modified(value: str, modifiers: Sequence[tuple[str, str]]) -> str:
    """``value`` after the modifiers, given as (group, name) (RFC 5229 4.1)."""
    for _, name in sorted(modifiers, key=lambda pair: _PRECEDENCE.index(pair[0])):
        match name:
            case "lower":
                value = value.lower()
            case "upper":
                value = value.upper()
            case "lowerfirst":
                value = value[:1].lower() + value[1:]
            case "upperfirst":
                value = value[:1].upper() + value[1:]
            case "quotewildcard":
                value = _WILDCARD.sub(r"\\\1", value)
            case "length":
                value = str(len(value))
    return value
