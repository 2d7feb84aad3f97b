"""Comparators and match types (RFC 5228 2.7, RFC 4790 9, RFC 5051, RFC 5231).

Theory: ``:matches`` is decided segment by segment between the asterisks, each at the first place where it fits; what
stands behind the last asterisk fits at the end or nowhere. No choice is ever taken back, so time is linear in the
text for segments without ``?``, and at most text times segment with it; ``cost`` says what to charge.

Invariant: a folded text has as many characters as the text, so that what a wildcard stood for is cut from the text
as it is (RFC 5229 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from relay.mail.unicode_text import normalized

_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)
_RELATIONS: Final[dict[str, tuple[int, ...]]] = {
    "gt": (1,), "ge": (0, 1), "lt": (-1,), "le": (-1, 0), "eq": (0,), "ne": (-1, 1),
}  # fmt: skip

Match = Callable[[str, str], Sequence[str] | None]
"""Value and key to what the wildcards stood for (empty for other match types), or None: no match."""


def fold(comparator: str, text: str) -> str:
    """``text`` so that two texts that the comparator holds equal are equal, for substrings too."""
    if comparator not in ("i;ascii-casemap", "i;unicode-casemap"):
        return text
    if text.isascii():
        return text.upper()
    if comparator == "i;ascii-casemap":  # octets know ASCII's letters alone, and are much quicker than a translation
        return text.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")
    return text.translate({ord(each): _titlecase(each) for each in set(text)})


def compare(comparator: str, left: str, right: str) -> int:
    """-1, 0 or 1."""
    if comparator == "i;ascii-numeric":
        one, other = _number(left), _number(right)
        return (one > other) - (one < other)
    if comparator == "i;unicode-casemap":
        a, b = (normalized("NFKD", fold(comparator, text)) for text in (left, right))
    else:
        a, b = fold(comparator, left), fold(comparator, right)
    # Code points are in the order of their UTF-8 octets.
    return (a > b) - (a < b)


def matcher(match: str, relation: str, comparator: str) -> Match:
    """What decides ``match``: is, contains, matches, or value with its relation (count is a value of numbers)."""
    if match in ("value", "count"):
        wanted = _RELATIONS[relation]
        return lambda value, key: () if compare(comparator, value, key) in wanted else None
    if match == "contains":
        return _contains(comparator)
    if match == "matches":
        return _matches(comparator)
    return lambda value, key: () if compare(comparator, value, key) == 0 else None


def _folding(comparator: str) -> Callable[[str], str]:
    """``fold`` for values: one value is mostly asked about with many keys, and is folded once."""
    last = folded = ""

    def of(value: str) -> str:
        nonlocal last, folded
        if value is not last:
            last, folded = value, fold(comparator, value)
        return folded

    return of


def _contains(comparator: str) -> Match:
    folded = _folding(comparator)
    return lambda value, key: () if fold(comparator, key) in folded(value) else None


def _matches(comparator: str) -> Match:
    folded = _folding(comparator)
    return lambda value, key: _wildcards(value, folded(value), _segments(fold(comparator, key)))


def wildcards(comparator: str, text: str, pattern: str) -> tuple[str, ...] | None:
    """The whole text and then what each wildcard of ``pattern`` stands for; None when the pattern does not fit."""
    return _wildcards(text, fold(comparator, text), _segments(fold(comparator, pattern)))


def _wildcards(text: str, folded: str, segments: Sequence[_Segment]) -> tuple[str, ...] | None:
    first, last = segments[0], segments[-1]
    if len(segments) == 1:
        return _captures(text, [(0, first)]) if len(text) == first.length and first.fits(folded, 0) else None
    if not first.fits(folded, 0):
        return None
    at = first.length
    placed = [(0, first)]
    for segment in segments[1:-1]:
        found = segment.find(folded, at)
        if found < 0:
            return None
        placed.append((found, segment))
        at = found + segment.length
    start = len(text) - last.length
    if start < at or not last.fits(folded, start):
        return None
    placed.append((start, last))
    return _captures(text, placed)


def cost(text: int, pattern: str) -> int:
    """What matching a text of so many characters against ``pattern`` costs, in units of the budget."""
    return (text * (len(pattern) if "?" in pattern else 1) + len(pattern)) // 1000 + 1


def folding_cost(comparator: str, text: str) -> int:
    """What folding a text costs beyond comparing it; nothing for ASCII."""
    return 0 if text.isascii() else len(text) * _FOLDING.get(comparator, 0) // 1000


_FOLDING: Final = {"i;ascii-casemap": 3, "i;unicode-casemap": 100}


class _Segment:
    """What stands between two asterisks; None in ``signs`` is a question mark."""

    __slots__ = ("_plain", "_regex", "length", "signs")

    def __init__(self, signs: tuple[str | None, ...]) -> None:
        self.signs = signs
        self.length = len(signs)
        self._plain = "".join(sign for sign in signs if sign is not None) if None not in signs else None
        self._regex = (
            None
            if self._plain is not None
            else re.compile("".join("." if sign is None else re.escape(sign) for sign in signs), re.DOTALL)
        )

    def fits(self, text: str, at: int) -> bool:
        if at < 0:
            return False
        if self._regex is None:
            assert self._plain is not None
            return text.startswith(self._plain, at)
        return self._regex.match(text, at) is not None

    def find(self, text: str, at: int) -> int:
        if self._regex is None:
            assert self._plain is not None
            return text.find(self._plain, at)
        found = self._regex.search(text, at)
        return found.start() if found else -1


@lru_cache(maxsize=256)
def _segments(pattern: str) -> tuple[_Segment, ...]:
    segments: list[_Segment] = []
    signs: list[str | None] = []
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "*":
            segments.append(_Segment(tuple(signs)))
            signs = []
        elif sign == "\\" and at + 1 < len(pattern):
            at += 1
            signs.append(pattern[at])
        else:
            signs.append(None if sign == "?" else sign)
        at += 1
    segments.append(_Segment(tuple(signs)))
    return tuple(segments)


def _captures(text: str, placed: list[tuple[int, _Segment]]) -> tuple[str, ...]:
    found = [text]
    end = 0
    for number, (at, segment) in enumerate(placed):
        if number:
            found.append(text[end:at])
        found += [text[at + offset] for offset, sign in enumerate(segment.signs) if sign is None]
        end = at + segment.length
    return tuple(found)


def _number(text: str) -> tuple[int, int, str]:
    """In the order of i;ascii-numeric: what begins with no digit is above all numbers (RFC 4790 9.1.1)."""
    digits = _NUMBER.match(text)
    if digits is None:
        return (1, 0, "")
    plain = digits[0].lstrip("0")
    return (0, len(plain), plain)


def _titlecase(character: str) -> str:
    titled = character.title()
    return titled if len(titled) == 1 else character
