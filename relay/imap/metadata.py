"""GETMETADATA and SETMETADATA (RFC 5464): annotations of mailboxes and, under the empty name, of the server.

Each account sees the server's annotations as its own: there is nobody to share them with. Two entries are worked out:
``/shared/admin`` of the server, which nobody may set, and ``/private/specialuse`` of a mailbox (RFC 6154 4), which is
its special uses. Not here: where annotations are kept (relay/mailbox/metadata.py).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Final, NamedTuple

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.grammar import CLOSE, OPEN, listed, mailbox
from relay.imap.responses import astring, literal8, string
from relay.imap.state import State
from relay.mailbox.vocabulary import Refusal, Refused

MAX_VALUE: Final = 16_384
"""Octets (4.1: at least 1024)."""
MAX_ENTRY: Final = 256
"""Octets of a name."""
ADMIN: Final = "/shared/admin"
SPECIAL_USE: Final = "/private/specialuse"
_BELOW: Final = {b"0": 0, b"1": 1, b"INFINITY": MAX_ENTRY}
Running = Generator[bytes, None, Done | None]


class Options(NamedTuple):
    """What GETMETADATA has in parentheses."""

    max_size: int | None = None
    depth: int = 0
    """Levels below the entries that are asked for."""


def get_metadata(state: State, tokens: Tokens) -> Running:
    """``GETMETADATA INBOX (MAXSIZE 1024 DEPTH 1) (/shared/comment)``; the options may also come first, as they do in
    the grammar (5) where the examples have them behind."""
    tokens.space()
    options = _options(tokens) if tokens.peek() == OPEN else None
    name = mailbox(tokens)
    tokens.space()
    if options is None and tokens.peek() == OPEN and tokens.octets[tokens.at + 1 : tokens.at + 2] in b"MmDd":
        options = _options(tokens)
    entries = [_entry(each) for each in _list(tokens)]
    tokens.end()
    options = options or Options()
    known = _known(state, name)
    wanted = {entry: known.get(entry) for entry in entries if options.depth == 0 or entry in known}
    wanted |= {
        entry: known[entry] for entry in sorted(known) if any(_is_below(entry, each, options.depth) for each in entries)
    }
    longest = 0
    shown: list[bytes] = []
    for entry, value in wanted.items():
        if value is not None and options.max_size is not None and len(value) > options.max_size:
            longest = max(longest, len(value))
        else:
            shown.append(astring(entry.encode()) + b" " + _value(value))
    if shown:
        yield b"* METADATA %b (%b)\r\n" % (state.name(name), b" ".join(shown))
    return Done("", f"METADATA LONGENTRIES {longest}") if longest else None


def set_metadata(state: State, tokens: Tokens) -> Running:
    """``SETMETADATA INBOX (/private/comment "mine" /shared/comment NIL)``: all of them, or none."""
    tokens.space()
    name = mailbox(tokens)
    tokens.space()
    pairs = listed(tokens, lambda: _pair(tokens))
    tokens.end()
    if not pairs:
        raise Bad("nothing is to be set")
    changes = dict(pairs)
    for value in changes.values():
        if value is not None and len(value) > MAX_VALUE:
            raise No("This value is too long", f"METADATA MAXSIZE {MAX_VALUE}")
    if not name and ADMIN in changes:
        raise No("This entry cannot be changed", "CANNOT")
    uses = changes.pop(SPECIAL_USE, b"") if name else b""
    if uses != b"":
        _set_special_uses(state, name, (uses or b"").split(), changes)
    else:
        _annotate(state, name, changes)
    yield b""  # a generator, like the others
    return None


def _known(state: State, name: str) -> Mapping[str, bytes]:
    found = dict(state.store.annotations(name))
    if not name:
        return {**found, ADMIN: f"mailto:postmaster@{state.hostname}".encode()}
    if uses := _special_uses(state, name):
        found[SPECIAL_USE] = " ".join(uses).encode()
    return found


def _special_uses(state: State, name: str) -> Sequence[str]:
    folded = "INBOX" if name.upper() == "INBOX" else name
    return next((each.special_use for each in state.store.list() if each.name == folded), ())


def _set_special_uses(state: State, name: str, uses: list[bytes], changes: Mapping[str, bytes | None]) -> None:
    before = _special_uses(state, name)
    try:
        state.store.set_special_use(name, [_use(each) for each in uses])
    except Refused as fault:
        if fault.why is Refusal.CANNOT:
            raise No("This mailbox cannot have this special use", "USEATTR") from None
        raise
    try:
        _annotate(state, name, changes)
    except (Refused, No):
        state.store.set_special_use(name, before)
        raise


def _use(octets: bytes) -> str:
    return octets[:1].decode("latin-1") + octets[1:].decode("latin-1").capitalize()


def _annotate(state: State, name: str, changes: Mapping[str, bytes | None]) -> None:
    try:
        state.store.annotate(name, changes)
    except Refused as fault:
        if fault.why is Refusal.LIMIT:
            raise No("There are as many annotations as there may be", "METADATA TOOMANY") from None
        raise


def _options(tokens: Tokens) -> Options:
    found = Options()
    tokens.expect(OPEN)
    while True:
        word = tokens.word()
        tokens.space()
        if word == b"MAXSIZE":
            found = found._replace(max_size=tokens.number())
        elif word == b"DEPTH":
            depth = _BELOW.get(tokens.word())
            if depth is None:
                raise Bad("DEPTH is 0, 1 or infinity")
            found = found._replace(depth=depth)
        else:
            raise Bad("GETMETADATA has the options MAXSIZE and DEPTH")
        if tokens.skip(CLOSE):
            tokens.space()
            return found
        tokens.space()


def _list(tokens: Tokens) -> list[bytes]:
    """One entry, entries in parentheses or, as the examples of 4.4.1 have them, without."""
    if tokens.peek() == OPEN:
        found = listed(tokens, tokens.astring)
        if not found:
            raise Bad("no entry is named")
        return found
    found = [tokens.astring()]
    while tokens.skip(32):
        found.append(tokens.astring())
    return found


def _pair(tokens: Tokens) -> tuple[str, bytes | None]:
    entry = _entry(tokens.astring())
    levels = entry.split("/")[1:]
    if len(levels) < (4 if levels[1:2] == ["vendor"] else 2):
        raise Bad("annotations are below /private or /shared, those of a vendor below its name")
    tokens.space()
    return entry, tokens.nstring()


def _entry(octets: bytes) -> str:
    """A name (3.2), or one above names, in lower case. Bad for what is none."""
    name = octets.decode("latin-1").lower()
    levels = name.split("/")[1:]
    is_name = name.isascii() and name.isprintable() and not set(name) & set(' *%"\\')
    if not is_name or not name.startswith("/") or "" in levels or len(name) > MAX_ENTRY:
        raise Bad("this is no name of an annotation")
    if levels[0] not in {"private", "shared"}:
        raise Bad("annotations are below /private or /shared")
    return name


def _is_below(entry: str, above: str, depth: int) -> bool:
    rest = entry.removeprefix(above + "/")
    return rest != entry and rest.count("/") < depth


def _value(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    return literal8(value) if b"\0" in value else string(value)
