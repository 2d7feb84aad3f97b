"""LIST and LSUB (RFC 9051 6.3.9; LIST-EXTENDED: RFC 5258, LIST-STATUS: RFC 5819, SPECIAL-USE: RFC 6154) and STATUS."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final, NamedTuple

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done
from relay.imap.grammar import OPEN, listed, mailbox, mailbox_text
from relay.imap.responses import astring
from relay.imap.state import State
from relay.mailbox import names
from relay.mailbox.vocabulary import SEPARATOR, Listed, Refused, Status

MAX_PATTERNS: Final = 50
MAX_WILDCARDS: Final = 20
Running = Generator[bytes, None, Done | None]


class Wanted(NamedTuple):
    """What LIST asks for."""

    patterns: tuple[Pattern, ...]
    selection: frozenset[bytes] = frozenset()
    returns: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()


def list_(state: State, tokens: Tokens) -> Running:
    """LIST."""
    tokens.space()
    selection: frozenset[bytes] = frozenset()
    if tokens.peek() == OPEN:
        selection = frozenset(listed(tokens, tokens.word))
        tokens.space()
    reference = mailbox(tokens)
    tokens.space()
    is_extended = tokens.peek() == OPEN
    patterns = listed(tokens, tokens.list_mailbox) if is_extended else [tokens.list_mailbox()]
    returns, status = _returns(tokens)
    tokens.end()
    _check(selection, returns, patterns)
    if not is_extended and patterns == [b""] and not selection:
        yield b'* LIST (\\Noselect) "/" ""\r\n'
        return None
    wanted = Wanted(
        tuple(_pattern(reference, mailbox_text(each, utf8=state.utf8)) for each in patterns), selection, returns, status
    )
    every = state.store.list()
    above_subscribed = _above_subscribed(every) if b"RECURSIVEMATCH" in selection else frozenset[str]()
    for each in every:
        yield from _one(state, wanted, each, above_subscribed)
        yield b""  # a turn may end here
    return None


def lsub(state: State, tokens: Tokens) -> Running:
    """LSUB (RFC 3501 6.3.9): with ``%``, levels above what is subscribed are shown, too."""
    tokens.space()
    reference = mailbox(tokens)
    tokens.space()
    text = mailbox_text(tokens.list_mailbox(), utf8=state.utf8)
    tokens.end()
    pattern = _pattern(reference, text)
    every = state.store.list()
    above_subscribed = _above_subscribed(every) if "%" in text else frozenset[str]()
    for each in every:
        yield b""  # a turn may end here
        if not pattern.match(each.name):
            continue
        if each.subscribed:
            yield b'* LSUB () "/" %b\r\n' % state.name(each.name)
        elif each.name in above_subscribed:
            yield b'* LSUB (\\Noselect) "/" %b\r\n' % state.name(each.name)
    return None


def status(state: State, tokens: Tokens) -> Running:
    """STATUS (RFC 9051 6.3.11)."""
    tokens.space()
    name = mailbox(tokens)
    tokens.space()
    items = _status_items(tokens)
    tokens.end()
    yield _status(state, name, items, state.store.status(name))
    return None


def _status_items(tokens: Tokens) -> tuple[bytes, ...]:
    items = tuple(listed(tokens, tokens.word))
    if not items or any(item not in _STATUS for item in items):
        raise Bad("STATUS is asked for " + ", ".join(name.decode() for name in _STATUS))
    return items


def _status(state: State, name: str, items: Sequence[bytes], found: Status) -> bytes:
    if b"HIGHESTMODSEQ" in items:
        state.enable_modseqs()
    values = b" ".join(item + b" " + _status_value(item, found) for item in items)
    return b"* STATUS %b (%b)\r\n" % (state.name(name), values)


def _status_value(item: bytes, found: Status) -> bytes:
    if item == b"MAILBOXID":
        return b"(" + astring(found.mailbox_id.encode()) + b")"
    return str(getattr(found, _STATUS[item])).encode()


def _returns(tokens: Tokens) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    if tokens.is_at_end:
        return frozenset(), ()
    tokens.space()
    if tokens.word() != b"RETURN":
        raise Bad("RETURN is what may follow the patterns")
    tokens.space()
    status: tuple[bytes, ...] = ()

    def one() -> bytes:
        nonlocal status
        word = tokens.word()
        if word == b"STATUS":
            tokens.space()
            status = _status_items(tokens)
        return word

    return frozenset(listed(tokens, one)), status


def _check(selection: frozenset[bytes], returns: frozenset[bytes], patterns: Sequence[bytes]) -> None:
    if selection - {b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"}:
        raise Bad("this selection option is not known to LIST")
    if b"RECURSIVEMATCH" in selection and not selection & {b"SUBSCRIBED", b"SPECIAL-USE"}:
        raise Bad("RECURSIVEMATCH goes with another selection option (RFC 5258 3)")
    if returns - {b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"STATUS"}:
        raise Bad("this return option is not known to LIST")
    if not patterns:
        raise Bad("a pattern is missing")
    if len(patterns) > MAX_PATTERNS:
        raise Bad("too many patterns", "TOOMANY")


class Pattern:
    """``*`` is anything, ``%`` anything within a level; INBOX in any case.

    Matching takes at most pattern x name steps, whatever the pattern: all places where one may be are followed
    together.
    """

    def __init__(self, text: str) -> None:
        is_inbox = text[:5].upper() == "INBOX" and text[5:6] in {"", SEPARATOR, "*", "%"}
        self._text = "INBOX" + text[5:] if is_inbox else text

    def match(self, name: str) -> bool:
        """Whether it matches the whole of ``name``."""
        places = self._reach({0})
        for sign in name:
            following = {at for at in places if at < len(self._text) and self._stays(at, sign)}
            following |= {at + 1 for at in places if at < len(self._text) and self._text[at] == sign}
            places = self._reach(following)
            if not places:
                return False
        return len(self._text) in places

    def _stays(self, at: int, sign: str) -> bool:
        return self._text[at] == "*" or (self._text[at] == "%" and sign != SEPARATOR)

    def _reach(self, places: set[int]) -> set[int]:
        """With the places behind wildcards that stand for nothing."""
        reached = set(places)
        for place in places:
            at = place
            while at < len(self._text) and self._text[at] in "*%":
                at += 1
                reached.add(at)
        return reached


def _pattern(reference: str, text: str) -> Pattern:
    whole = reference + text
    if sum(whole.count(sign) for sign in "*%") > MAX_WILDCARDS:
        raise Bad("too many wildcards in a pattern", "TOOMANY")
    return Pattern(whole)


def _one(state: State, wanted: Wanted, each: Listed, above_subscribed: frozenset[str]) -> Iterator[bytes]:
    if not any(pattern.match(each.name) for pattern in wanted.patterns):
        return
    selection = wanted.selection
    below = ""
    if b"SUBSCRIBED" in selection:
        is_chosen = each.subscribed
        if each.name in above_subscribed:
            below = ' ("CHILDINFO" ("SUBSCRIBED"))'
    elif b"SPECIAL-USE" in selection:
        is_chosen = bool(each.special_use)
    else:
        is_chosen = each.exists or each.has_children
    if b"SPECIAL-USE" in selection and not each.special_use:
        is_chosen = False
    if not is_chosen and not below:
        return
    attributes = _attributes(each, wanted)
    yield f'* LIST ({" ".join(attributes)}) "/" '.encode() + state.name(each.name) + below.encode() + b"\r\n"
    if wanted.status and each.exists:
        try:
            yield _status(state, each.name, wanted.status, state.store.status(each.name))
        except (Refused, OSError):  # deleted meanwhile, or not readable: LIST-STATUS leaves it out (RFC 5819 2)
            return


def _attributes(each: Listed, wanted: Wanted) -> list[str]:
    attributes: list[str] = []
    if not each.exists:
        attributes.append("\\NonExistent")
        if not wanted.returns and not wanted.selection:
            attributes = ["\\Noselect"]
    if each.subscribed and (b"SUBSCRIBED" in wanted.returns or b"SUBSCRIBED" in wanted.selection):
        attributes.append("\\Subscribed")
    attributes.append("\\HasChildren" if each.has_children else "\\HasNoChildren")
    return [*attributes, *each.special_use]


def _above_subscribed(every: Sequence[Listed]) -> frozenset[str]:
    """The names that have a subscribed one below them."""
    return frozenset(above for each in every if each.subscribed for above in names.parents(each.name))


_STATUS: Final = {
    b"MESSAGES": "messages",
    b"RECENT": "recent",
    b"UNSEEN": "unseen",
    b"DELETED": "deleted",
    b"SIZE": "size",
    b"UIDNEXT": "uidnext",
    b"UIDVALIDITY": "uidvalidity",
    b"HIGHESTMODSEQ": "highestmodseq",
    b"MAILBOXID": "mailbox_id",
}
