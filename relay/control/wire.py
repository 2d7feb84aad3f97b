"""Requests and answers as tables of a frame, and back: what comes over a socket is checked before it is used.

A value is a NamedTuple whose fields are text, numbers, truth values, literals, or tuples of these. On the wire it is a
table by field names. The other side may be of another version while a reload goes on, so that a key that is not known,
one that is missing and has no default, and a value of another type are each named in the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

Value = TypeVar("Value", bound=NamedTuple)
Check = Callable[[object], bool]


class WireError(ValueError):
    """A table that is not the value that was expected; the text is for people."""


def to_table(value: NamedTuple) -> dict[str, Any]:
    """``value`` as it goes into a frame."""
    return value._asdict()


def from_table(kind: type[Value], table: object) -> Value:
    """The value of ``kind`` that ``table`` is. Raises WireError."""
    if not isinstance(table, dict):
        raise WireError(f"{kind.__name__} is a table, not {type(table).__name__}")
    checks = _checks(kind)
    for name, value in table.items():
        check = checks.get(name)
        if check is None:
            raise WireError(f"{kind.__name__} has no {str(name)[:40]!r}")
        if not check(value):
            raise WireError(f"{kind.__name__}: {name} cannot be {repr(value)[:80]}")
    missing = [name for name in checks if name not in table and name not in kind._field_defaults]
    if missing:
        raise WireError(f"{kind.__name__} lacks {', '.join(missing)}")
    made: Any = kind
    return cast("Value", made(**table))


@cache
def _checks(kind: type[NamedTuple]) -> dict[str, Check]:
    hints = get_type_hints(kind)
    return {name: _check(hints[name]) for name in kind._fields}


def _check(hint: Any) -> Check:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        return lambda value: isinstance(value, str) and value in allowed
    if get_origin(hint) is tuple:
        return _check_tuple(get_args(hint))
    raise TypeError(f"no check for {hint}")


def _check_tuple(hints: tuple[Any, ...]) -> Check:
    if hints[-1] is ...:
        item = _check(hints[0])
        return lambda value: isinstance(value, tuple) and all(map(item, value))
    items = [_check(hint) for hint in hints]
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(items)
        and all(check(each) for check, each in zip(items, value, strict=True))
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_SCALARS: dict[Any, Check] = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: _is_whole,
    float: lambda value: _is_whole(value) or (isinstance(value, float) and math.isfinite(value)),
}
