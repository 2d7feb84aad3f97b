"""What SORT and THREAD compare (RFC 5256 2): base subjects, sent dates, names of addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from relay.imap import decoding
from relay.imap.addresses import addresses
from relay.imap.faults import Bad
from relay.mailbox.ports import View

LONGEST_SUBJECT: Final = 4096
"""Octets of a subject that are compared; taking prefixes off one by one costs more than the length."""
_BLOB: Final = r"\[[^\[\]]*\]"
_LEADER: Final = re.compile(rf"(?:{_BLOB}[ ]*)*(?:re|fwd?)[ ]*(?:{_BLOB}[ ]*)?:", re.IGNORECASE)
_TRAILER: Final = re.compile(r"(?:\(fwd\)|[ ])+\Z", re.IGNORECASE)
_FORWARD: Final = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)
_SPACES: Final = re.compile(r"\s+")


class Subject(NamedTuple):
    """A base subject, and whether what was taken off says reply or forward."""

    base: str
    is_reply: bool


def base_subject(value: bytes) -> Subject:
    """RFC 5256 2.1."""
    text = _SPACES.sub(" ", decoding.header(value[:LONGEST_SUBJECT])).strip()
    is_reply = False
    while True:
        shorter = _TRAILER.sub("", text)
        is_reply |= "(fwd)" in text[len(shorter) :].lower()
        text = shorter
        while True:
            leader = _LEADER.match(text)
            if leader is not None:
                is_reply, text = True, text[leader.end() :].lstrip()
                continue
            blob = re.match(rf"{_BLOB}[ ]*", text)
            if blob is not None and text[blob.end() :].strip():
                text = text[blob.end() :]
                continue
            break
        forward = _FORWARD.match(text)
        if forward is None:
            return Subject(text.strip().upper(), is_reply)
        is_reply, text = True, forward[1].strip()


def sent_at(view: View, index: int) -> float:
    """When it was sent (RFC 5256 2.2): the Date field, or when it came in."""
    value = view.parts(index)[0].fields.get("date", b"")
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return float(view.internal_date(index))


class Criterion(NamedTuple):
    """One key of SORT."""

    value: Callable[[View, int], Any]
    is_reverse: bool


def criteria(words: Sequence[bytes]) -> list[Criterion]:
    """The sort keys in parentheses. Bad for an unknown one."""
    found: list[Criterion] = []
    is_reverse = False
    for word in words:
        if word == b"REVERSE" and not is_reverse:
            is_reverse = True
            continue
        if word not in _VALUES:
            raise Bad("this is no sort key")
        found.append(Criterion(_VALUES[word], is_reverse))
        is_reverse = False
    if not found or is_reverse:
        raise Bad("a sort key is missing")
    return found


def ordered(view: View, found: Sequence[int], wanted: Sequence[Criterion]) -> list[int]:
    """``found`` (ascending) in the order that is wanted; equal ones stay in the order of the mailbox."""
    result = list(found)
    for criterion in reversed(wanted):
        values = {index: criterion.value(view, index) for index in result}
        result.sort(key=values.__getitem__, reverse=criterion.is_reverse)
    return result


def _mailbox_of(name: str) -> Callable[[View, int], str]:
    def value(view: View, index: int) -> str:
        found = addresses(view.parts(index)[0].fields.get(name, b""))
        return (found[0].mailbox or b"").decode("latin-1").casefold() if found else ""

    return value


def _display_of(name: str) -> Callable[[View, int], str]:
    """RFC 5957 3: the display name, or the address."""

    def value(view: View, index: int) -> str:
        found = addresses(view.parts(index)[0].fields.get(name, b""))
        if not found:
            return ""
        first = found[0]
        if first.name:
            return decoding.header(first.name).casefold()
        return ((first.mailbox or b"") + b"@" + (first.host or b"")).decode("latin-1").casefold()

    return value


_VALUES: Final[dict[bytes, Callable[[View, int], Any]]] = {
    b"ARRIVAL": lambda view, index: view.internal_date(index),
    b"CC": _mailbox_of("cc"),
    b"DATE": sent_at,
    b"FROM": _mailbox_of("from"),
    b"SIZE": lambda view, index: view.size(index),
    b"SUBJECT": lambda view, index: base_subject(view.parts(index)[0].fields.get("subject", b"")).base,
    b"TO": _mailbox_of("to"),
    b"DISPLAYFROM": _display_of("from"),
    b"DISPLAYTO": _display_of("to"),
}
