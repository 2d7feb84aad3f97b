"""What SORT and THREAD compare (RFC 5256 2): base subjects, sent dates, names of addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from relay.imap import decoding
from relay.imap.completion import Bad
from relay.imap.state import State
from relay.mail import dates
from relay.mail.casemap import casemap
from relay.mail.header_addresses import addresses

LONGEST_SUBJECT: Final = 65_536
"""Octets of a subject that are looked at."""
LONGEST_KEY: Final = 1000
"""Characters by which messages are sorted and joined; those of all messages are in memory together."""
_LEADER: Final = re.compile(r"(?:re|fwd?) *+(?:\[[^\[\]]*+\] *+)?:", re.IGNORECASE)
_BLOB: Final = re.compile(r"\[[^\[\]]*+\] *+")
_SPACES: Final = re.compile(r"\s+")
_FORWARDED: Final = "(fwd)"
_FORWARD: Final = "[fwd:"


class Subject(NamedTuple):
    """A base subject, and whether what was taken off says reply or forward."""

    base: str
    is_reply: bool


def base_subject(value: bytes) -> Subject:
    """RFC 5256 2.1. Each sign is looked at twice at most: what is taken off is not cut off but passed."""
    text = _SPACES.sub(" ", decoding.header(value[:LONGEST_SUBJECT])).strip()
    begin, end = 0, len(text)
    is_reply = False
    while True:
        begin, end, has_trailer = _without_trailers(text, begin, end)
        begin, has_leader = _without_leaders(text, begin, end)
        is_reply = is_reply or has_trailer or has_leader
        if text[begin : begin + 5].lower() != _FORWARD or text[end - 1] != "]" or end - begin < 6:
            return Subject(casemap(text[begin : min(end, begin + LONGEST_KEY)]), is_reply)
        is_reply = True
        begin, end = begin + 5, end - 1


def _without_trailers(text: str, begin: int, end: int) -> tuple[int, int, bool]:
    """Step 2, and white space at the beginning."""
    found = False
    while end > begin:
        if text[end - 1] == " ":
            end -= 1
        elif end - begin >= 5 and text[end - 5 : end].lower() == _FORWARDED:
            end -= 5
            found = True
        else:
            break
    while begin < end and text[begin] == " ":
        begin += 1
    return begin, end, found


def _without_leaders(text: str, begin: int, end: int) -> tuple[int, bool]:
    """Steps 3 to 5: all leaders, and all blobs but one that is all that is left. Blobs before a leader belong to it, so
    they are passed together; before anything else they go one by one, which comes to the same."""
    found = False
    while True:
        last, at = begin, begin
        while (blob := _BLOB.match(text, at, end)) is not None:
            last, at = at, blob.end()
        leader = _LEADER.match(text, at, end)
        if leader is None:
            return (at if at < end else last), found
        found = True
        begin = leader.end()
        while begin < end and text[begin] == " ":
            begin += 1


def sent_at(state: State, index: int) -> float:
    """When it was sent (RFC 5256 2.2): the Date field, or when it came in."""
    value = state.parts(index)[0].fields.get("date", b"")
    sent = dates.parse(value)
    return float(state.view.internal_date(index)) if sent is None else sent.timestamp()


class Criterion(NamedTuple):
    """One key of SORT."""

    value: Callable[[State, int], Any]
    is_reverse: bool
    poor: Any
    """The value of a message that could not be made sense of."""


def criteria(words: Sequence[bytes]) -> list[Criterion]:
    """The sort keys in parentheses. Bad for an unknown one. What stands there a second time changes nothing."""
    found: dict[bytes, Criterion] = {}
    is_reverse = False
    for word in words:
        if word == b"REVERSE" and not is_reverse:
            is_reverse = True
            continue
        if word not in _VALUES:
            raise Bad("this is no sort key")
        found.setdefault(word, Criterion(_VALUES[word], is_reverse, 0 if word in _NUMBERS else ""))
        is_reverse = False
    if not found or is_reverse:
        raise Bad("a sort key is missing")
    return list(found.values())


class Order:
    """Messages and what they are compared by, read one by one."""

    def __init__(self, state: State, wanted: Sequence[Criterion]) -> None:
        self._state = state
        self._wanted = wanted
        self._found: list[int] = []
        self._columns: list[dict[int, Any]] = [{} for _ in wanted]

    def add(self, index: int) -> None:
        """The next message, ascending. Refused EXPUNGED, and left out, when it is gone."""
        values = [self._value(criterion, index) for criterion in self._wanted]
        for column, value in zip(self._columns, values, strict=True):
            column[index] = value
        self._found.append(index)

    def _value(self, criterion: Criterion, index: int) -> Any:
        try:
            return criterion.value(self._state, index)
        except Exception as fault:  # noqa: BLE001 - is_poison() raises again what is an answer
            self._state.is_poison(index, fault)
            return criterion.poor

    def ordered(self) -> list[int]:
        """All in the order that is wanted; equal ones stay in the order of the mailbox."""
        for criterion, column in zip(reversed(self._wanted), reversed(self._columns), strict=True):
            self._found.sort(key=column.__getitem__, reverse=criterion.is_reverse)
        return self._found


def _mailbox_of(name: str) -> Callable[[State, int], str]:
    def value(state: State, index: int) -> str:
        found = addresses(state.parts(index)[0].fields.get(name, b""))
        return (found[0].local or b"")[:LONGEST_KEY].decode("latin-1").casefold() if found else ""

    return value


def _display_of(name: str) -> Callable[[State, int], str]:
    """RFC 5957 3: the display name, or the address."""

    def value(state: State, index: int) -> str:
        found = addresses(state.parts(index)[0].fields.get(name, b""))
        if not found:
            return ""
        first = found[0]
        if first.name:
            return casemap(decoding.header(first.name)[:LONGEST_KEY])
        return ((first.local or b"") + b"@" + (first.domain or b""))[:LONGEST_KEY].decode("latin-1").casefold()

    return value


_NUMBERS: Final = frozenset({b"ARRIVAL", b"DATE", b"SIZE"})
_VALUES: Final[dict[bytes, Callable[[State, int], Any]]] = {
    b"ARRIVAL": lambda state, index: state.view.internal_date(index),
    b"CC": _mailbox_of("cc"),
    b"DATE": sent_at,
    b"FROM": _mailbox_of("from"),
    b"SIZE": lambda state, index: state.view.size(index),
    b"SUBJECT": lambda state, index: base_subject(state.parts(index)[0].fields.get("subject", b"")).base,
    b"TO": _mailbox_of("to"),
    b"DISPLAYFROM": _display_of("from"),
    b"DISPLAYTO": _display_of("to"),
}
