"""Text that is compared without case: i;unicode-casemap (RFC 5051), for substrings too.

Theory: the full case folding of Unicode between two compatibility decompositions, so that composed and decomposed
letters, and those of both cases, are the same (Unicode 3.13, D146). ASCII, most of all text, needs none of that.

Bounds: a text becomes at most a few times as long. Time is linear in it: the standard library orders the marks behind a
letter by exchanging neighbours, which is quadratic in their number; so, as in the Stream-Safe Text Format (UAX 15, 13),
a sign that orders nothing goes into runs of more than twice MAX_MARKS.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final, Literal

MAX_MARKS: Final = 30
LAST: Final = 0x20000
"""No sign from here on is a mark that is ordered among others (a test looks)."""
_JOINER: Final = "\u034f"
_LIGATURES: Final = "\ufdfa\ufdfb"
"""Each stands for a sentence, of 18 and 8 letters; no other sign stands for more than 6."""
FEW: Final = 64
"""So many of them are taken apart in any text."""
_KINDS: Final = {"Mn", "Mc", "Me", "Lm"}


def casemap(text: str) -> str:
    """``text`` so that texts that are equal without case are equal, and parts of them are parts."""
    if text.isascii():
        return text.lower()
    return _decomposed(_decomposed(text).casefold())


def _decomposed(text: str) -> str:
    """``text`` in Normalization Form KD, unless that makes it many times longer."""
    form: Literal["NFD", "NFKD"] = "NFD" if sum(map(text.count, _LIGATURES)) > FEW + len(text) // 16 else "NFKD"
    return unicodedata.normalize(form, _safe(text))


def _safe(text: str) -> str:
    runs = _runs()
    # A run of twice as many marks has a place of these with nothing but marks behind it.
    samples = text[::MAX_MARKS]
    if any(runs.match(text, MAX_MARKS * mark.start()) for mark in _marks().finditer(samples)):
        return runs.sub(_broken, text)
    return text


def _broken(run: re.Match[str]) -> str:
    return run[0] + _JOINER


@cache
def _runs() -> re.Pattern[str]:
    """MAX_MARKS marks."""
    return re.compile(f"{_marks().pattern}{{{MAX_MARKS}}}")


@cache
def _marks() -> re.Pattern[str]:
    """A sign that is, or becomes, a mark that is ordered among others."""
    signs = (chr(code) for code in range(0x300, LAST) if not 0xAC00 <= code <= 0xDFFF)
    marks = [sign for sign in signs if _is_mark(sign)]
    return re.compile(f"[{''.join(_ranges(marks))}]")


def _is_mark(sign: str) -> bool:
    if unicodedata.category(sign) not in _KINDS:
        return False
    return bool(unicodedata.combining(sign) or unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]))


def _ranges(marks: list[str]) -> list[str]:
    ranges: list[str] = []
    first = last = ""
    for sign in [*marks, ""]:
        if sign and last and ord(sign) == ord(last) + 1:
            last = sign
            continue
        if first:
            ranges.append(f"{first}-{last}")
        first = last = sign
    return ranges
