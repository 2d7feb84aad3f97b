r"""FETCH and UID FETCH (RFC 9051 6.4.5; CONDSTORE and QRESYNC: RFC 7162; BINARY: RFC 3516; PREVIEW: RFC 8970;
SAVEDATE: RFC 8514; OBJECTID: RFC 8474).

Theory: each item writes itself for one message; short values are joined, a long content is passed on in pieces as it
is read, so memory is bounded by the piece. What can be had for a run of messages together is (columns.py). A partial
fetch reads the part alone. ``\Seen`` is set for a run of messages together, before they are sent.

Not here: which messages are answered together (runs.py), sections (sections.py), ENVELOPE and BODYSTRUCTURE
(structure.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple

from relay.imap import columns, decoding, responses, runs, structure
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.fetch_modifiers import Modifiers, read_modifiers
from relay.imap.grammar import OPEN, Ranges, listed, members
from relay.imap.sections import Section, part_number, section
from relay.imap.state import State
from relay.imap.thread_ids import thread_id
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import How, Refusal, Refused
from relay.net import stopping

PIECE: Final = 65536
THREADID, ENVELOPE, BODY, BODYSTRUCTURE, PREVIEW = 20, 21, 22, 23, 24
"""Numbers of what is kept beside a message (View.cache). What is written otherwise than before gets a new number: the
old ones, 16 to 19 and 32 to 63, are in mailboxes still."""
PREVIEW_CHARACTERS: Final = 200
DECODE_LIMIT: Final = 64 * 1024 * 1024
"""Octets of an encoded part that BINARY decodes."""
Piece = Callable[[State, int], Iterator[bytes]]


class Item(NamedTuple):
    """One thing that is fetched."""

    write: Piece
    sees: bool = False
    r"""It sets ``\Seen``."""
    is_content: bool = False
    column: columns.Column | None = None
    """The same for a run of messages, as far as it is known, or can be had together."""
    is_whole: bool = False
    """It is the message itself."""
    poor: bytes = b""
    """What is said where a message's content cannot be made sense of."""


class Wanted(NamedTuple):
    """What follows the set."""

    items: tuple[Item, ...]
    has_flags: bool
    modifiers: Modifiers


def fetch(state: State, tokens: Tokens, *, by_uid: bool) -> Generator[bytes, None, Done | None]:
    """The command behind its name."""
    tokens.space()
    ranges = which(tokens)
    tokens.space()
    wanted = _wanted(state, tokens, by_uid)
    tokens.end()
    view = state.view
    chosen = state.set_of(ranges, by_uid=by_uid)
    changed_since, has_vanished, part = wanted.modifiers
    if part is not None:
        chosen = list(part.of(chosen))
    if changed_since is not None:
        if has_vanished and ranges is not None:
            yield from _vanished(view, ranges, changed_since)
        chosen = [index for index in chosen if view.modseqs[index] > changed_since]
    yield from state.owed()
    has_gone = False
    unread = 0
    refused: No | None = None
    sees = any(item.sees for item in wanted.items) and not view.is_read_only
    for run in runs.neighbours(view, chosen, is_whole=any(item.is_whole for item in wanted.items)):
        stopping.check()
        seen = runs.see(view, run) if sees else frozenset[int]()
        if seen:
            yield from state.owed()
        for known in _known(state, run, wanted) if not seen else run:
            if isinstance(known, bytes):
                yield known
                continue
            stopping.check()
            try:
                yield from _message(state, known, wanted, is_seen=view.uids[known] in seen)
            except Refused as fault:
                if fault.why is not Refusal.EXPUNGED:
                    raise
                has_gone = True
            except OSError:  # of this message alone; the store has told the operator
                unread += 1
                if view.uids[known] in seen:
                    _unsee(view, view.uids[known])
            except No as fault:  # the others are answered all the same (RFC 3516 4.3)
                refused = refused or fault
    return _ending(unread, refused, has_gone=has_gone)


def _ending(unread: int, refused: No | None, *, has_gone: bool) -> Done | None:
    """How the command ends when some messages were not answered as asked: the first reason that counts."""
    if unread:
        what = "One message" if unread == 1 else f"{unread} messages"
        return Done(f"{what} cannot be read", "UNAVAILABLE", "NO")
    if refused is not None:
        return Done(refused.text, refused.code, "NO")
    return Done("Some of the messages are gone", "EXPUNGEISSUED", "NO") if has_gone else None


def row(tokens: Tokens) -> Callable[[State, int], bytes]:
    """``(UID BODY.PEEK[HEADER])`` as what makes the response for a message, which sets no flag (RFC 5465 5.2)."""
    named = [each for found in listed(tokens, lambda: _item(tokens)) for each in found]
    if not named:
        raise Bad("nothing is asked for")
    wanted = Wanted(tuple(item for _, item in named), has_flags=True, modifiers=Modifiers())
    others = tuple(item for name, item in named if name != b"MODSEQ")
    with_modseq = wanted._replace(items=(*others, _SIMPLE[b"MODSEQ"]))

    def write(state: State, index: int) -> bytes:
        return b"".join(_message(state, index, with_modseq if state.has_modseqs else wanted, is_seen=False))

    return write


def which(tokens: Tokens) -> Ranges | None:
    """A sequence set; None for ``$`` (RFC 5182)."""
    return None if tokens.skip(ord("$")) else tokens.sequence_set()


def _unsee(view: View, uid: int) -> None:
    """It could not be shown."""
    with contextlib.suppress(OSError):
        view.store_flags([uid], How.REMOVE, ["\\Seen"])


def _known(state: State, run: list[int], wanted: Wanted) -> list[bytes | int]:
    """The responses that can be written without looking at messages; the index of each message that has none."""
    wanted_columns = [item.column for item in wanted.items if item.column is not None]
    if len(wanted_columns) < len(wanted.items):
        return list[bytes | int](run)
    known = columns.rows(state, run, wanted_columns)
    if any(item.is_content for item in wanted.items):
        state.on_fetched(len(run) - sum(isinstance(each, int) for each in known))
    return known


class TornError(Exception):
    """A message cannot be read on, and its first half is said: no response can follow, so the session ends."""


def _message(state: State, index: int, wanted: Wanted, *, is_seen: bool) -> Iterator[bytes]:
    """The response. TornError when the message cannot be read on and half of it is said; OSError when nothing of it is,
    or all of it, a poor value for what could not be read."""
    head = b"* %d FETCH (" % (index + 1)
    short: list[bytes] = []
    is_first, has_begun = True, False
    failed: Exception | None = None
    for item in wanted.items:
        lead = head if is_first else b" "
        is_first = False
        try:
            for piece in item.write(state, index):  # the first piece comes before anything is said: it may raise
                short.append(lead + piece if lead else piece)
                lead = b""
                if len(piece) >= PIECE:
                    has_begun = True
                    yield b"".join(short)
                    short.clear()
        except Exception as fault:
            if not lead or not item.poor:
                if has_begun and isinstance(fault, OSError):
                    raise TornError(str(fault)) from fault
                raise
            failed = _failed(state, index, fault, is_fatal=not has_begun)
            short.append(lead + item.poor)
    if is_seen and not wanted.has_flags:
        short.append(b" FLAGS " + state.flag_list(state.view.flags[index]))
    short.append(b")\r\n")
    if any(item.is_content for item in wanted.items):
        state.on_fetched(1)
    yield b"".join(short)
    if failed is not None:
        raise failed


def _failed(state: State, index: int, fault: Exception, *, is_fatal: bool) -> Exception | None:
    """What to raise when the response, which goes on without the item that raised ``fault``, is whole. Raises ``fault``
    again when nothing of the response was said (``is_fatal``), unless the message's content is its cause."""
    try:
        state.is_poison(index, fault)
    except Exception:
        if is_fatal:
            raise
        return fault
    return None


def _vanished(view: View, ranges: Ranges, since: int) -> Iterator[bytes]:
    is_member = members(ranges, view.uidnext - 1)
    gone = [uid for uid in view.vanished_since(since) if is_member(uid)]
    if gone:
        yield b"* VANISHED (EARLIER) %b\r\n" % responses.number_set(gone)


# ---- what is wanted -------------------------------------------------------------------------------------------------


def _wanted(state: State, tokens: Tokens, by_uid: bool) -> Wanted:
    names: list[tuple[bytes, Item]] = []

    def one() -> None:
        names.extend(_item(tokens))

    if tokens.peek() == OPEN:
        if not listed(tokens, one):
            raise Bad("nothing is asked for")
    else:
        one()
    modifiers = Modifiers()
    if not tokens.is_at_end:
        tokens.space()
        modifiers = read_modifiers(tokens, by_uid=by_uid, has_vanished=state.has_vanished)
    known = {name for name, _ in names}
    if by_uid and b"UID" not in known:
        names.insert(0, (b"UID", _SIMPLE[b"UID"]))
    if b"MODSEQ" in known or modifiers.changed_since is not None:
        state.enable_modseqs()
    if state.has_modseqs and b"MODSEQ" not in known:  # in each FETCH response from now on (RFC 7162 3.1)
        names.append((b"MODSEQ", _SIMPLE[b"MODSEQ"]))
    return Wanted(tuple(item for _, item in names), b"FLAGS" in known, modifiers)


def _item(tokens: Tokens) -> list[tuple[bytes, Item]]:
    name = _name(tokens)
    if name in _MACROS:
        return [(each, _SIMPLE[each]) for each in _MACROS[name]]
    has_section = tokens.peek() == ord("[")
    if name in {b"BODY", b"BODY.PEEK"} and has_section:
        wanted = section(tokens)
        partial = _partial(tokens)
        is_kept = wanted.picks and not wanted.path and not partial
        is_whole = wanted.is_whole and not partial
        column = columns.kept_fields(_label(wanted)) if is_kept else columns.wholes(b"BODY[]") if is_whole else None
        write = _content(wanted, partial)
        return [(b"", Item(write, name == b"BODY", True, column, is_whole, _label(wanted) + b" NIL"))]
    if name in {b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"} and has_section:
        wanted = section(tokens, is_binary=True)
        if name == b"BINARY.SIZE":
            return [(b"", Item(_binary_size(wanted), poor=b"BINARY.SIZE[%b] 0" % wanted.label()))]
        item = Item(_binary(wanted, _partial(tokens)), sees=name == b"BINARY", is_content=True)
        return [(b"", item._replace(poor=b"BINARY[%b] NIL" % wanted.label()))]
    if name == b"PREVIEW":
        if tokens.peek() == 32 and tokens.octets[tokens.at : tokens.at + 2] == b" (":
            tokens.space()
            if listed(tokens, tokens.word) != [b"LAZY"]:
                raise Bad("PREVIEW has the one modifier LAZY")
        return [(name, Item(_preview, poor=b"PREVIEW NIL"))]
    if name in _SIMPLE:
        return [(name, _SIMPLE[name])]
    raise Bad("this is not known to FETCH")


def _name(tokens: Tokens) -> bytes:
    """An item's name: an atom, but ``[`` ends it."""
    begin = tokens.at
    octets = tokens.octets
    end = begin
    while end < len(octets) and (chr(octets[end]).isalnum() or octets[end] == 46):
        end += 1
    for octet in octets[begin:end]:
        tokens.expect(octet)
    return octets[begin:end].upper()


def _partial(tokens: Tokens) -> tuple[int, int] | None:
    if not tokens.skip(ord("<")):
        return None
    first = tokens.number(2**63 - 1)
    tokens.expect(ord("."))
    count = tokens.number(2**63 - 1)
    tokens.expect(ord(">"))
    if not count:
        raise Bad("a part has at least one octet")
    return first, count


# ---- contents -------------------------------------------------------------------------------------------------------


def _label(wanted: Section) -> bytes:
    return b"BODY[" + wanted.label() + b"]"


def _content(wanted: Section, partial: tuple[int, int] | None) -> Piece:
    label = _label(wanted) + (b"<%d>" % partial[0] if partial else b"")

    def write(state: State, index: int) -> Iterator[bytes]:
        view = state.view
        with view.content(index) as content:
            span = (0, content.size) if wanted.is_whole else wanted.span(state.parts(index), content.size)
            if span is None:
                yield label + b" NIL"
                return
            first, last = span
            if wanted.picks:
                picked = wanted.pick(content.read(first, last - first))
                if partial:
                    picked = picked[partial[0] : partial[0] + partial[1]]
                response = label + b" " + responses.literal(picked)
                if not wanted.path and not partial:
                    columns.keep_fields(view, index, label, response)
                yield response
                return
            if partial:
                first = min(first + partial[0], last)
                last = min(first + partial[1], last)
            yield label + b" {%d}\r\n" % (last - first)
            while first < last:
                octets = content.read(first, min(PIECE, last - first))
                if not octets:
                    raise OSError("a message is shorter than it was")
                first += len(octets)
                yield responses.mask_nuls(octets)

    return write


def _decoded(state: State, index: int, wanted: Section) -> bytes | None:
    """The part, its transfer encoding undone; None when there is no such part. No (UNKNOWN-CTE) when it cannot be."""
    view = state.view
    parts = state.parts(index)
    number = part_number(parts, wanted.path)
    if number is None:
        return None
    with view.content(index) as content:
        if not wanted.path:
            return content.read(0, content.size) if content.size <= DECODE_LIMIT else None
        part = parts[number]
        if part.end - part.body_start > DECODE_LIMIT or (not part.encoding and part.kind != "multipart"):
            raise No("The encoding of this part is not known", "UNKNOWN-CTE")
        return decoding.body(content.read(part.body_start, part.end - part.body_start), part.encoding)


def _binary(wanted: Section, partial: tuple[int, int] | None) -> Piece:
    label = b"BINARY[" + wanted.label() + b"]" + (b"<%d>" % partial[0] if partial else b"")

    def write(state: State, index: int) -> Iterator[bytes]:
        octets = _decoded(state, index, wanted)
        if octets is None:
            yield label + b" NIL"
            return
        if partial:
            octets = octets[partial[0] : partial[0] + partial[1]]
        yield label + b" " + responses.literal8(octets)

    return write


def _binary_size(wanted: Section) -> Piece:
    def write(state: State, index: int) -> Iterator[bytes]:
        octets = _decoded(state, index, wanted)
        yield b"BINARY.SIZE[%b] %d" % (wanted.label(), len(octets or b""))

    return write


# ---- the others -----------------------------------------------------------------------------------------------------


def _cached(kind: int, label: bytes, make: Callable[[State, int], bytes], poor: bytes = b"NIL") -> Item:
    def write(state: State, index: int) -> Iterator[bytes]:
        view = state.view
        octets = view.cached(index, kind)
        if octets is None:
            octets = make(state, index)
            view.cache(index, kind, octets)
        yield label + octets

    return Item(write, column=columns.kept(kind, label), poor=label + poor)


def _short(make: Callable[[State, int], bytes], column: columns.Column | None = None) -> Item:
    def write(state: State, index: int) -> Iterator[bytes]:
        yield make(state, index)

    return Item(write, column=column)


def _preview(state: State, index: int) -> Iterator[bytes]:
    view = state.view
    octets = view.cached(index, PREVIEW)
    if octets is None:
        octets = decoding.preview(view, index, PREVIEW_CHARACTERS).encode()
        view.cache(index, PREVIEW, octets)
    yield b"PREVIEW " + responses.string(octets)


def _rfc822(label: bytes, text: bytes, *, sees: bool) -> Item:
    inner = _content(Section(text=text), None)
    skipped = len(b"BODY[" + text + b"]")

    def write(state: State, index: int) -> Iterator[bytes]:
        pieces = inner(state, index)
        yield label + next(pieces)[skipped:]
        yield from pieces

    return Item(write, sees=sees, is_content=True, poor=label + b" NIL")


_SIMPLE: Final[dict[bytes, Item]] = {
    b"UID": _short(lambda state, index: b"UID %d" % state.view.uids[index], columns.uids),
    b"FLAGS": _short(lambda state, index: b"FLAGS " + state.flag_list(state.view.flags[index]), columns.flags),
    b"MODSEQ": _short(lambda state, index: b"MODSEQ (%d)" % state.view.modseqs[index], columns.modseqs),
    b"INTERNALDATE": _short(
        lambda state, index: b"INTERNALDATE " + responses.internal_date(state.view.internal_date(index)),
        columns.internal_dates,
    ),
    b"SAVEDATE": _short(lambda state, index: b"SAVEDATE " + responses.internal_date(state.view.save_date(index))),
    b"RFC822.SIZE": _short(lambda state, index: b"RFC822.SIZE %d" % state.view.size(index), columns.sizes),
    b"EMAILID": _short(lambda state, index: b"EMAILID (" + state.view.email_id(index).encode() + b")"),
    b"THREADID": _cached(THREADID, b"THREADID ", lambda state, index: f"({thread_id(state.view, index)})".encode()),
    b"ENVELOPE": _cached(
        ENVELOPE,
        b"ENVELOPE ",
        lambda state, index: structure.envelope(state.parts(index)[0].fields),
        structure.NO_ENVELOPE,
    ),
    b"BODY": _cached(
        BODY, b"BODY ", lambda state, index: structure.body(state.parts(index), is_extended=False), structure.NO_BODY
    ),
    b"BODYSTRUCTURE": _cached(
        BODYSTRUCTURE,
        b"BODYSTRUCTURE ",
        lambda state, index: structure.body(state.parts(index), is_extended=True),
        structure.NO_BODY,
    ),
    b"RFC822": _rfc822(b"RFC822", b"", sees=True),
    b"RFC822.HEADER": _rfc822(b"RFC822.HEADER", b"HEADER", sees=False),
    b"RFC822.TEXT": _rfc822(b"RFC822.TEXT", b"TEXT", sees=True),
}
_MACROS: Final = {
    b"FAST": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"),
    b"ALL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"),
    b"FULL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"),
}
