"""Dates of header fields (RFC 5322 3.3 and 4.3), read and written. Pure; ``LENGTH`` characters are looked at."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Final

LENGTH: Final = 200
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_USUAL: Final = re.compile(
    rf"(?:[A-Z][a-z][a-z], )?([0-9]{{1,2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) ([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) "
    r"([+-])([0-9]{2})([0-9]{2})(?![0-9])"
)
"""What nearly all mail has."""
_TIME: Final = r"(?P<hour>[0-9]{1,2})[:.](?P<minute>[0-9]{1,2})(?:[:.](?P<second>[0-9]{1,2})(?:[.,][0-9]{1,9})?)?"
_ZONE: Final = r"(?:[A-Za-z]{1,5})?(?P<offset>[+-][0-9]{2}:?[0-9]{2})|(?P<zone>[A-Za-z]{1,5})"
_DATE: Final = re.compile(
    rf" ?(?:[A-Za-z]{{2,9}}[.,]? ?,? ?)?(?P<day>[0-9]{{1,2}})[ -](?P<month>[A-Za-z]{{3}})[a-z]{{0,6}}[.,]?[ -]"
    rf"(?P<year>[0-9]{{2,4}})(?:,? {_TIME}(?: ?(?:{_ZONE}))?)?"
)
_ASCTIME: Final = re.compile(
    rf" ?(?:[A-Za-z]{{3,9}},? )?(?P<month>[A-Za-z]{{3}})[a-z]{{0,6}} (?P<day>[0-9]{{1,2}}),? {_TIME}"
    rf"(?: (?:{_ZONE}))? (?P<year>[0-9]{{4}})"
)
_SPACES: Final = re.compile(r"[ \t\r\n]+")
_HOURS: Final = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
"""RFC 5322 4.3; every other name is UTC."""


def parse(value: bytes | str) -> datetime | None:
    """The date of a field's value, with its zone: UTC where none is told. None for what is none."""
    text = value[:LENGTH]
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    usual = _USUAL.match(text)
    if usual is not None:
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = usual.groups()
        minutes = int(zone_hours) * 60 + int(zone_minutes)
        try:
            return datetime(int(year), _NUMBERS[month.lower()], int(day), int(hour), int(minute), int(second),
                            tzinfo=_zone_of(-minutes if sign == "-" else minutes))  # fmt: skip
        except ValueError:
            pass  # a leap second, or no date
    text = _SPACES.sub(" ", _without_comments(text) if "(" in text else text)
    found = _DATE.match(text) or _ASCTIME.match(text)
    if found is None:
        return None
    try:
        return datetime(
            _year(found["year"]),
            _NUMBERS.get(found["month"].lower(), 0),
            int(found["day"]),
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            min(59, int(found["second"] or 0)) if (found["second"] or "0") <= "60" else 60,
            tzinfo=_zone(found["offset"], found["zone"]),
        )
    except ValueError:
        return None


def written(date: datetime) -> str:
    """As RFC 5322 3.3 has it: ``Tue, 01 Apr 2014 09:06:31 +0000``. ``date`` has a zone."""
    return (
        f"{_DAYS[date.weekday()]}, {date.day:02d} {_MONTHS[date.month - 1]} {date.year:04d}"
        f" {date.hour:02d}:{date.minute:02d}:{date.second:02d} {date.strftime('%z')[:5] or '-0000'}"
    )


def _year(digits: str) -> int:
    """RFC 5322 4.3: two digits up to 49 are of this century, others and three digits count from 1900."""
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (2000 if len(digits) == 2 and year < 50 else 1900)


def _zone(offset: str | None, name: str | None) -> timezone:
    if offset is None:
        return timezone(timedelta(hours=_HOURS[name.upper()])) if name and name.upper() in _HOURS else UTC
    digits = offset[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return _zone_of(-minutes if offset[0] == "-" else minutes)


@cache
def _zone_of(minutes: int) -> timezone:
    """ValueError for a day and more."""
    return timezone(timedelta(minutes=minutes)) if minutes else UTC


def _without_comments(text: str) -> str:
    kept: list[str] = []
    depth = 0
    for character in text:
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        kept.append(" " if depth or character == ")" else character)
    return "".join(kept)
