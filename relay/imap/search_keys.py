"""Search keys (RFC 9051 6.4.4): from their words to a predicate over messages.

Theory: every key becomes a ``Key``: what it costs and a function of (message). Keys that are joined are tried in the
order of their cost, so that no message's content is read when its flags say enough. Strings compare as text without
case, composed or decomposed, after encoded words, transfer encodings and charsets are undone.

Bounds: ``MAX_KEYS`` keys and ``MAX_DEPTH`` levels in a search.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date as Day  # noqa: N812 - date() reads a command's
from typing import Final, NamedTuple, TypeVar

from relay.imap import decoding
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, No
from relay.imap.grammar import CLOSE, OPEN, Ranges, date, members, require_numbers
from relay.imap.sections import values_by_name, values_of
from relay.imap.state import State
from relay.imap.thread_ids import thread_id
from relay.mail import charsets, dates
from relay.mail.casemap import casemap
from relay.mail.header_addresses import Mailbox, addresses
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import ANSWERED, DELETED, DRAFT, FIRST_KEYWORD, FLAGGED, RECENT, SEEN

MAX_KEYS: Final = 1000
MAX_DEPTH: Final = 50
FREE, CHEAP, HEADER, CONTENT = 0, 1, 10, 100
_DAY: Final = 86400
_EPOCH: Final = Day(1970, 1, 1)
_TOGETHER: Final = 65_536
"""Octets of small parts that are read together."""
_ADDRESS_FIELDS: Final = frozenset({b"from", b"to", b"cc", b"bcc", b"sender", b"reply-to"})
_IS_MIXED: Final = re.compile(rb"\(|[ \t]@|@[ \t\r]|[ \t]\.|\.[ \t\r]")
"""What may stand in an address and is no part of it."""
Value = TypeVar("Value")


@dataclass(slots=True)
class Message:
    """One message under the eyes of a search. What was read of it is read once; what cannot be made sense of is empty:
    a search goes on with the other messages."""

    view: View
    index: int
    state: State
    header_octets: bytes | None = None
    header_text: str | None = None
    values: dict[bytes, list[str]] | None = None
    by_name: dict[bytes, list[bytes]] | None = None
    texts: list[str] | None = None

    @property
    def mask(self) -> int:
        """Its flags."""
        return self.view.flags[self.index]

    def header(self) -> bytes:
        """Its header section."""
        if self.header_octets is None:
            part = self.state.parts(self.index)[0]
            with self.view.content(self.index) as content:
                self.header_octets = content.read(0, part.body_start)
        return self.header_octets

    def whole_header(self) -> str:
        """Its header section, decoded and without case."""
        if self.header_text is None:
            self.header_text = self._made(lambda: casemap(decoding.header(self.header())), "")
        return self.header_text

    def fields(self, name: bytes) -> list[str]:
        """The values of the fields ``name`` (in lower case), decoded and without case."""
        if self.values is None:
            self.values = {}
        found = self.values.get(name)
        if found is None:
            found = self.values[name] = self._made(lambda: self._fields(name), list[str]())
        return found

    def _fields(self, name: bytes) -> list[str]:
        # Each field by itself: an encoded word does not go on into the next. One name is looked for, of several all.
        if self.by_name is None and len(self.values or ()) > 0:
            self.by_name = values_by_name(self.header())
        values = values_of(self.header(), name) if self.by_name is None else self.by_name.get(name, ())
        found = [casemap(decoding.header(value)) for value in values]
        if name in _ADDRESS_FIELDS:  # as they are without the comments and white space in them
            found += [casemap(_plain(each)) for value in values if _IS_MIXED.search(value) for each in addresses(value)]
        return found

    def body_texts(self) -> list[str]:
        """The text parts, decoded and without case: the first decoding.TEXT_LIMIT octets of them."""
        if self.texts is None:
            self.texts = self._made(self._body_texts, list[str]())
        return self.texts

    def _body_texts(self) -> list[str]:
        texts: list[str] = []
        left = decoding.TEXT_LIMIT
        window, begin = b"", 0  # many small parts are read together
        with self.view.content(self.index) as content:
            for part in self.state.parts(self.index):
                if part.kind == "text" and left > 0:
                    first, size = part.body_start, min(part.end - part.body_start, left)
                    if first + size > begin + len(window):
                        window, begin = content.read(first, max(size, _TOGETHER)), first
                    octets = window[first - begin : first - begin + size]
                    left -= len(octets)
                    texts.append(casemap(decoding.text_of(octets, part)))
        return texts

    def sent_day(self) -> int | None:
        """The day of the Date field, whatever its time zone (RFC 9051 6.4.4), in days since 1970."""
        return self._made(self._sent_day, None)

    def _sent_day(self) -> int | None:
        sent = dates.parse(self.state.parts(self.index)[0].fields.get("date", b""))
        return None if sent is None else (sent.date() - _EPOCH).days

    def _made(self, make: Callable[[], Value], poor: Value) -> Value:
        try:
            return make()
        except Exception as fault:  # noqa: BLE001 - is_poison() raises again what is an answer
            self.state.is_poison(self.index, fault)
            return poor


def _plain(address: Mailbox) -> str:
    """``local@domain``."""
    local = (address.local or b"").decode("utf-8", "replace")
    return f"{local}@{address.domain.decode('utf-8', 'replace')}" if address.domain else local


Test = Callable[[Message], bool]


class Key(NamedTuple):
    """One key."""

    cost: int
    test: Test


@dataclass(slots=True)
class Parsing:
    """What is known while a search is read."""

    state: State
    tokens: Tokens
    charset: str = "us-ascii"
    keys: int = 0
    has_modseq: bool = field(default=False)
    saved_or_none: frozenset[int] | None = None

    def saved(self) -> Key:
        """``$``."""
        if self.saved_or_none is None:
            self.saved_or_none = frozenset(self.state.saved)
        saved = self.saved_or_none
        return Key(FREE, lambda message: message.view.uids[message.index] in saved)


def keys(parsing: Parsing, depth: int = 0) -> Key:
    """All keys up to the end, or the closing parenthesis: joined."""
    found = [key(parsing, depth)]
    while not parsing.tokens.is_at_end and parsing.tokens.peek() != CLOSE:
        parsing.tokens.space()
        found.append(key(parsing, depth))
    return joined(found)


def joined(found: list[Key]) -> Key:
    """All of them, the cheap ones first."""
    if len(found) == 1:
        return found[0]
    tests = [each.test for each in sorted(found, key=lambda each: each.cost)]
    return Key(max(each.cost for each in found), lambda message: all(test(message) for test in tests))


def key(parsing: Parsing, depth: int) -> Key:
    """The next key."""
    parsing.keys += 1
    if parsing.keys > MAX_KEYS or depth > MAX_DEPTH:
        raise Bad("the search is too large", "TOOMANY")
    tokens = parsing.tokens
    sign = tokens.peek()
    if tokens.skip(OPEN):
        inner = keys(parsing, depth + 1)
        tokens.expect(CLOSE)
        return inner
    if sign == ord("*") or 48 <= sign <= 57:
        return _among(parsing, tokens.sequence_set(), by_uid=False)
    if tokens.skip(ord("$")):
        return parsing.saved()
    word = tokens.word()
    if word in _FLAGS:
        bits, wanted = _FLAGS[word]
        return Key(FREE, lambda message: bool(message.mask & bits) == wanted)
    match word:
        case b"ALL" | b"SAVEDATESUPPORTED":
            return Key(FREE, lambda _message: True)
        case b"NEW":
            return Key(FREE, lambda message: message.mask & (RECENT | SEEN) == RECENT)
        case b"NOT":
            tokens.space()
            inner = key(parsing, depth + 1)
            return Key(inner.cost, lambda message: not inner.test(message))
        case b"OR":
            tokens.space()
            one = key(parsing, depth + 1)
            tokens.space()
            other = key(parsing, depth + 1)
            one, other = sorted((one, other), key=lambda each: each.cost)
            return Key(other.cost, lambda message: one.test(message) or other.test(message))
    make = _MAKERS.get(word)
    if make is None:
        raise Bad("this is no search key")
    tokens.space()
    return make(parsing)


# ---- keys with arguments --------------------------------------------------------------------------------------------


def _text(parsing: Parsing) -> str:
    octets = parsing.tokens.astring()
    try:
        return casemap(charsets.decode_strictly(octets, "utf-8" if parsing.tokens.utf8 else parsing.charset))
    except ValueError:
        raise No("This string is not in the charset of the search", "CANNOT") from None


def _among(parsing: Parsing, ranges: Ranges, *, by_uid: bool) -> Key:
    view = parsing.state.view
    if by_uid:
        is_member = members(ranges, view.uids[-1] if view.uids else 0)
        return Key(FREE, lambda message: is_member(message.view.uids[message.index]))
    count = len(view)
    require_numbers(ranges, count)
    is_member = members(ranges, count)
    return Key(FREE, lambda message: is_member(message.index + 1))


def _uid(parsing: Parsing) -> Key:
    if parsing.tokens.skip(ord("$")):
        return parsing.saved()
    return _among(parsing, parsing.tokens.sequence_set(), by_uid=True)


def _field(name: bytes) -> Callable[[Parsing], Key]:
    folded = name.lower()

    def make(parsing: Parsing) -> Key:
        wanted = _text(parsing)
        return Key(HEADER, lambda message: any(wanted in value for value in message.fields(folded)))

    return make


def _header(parsing: Parsing) -> Key:
    name = parsing.tokens.astring()
    parsing.tokens.space()
    return _field(name)(parsing)


def _body(parsing: Parsing) -> Key:
    wanted = _text(parsing)
    return Key(CONTENT, lambda message: any(wanted in text for text in message.body_texts()))


def _anywhere(parsing: Parsing) -> Key:
    wanted = _text(parsing)

    def test(message: Message) -> bool:
        if wanted in message.whole_header():
            return True
        return any(wanted in text for text in message.body_texts())

    return Key(CONTENT, test)


def _keyword(wanted: bool) -> Callable[[Parsing], Key]:
    def make(parsing: Parsing) -> Key:
        name = parsing.tokens.atom().decode("ascii").lower()
        numbers = (number for number, known in enumerate(parsing.state.view.keywords) if known.lower() == name)
        bits = sum(1 << FIRST_KEYWORD + number for number in numbers)
        return Key(FREE, lambda message: bool(message.mask & bits) == wanted)

    return make


def _size(is_larger: bool) -> Callable[[Parsing], Key]:
    def make(parsing: Parsing) -> Key:
        bound = parsing.tokens.number(2**63 - 1)
        if is_larger:
            return Key(CHEAP, lambda message: message.view.size(message.index) > bound)
        return Key(CHEAP, lambda message: message.view.size(message.index) < bound)

    return make


def _day_of(parsing: Parsing) -> int:
    octets = parsing.tokens.quoted() if parsing.tokens.peek() == ord('"') else parsing.tokens.atom()
    return int(date(octets).timestamp()) // _DAY


def _dated(day: Callable[[Message], int | None], cost: int, how: str) -> Callable[[Parsing], Key]:
    def make(parsing: Parsing) -> Key:
        bound = _day_of(parsing)

        def test(message: Message) -> bool:
            found = day(message)
            if found is None:
                return False
            return found < bound if how == "before" else found == bound if how == "on" else found >= bound

        return Key(cost, test)

    return make


def _within(is_older: bool) -> Callable[[Parsing], Key]:
    """OLDER and YOUNGER (RFC 5032)."""

    def make(parsing: Parsing) -> Key:
        seconds = parsing.tokens.number()
        if not seconds:
            raise Bad("an age has at least one second")
        bound = parsing.state.now() - seconds
        if is_older:
            return Key(CHEAP, lambda message: message.view.internal_date(message.index) <= bound)
        return Key(CHEAP, lambda message: message.view.internal_date(message.index) >= bound)

    return make


def _modseq(parsing: Parsing) -> Key:
    """RFC 7162 3.1.5; entries are read and say nothing more, since flags have one MODSEQ together."""
    if parsing.tokens.peek() == ord('"'):
        parsing.tokens.quoted()
        parsing.tokens.space()
        if parsing.tokens.word() not in {b"PRIV", b"SHARED", b"ALL"}:
            raise Bad("an entry is priv, shared or all")
        parsing.tokens.space()
    bound = parsing.tokens.number(2**63 - 1)
    parsing.has_modseq = True
    parsing.state.enable_modseqs()
    return Key(FREE, lambda message: message.view.modseqs[message.index] >= bound)


def _object_id(of: Callable[[Message], str]) -> Callable[[Parsing], Key]:
    def make(parsing: Parsing) -> Key:
        wanted = parsing.tokens.astring().decode("latin-1")
        return Key(CHEAP, lambda message: of(message) == wanted)

    return make


def _arrived(message: Message) -> int:
    return message.view.internal_date(message.index) // _DAY


def _saved(message: Message) -> int:
    return message.view.save_date(message.index) // _DAY


_FLAGS: Final = {
    b"ANSWERED": (ANSWERED, True), b"UNANSWERED": (ANSWERED, False),
    b"DELETED": (DELETED, True), b"UNDELETED": (DELETED, False),
    b"DRAFT": (DRAFT, True), b"UNDRAFT": (DRAFT, False),
    b"FLAGGED": (FLAGGED, True), b"UNFLAGGED": (FLAGGED, False),
    b"SEEN": (SEEN, True), b"UNSEEN": (SEEN, False),
    b"RECENT": (RECENT, True), b"OLD": (RECENT, False),
}  # fmt: skip
_MAKERS: Final[dict[bytes, Callable[[Parsing], Key]]] = {
    b"UID": _uid,
    **{name: _field(name) for name in (b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO")},
    b"HEADER": _header,
    b"BODY": _body,
    b"TEXT": _anywhere,
    b"KEYWORD": _keyword(True),
    b"UNKEYWORD": _keyword(False),
    b"LARGER": _size(True),
    b"SMALLER": _size(False),
    b"OLDER": _within(True),
    b"YOUNGER": _within(False),
    b"MODSEQ": _modseq,
    b"EMAILID": _object_id(lambda message: message.view.email_id(message.index)),
    b"THREADID": _object_id(lambda message: thread_id(message.view, message.index)),
    **{
        prefix + name: _dated(day, cost, name.lower().decode())
        for prefix, day, cost in (
            (b"", _arrived, CHEAP),
            (b"SAVED", _saved, CHEAP),
            (b"SENT", Message.sent_day, HEADER),
        )
        for name in (b"BEFORE", b"ON", b"SINCE")
    },
}
