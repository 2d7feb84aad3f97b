"""How values are written in responses (RFC 9051 4, 7, 9): strings, flags, sets, dates, mailbox names.

A string is quoted where it can be, else a literal; mailbox names are modified UTF-7 for IMAP4rev1, UTF-8 once the
client has enabled UTF8=ACCEPT or IMAP4rev2 (RFC 6855, RFC 9051 A).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from relay.mailbox import names

_QUOTABLE: Final = re.compile(rb"[\x20-\x21\x23-\x5b\x5d-\x7e]{0,1000}\Z")
_ESCAPABLE: Final = re.compile(rb"[\x20-\x7e]{0,1000}\Z")
_ATOM: Final = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+\Z')
_FIRST: Final = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def string(octets: bytes) -> bytes:
    """Quoted or literal."""
    if _QUOTABLE.match(octets):
        return b'"' + octets + b'"'
    if _ESCAPABLE.match(octets):
        return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return literal(octets)


def literal(octets: bytes) -> bytes:
    """``{3}`` CRLF and the octets; no NUL is among them (``mask_nuls``)."""
    return b"{%d}\r\n%b" % (len(octets), mask_nuls(octets))


def literal8(octets: bytes) -> bytes:
    """``{3}`` CRLF and the octets, or ``~{3}`` where a NUL is among them (RFC 3516 4.2)."""
    return (b"~" if b"\0" in octets else b"") + b"{%d}\r\n%b" % (len(octets), octets)


def mask_nuls(octets: bytes) -> bytes:
    """What an ordinary literal may carry of ``octets`` (RFC 3501 4.3.1): 0x80 takes the place of each NUL, so that
    sizes and offsets stay. BINARY sends them as they are."""
    return octets.replace(b"\0", b"\x80") if b"\0" in octets else octets


def nstring(octets: bytes | None) -> bytes:
    """A string or NIL."""
    return b"NIL" if octets is None else string(octets)


def astring(octets: bytes) -> bytes:
    """An atom where it can be, else a string."""
    return octets if _ATOM.match(octets) and octets.upper() != b"NIL" else string(octets)


def mailbox(name: str, *, utf8: bool) -> bytes:
    """A mailbox name."""
    if utf8:
        octets = name.encode()
        if octets.isascii():
            return string(octets)
        return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return string(names.encode_utf7(name).encode("ascii"))


def flags(flag_names: Iterable[str]) -> bytes:
    """A list of flags in parentheses."""
    return b"(" + " ".join(flag_names).encode() + b")"


def internal_date(seconds: int) -> bytes:
    """RFC 9051 date-time, quoted, in UTC; what is out of the years of four digits is the first or last of them:
    the time of a file may be anything."""
    at = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
    return f'"{at.day:2d}-{_MONTHS[at.month - 1]}-{at.year:04d} {at:%H:%M:%S} +0000"'.encode()


def number_set(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a sequence set: ``1:3,7``."""
    parts: list[str] = []
    first = last = -2
    for number in numbers:
        if number == last + 1:
            last = number
            continue
        if first > 0:
            parts.append(str(first) if first == last else f"{first}:{last}")
        first = last = number
    if first > 0:
        parts.append(str(first) if first == last else f"{first}:{last}")
    return ",".join(parts).encode()


def pair_sets(sources: Sequence[int], targets: Sequence[int]) -> tuple[bytes, bytes]:
    """Two sets for COPYUID whose n-th members belong together (RFC 4315 3): ranges only where both run on."""
    left: list[str] = []
    right: list[str] = []
    begin = 0
    for at in range(1, len(sources) + 1):
        runs_on = at < len(sources) and sources[at] == sources[at - 1] + 1 and targets[at] == targets[at - 1] + 1
        if not runs_on:
            for out, numbers in ((left, sources), (right, targets)):
                first, last = numbers[begin], numbers[at - 1]
                out.append(str(first) if first == last else f"{first}:{last}")
            begin = at
    return ",".join(left).encode(), ",".join(right).encode()
