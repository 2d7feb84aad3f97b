"""What several commands have in their grammar (RFC 9051 9): mailbox names, flags, sets, dates, lists."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, TypeVar

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, No
from relay.mailbox import names
from relay.mailbox.interfaces import View

MAX_LIST: Final = 1000
"""Elements of a list in parentheses."""
MAX_NAME: Final = 1000
"""Characters of what can be a mailbox name, or a pattern for some."""
OPEN: Final = ord("(")
CLOSE: Final = ord(")")
SPACE: Final = 32

Value = TypeVar("Value")
Ranges = list[tuple[int, int]]

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DATE: Final = re.compile(r"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\Z")
_DATE_TIME: Final = re.compile(
    r"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})\Z"
)


def mailbox(tokens: Tokens) -> str:
    """A mailbox name as text; the store checks what it may be. Bad for octets that no name has."""
    return mailbox_text(tokens.astring(), utf8=tokens.utf8)


def mailbox_as_written(tokens: Tokens) -> tuple[str, str]:
    """A mailbox name as text, and as the client wrote it."""
    octets = tokens.astring()
    name = mailbox_text(octets, utf8=tokens.utf8)
    return name, octets.decode() if tokens.utf8 else name


def mailbox_text(octets: bytes, *, utf8: bool) -> str:
    """A name from the wire, in Normalization Form C (RFC 5198 2): UTF-8 once that is enabled, else modified UTF-7 (RFC
    3501 5.1.3)."""
    if b"\0" in octets:
        raise Bad("a mailbox name holds no NUL")
    try:
        text = octets.decode("utf-8" if utf8 else "ascii")
        text = text if utf8 else names.decode_utf7(text)
    except ValueError:
        raise No("This is no mailbox name: it is not in the encoding agreed upon", "CANNOT") from None
    # Longer ones are none, and to normalise them may take long.
    return text if text.isascii() or len(text) > MAX_NAME else unicodedata.normalize("NFC", text)


def listed(tokens: Tokens, item: Callable[[], Value]) -> list[Value]:
    """``(item item ...)``, possibly empty."""
    tokens.expect(OPEN)
    values: list[Value] = []
    if tokens.skip(CLOSE):
        return values
    while True:
        values.append(item())
        if len(values) > MAX_LIST:
            raise Bad("the list has too many elements", "TOOMANY")
        if tokens.skip(CLOSE):
            return values
        tokens.space()


def flag_list(tokens: Tokens) -> list[str]:
    r"""``(\Seen $Forwarded)``."""
    return [flag.decode("ascii") for flag in listed(tokens, tokens.flag)]


def date(text: bytes) -> datetime:
    """``1-Feb-2026`` as midnight, UTC."""
    found = _DATE.match(text.decode("latin-1"))
    if found is None:
        raise Bad("a date looks like 1-Feb-2026")
    return _datetime(int(found[3]), found[2], int(found[1]))


def date_time(text: bytes) -> int:
    """``" 1-Feb-2026 12:00:00 +0100"``, without its quotes, as seconds since 1970."""
    found = _DATE_TIME.match(text.decode("latin-1"))
    if found is None:
        raise Bad('a date and time looks like " 1-Feb-2026 12:00:00 +0100"')
    day = _datetime(int(found[3]), found[2], int(found[1]))
    hours, minutes = int(found[8]), int(found[9])
    if hours > 23 or minutes > 59:
        raise Bad("there is no such time zone")
    offset = timedelta(hours=hours, minutes=minutes) * (1 if found[7] == "+" else -1)
    try:
        at = day.replace(hour=int(found[4]), minute=int(found[5]), second=int(found[6]), tzinfo=timezone(offset))
        return int(at.timestamp())
    except (ValueError, OverflowError):
        raise Bad("there is no such time") from None


def indexes(ranges: Ranges, view: View, *, by_uid: bool) -> list[int]:
    """The messages of the view that a set means, ascending. Bad for a sequence number that no message has."""
    if by_uid:
        uids = view.uids
        if not uids:
            return []
        spans = ((bisect_left(uids, low), bisect_right(uids, high)) for low, high in _merged(ranges, uids[-1]))
        return [index for first, last in spans for index in range(first, last)]
    require_numbers(ranges, len(view))
    return [number - 1 for low, high in _merged(ranges, len(view)) for number in range(low, high + 1)]


def require_numbers(ranges: Ranges, count: int) -> None:
    """Bad for a sequence number that none of ``count`` messages has."""
    merged = _merged(ranges, count)
    if merged and (merged[-1][1] > count or not merged[0][0]):
        raise Bad("there is no message with this number")


def members(ranges: Ranges, greatest: int) -> Callable[[int], bool]:
    """Whether a number is in a set; ``greatest`` is what ``*`` means."""
    merged = _merged(ranges, greatest)
    lows = [low for low, _ in merged]

    def is_member(number: int) -> bool:
        at = bisect_right(lows, number) - 1
        return at >= 0 and number <= merged[at][1]

    return is_member


def _merged(ranges: Ranges, greatest: int) -> Ranges:
    """The same set, ascending and without overlaps: ``1:*`` a thousand times costs no more than once."""
    merged: Ranges = []
    for low, high in sorted(sorted((a or greatest, b or greatest)) for a, b in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _datetime(year: int, month: str, day: int) -> datetime:
    try:
        return datetime(year, _MONTHS[month.lower()], day, tzinfo=UTC)
    except (KeyError, ValueError):
        raise Bad("there is no such day") from None
