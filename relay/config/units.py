"""Durations and sizes as people write them: ``"5m"``, ``"1h30m"``, ``"25MiB"``.

A bare number is refused for both, because "300" says neither seconds nor minutes. Zero needs no unit.

Not here: which setting has which unit and range (relay/config/model.py).
"""

from __future__ import annotations

import re
from typing import Final

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
OCTETS: Final = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_DURATION_PART: Final = re.compile(rf"({_NUMBER})\s*(ms|s|m|h|d|w)\s*", re.ASCII)
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)", re.ASCII)
_OCTETS_BY_LOWER_CASE: Final = {unit.lower(): octets for unit, octets in OCTETS.items()}
_MOST_DIGITS: Final = 40


def parse_duration(text: str) -> float:
    """Seconds in ``text`` (``"90s"``, ``"1h30m"``, ``"0"``); ValueError says how it should have been written."""
    compact = text.strip()
    if compact == "0":
        return 0.0
    seconds, position = 0.0, 0
    while len(compact) <= _MOST_DIGITS and (part := _DURATION_PART.match(compact, position)):
        seconds += float(part[1]) * SECONDS[part[2]]
        position = part.end()
    if not compact or position != len(compact):
        raise ValueError(
            f'"{text}" is not a duration; write a number and a unit: {", ".join(SECONDS)} (e.g. "5m", "1h30m")'
        )
    return seconds


def parse_size(text: str) -> int:
    """Octets in ``text`` (``"25MiB"``, ``"0"``); ValueError says how it should have been written."""
    compact = text.strip()
    if compact == "0":
        return 0
    match = _SIZE.fullmatch(compact) if len(compact) <= _MOST_DIGITS else None
    unit = _OCTETS_BY_LOWER_CASE.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f'"{text}" is not a size; write a number and a unit: {", ".join(OCTETS)} (e.g. "25MiB")')
    octets = float(match[1]) * unit if "." in match[1] else int(match[1]) * unit
    if octets != int(octets):
        raise ValueError(f'"{text}" is not a whole number of octets')
    return int(octets)


def show_duration(seconds: float) -> str:
    """The shortest way to write ``seconds`` exactly with one unit: ``show_duration(300.0) == "5m"``."""
    if not seconds:
        return "0"
    for unit in ("d", "h", "m", "s"):
        count = seconds / SECONDS[unit]
        if count == int(count):
            return f"{int(count)}{unit}"
    return f"{round(seconds * 1000)}ms" if (seconds * 1000).is_integer() else f"{seconds:f}".rstrip("0") + "s"


def show_size(octets: int) -> str:
    """The shortest way to write ``octets`` exactly with one unit: ``show_size(26214400) == "25MiB"``."""
    if not octets:
        return "0"
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if octets % OCTETS[unit] == 0:
            return f"{octets // OCTETS[unit]}{unit}"
    return f"{octets}B"
