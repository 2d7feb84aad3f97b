"""Dates in header fields and their parts (RFC 5260)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from relay.mail import dates

_MJD_OF_DAY_ONE = 678_576
"""Modified Julian Day of the day before ordinal 1, negated."""


def parse_date(value: str) -> datetime | None:
    """The date of a field value (RFC 5322 3.3); of a Received field that behind its last semicolon (RFC 5260 4)."""
    return dates.parse(value.rpartition(";")[2].strip())


def in_zone(date: datetime, zone: str) -> datetime:
    """``date`` in the zone ``+hhmm`` or ``-hhmm``; ``date`` as it is when that cannot be written down."""
    minutes = int(zone[1:3]) * 60 + int(zone[3:5])
    offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    try:
        return date.astimezone(offset)
    except OverflowError:
        return date


def part_of(date: datetime, part: str) -> str:
    """RFC 5260 4.2; ``part`` in lower case."""
    zone = date.strftime("%z")[:5]
    match part:
        case "year":
            return f"{date.year:04d}"
        case "month":
            return f"{date.month:02d}"
        case "day":
            return f"{date.day:02d}"
        case "date":
            return date.date().isoformat()
        case "julian":
            return str(date.toordinal() - _MJD_OF_DAY_ONE)
        case "hour":
            return f"{date.hour:02d}"
        case "minute":
            return f"{date.minute:02d}"
        case "second":
            return f"{date.second:02d}"
        case "time":
            return f"{date.hour:02d}:{date.minute:02d}:{date.second:02d}"
        case "iso8601":
            return f"{date.date().isoformat()}T{part_of(date, 'time')}{zone[:3]}:{zone[3:]}"
        case "std11":
            return dates.written(date)
        case "zone":
            return zone
        case _:
            return str(date.isoweekday() % 7)
