"""What SORT and THREAD compare (RFC 5256 2): base subjects, sent dates, names of addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from relay.imap import decoding
from relay.imap.addresses import addresses
from relay.imap.faults import Bad
from relay.mail import dates
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
    sent = dates.parse(value)
    return float(view.internal_date(index)) if sent is None else sent.timestamp()


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


class Order:
    """Messages and what they are compared by, read one by one."""

    def __init__(self, view: View, wanted: Sequence[Criterion]) -> None:
        self._view = view
        self._wanted = wanted
        self._found: list[int] = []
        self._columns: list[dict[int, Any]] = [{} for _ in wanted]

    def add(self, index: int) -> None:
        """The next message, ascending. Refused EXPUNGED, and left out, when it is gone."""
        values = [criterion.value(self._view, index) for criterion in self._wanted]
        for column, value in zip(self._columns, values, strict=True):
            column[index] = value
        self._found.append(index)

    def ordered(self) -> list[int]:
        """All in the order that is wanted; equal ones stay in the order of the mailbox."""
        for criterion, column in zip(reversed(self._wanted), reversed(self._columns), strict=True):
            self._found.sort(key=column.__getitem__, reverse=criterion.is_reverse)
        return self._found


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
