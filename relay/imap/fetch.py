r"""FETCH and UID FETCH (RFC 9051 6.4.5; CONDSTORE and QRESYNC: RFC 7162; BINARY: RFC 3516; PREVIEW: RFC 8970;
SAVEDATE: RFC 8514; OBJECTID: RFC 8474).

Theory: each item writes itself for one message; short values are joined, a long content is passed on in pieces as it
is read, so memory is bounded by the piece. What can be had for a run of messages together is (columns.py). A partial
fetch reads the part alone. ``\Seen`` is set for a run of messages together, before they are sent.

Not here: sections (sections.py), ENVELOPE and BODYSTRUCTURE (structure.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from relay.imap import columns, decoding, responses, structure
from relay.imap._tokens import Tokens
from relay.imap.endings import Done
from relay.imap.faults import Bad, No
from relay.imap.grammar import OPEN, Ranges, listed, members
from relay.imap.modifiers import Modifiers, read_modifiers
from relay.imap.sections import Section, part_number, section
from relay.imap.state import State
from relay.imap.thread_ids import thread_id
from relay.mailbox.ports import View
from relay.mailbox.vocabulary import SEEN, How, Refusal, Refused
from relay.net import stopping

PIECE: Final = 65536
TOGETHER: Final = 262_144
"""Octets of messages that are read together."""
RUN: Final = 100
r"""Messages whose ``\Seen`` is set together."""
ENVELOPE, BODY, BODYSTRUCTURE, PREVIEW, THREADID = 16, 17, 18, 19, 20
"""Numbers of what is kept beside a message (View.cache)."""
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
    has_gone = False
    sees = any(item.sees for item in wanted.items) and not view.is_read_only
    for run in _runs(view, chosen, wanted):
        stopping.check()
        seen = _see(view, run) if sees else frozenset[int]()
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


def _runs(view: View, chosen: list[int], wanted: Wanted) -> Iterator[list[int]]:
    """Neighbours that are answered together; when they are sent whole, at most TOGETHER octets."""
    is_whole = any(item.is_whole for item in wanted.items)
    begin = 0
    while begin < len(chosen):
        run = chosen[begin : begin + RUN]
        if is_whole:
            run = run[: _fitting(view, run)]
        begin += len(run)
        yield run


def _fitting(view: View, run: list[int]) -> int:
    """How many of them, at least one, have at most TOGETHER octets."""
    try:
        sizes = list(accumulate(view.sizes(run)))
    except Refused:  # one of them is gone: they are told apart one by one
        return 1
    return max(1, bisect_right(sizes, TOGETHER))


def which(tokens: Tokens) -> Ranges | None:
    """A sequence set; None for ``$`` (RFC 5182)."""
    return None if tokens.skip(ord("$")) else tokens.sequence_set()


def _see(view: View, run: list[int]) -> frozenset[int]:
    """Marks messages as seen; the UIDs of those whose flags are not those before, also because of somebody else."""
    unseen = {index: view.flags[index] for index in run if not view.flags[index] & SEEN}
    if not unseen:
        return frozenset()
    view.store_flags([view.uids[index] for index in unseen], How.ADD, ["\\Seen"])
    return frozenset(view.uids[index] for index, before in unseen.items() if view.flags[index] != before)


def _known(state: State, run: list[int], wanted: Wanted) -> list[bytes | int]:
    """The responses that can be written without looking at messages; the index of each message that has none."""
    wanted_columns = [item.column for item in wanted.items if item.column is not None]
    if len(wanted_columns) < len(wanted.items):
        return list[bytes | int](run)
    known = columns.rows(state, run, wanted_columns)
    if any(item.is_content for item in wanted.items):
        state.on_fetched(len(run) - sum(isinstance(each, int) for each in known))
    return known


def _message(state: State, index: int, wanted: Wanted, *, is_seen: bool) -> Iterator[bytes]:
    head = b"* %d FETCH (" % (index + 1)
    short: list[bytes] = []
    is_first = True
    for item in wanted.items:
        lead = head if is_first else b" "
        is_first = False
        for piece in item.write(state, index):  # the first piece comes before anything is said: it may raise
            short.append(lead + piece if lead else piece)
            lead = b""
            if len(piece) >= PIECE:
                yield b"".join(short)
                short.clear()
    if is_seen and not wanted.has_flags:
        short.append(b" FLAGS " + state.flag_list(state.view.flags[index]))
    short.append(b")\r\n")
    if any(item.is_content for item in wanted.items):
        state.on_fetched(1)
    yield b"".join(short)


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
        state.enabled.add("CONDSTORE")
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
        return [(b"", Item(_content(wanted, partial), name == b"BODY", True, column, is_whole))]
    if name in {b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"} and has_section:
        wanted = section(tokens, is_binary=True)
        if name == b"BINARY.SIZE":
            return [(b"", Item(_binary_size(wanted)))]
        return [(b"", Item(_binary(wanted, _partial(tokens)), sees=name == b"BINARY", is_content=True))]
    if name == b"PREVIEW":
        if tokens.peek() == 32 and tokens.octets[tokens.at : tokens.at + 2] == b" (":
            tokens.space()
            if listed(tokens, tokens.word) != [b"LAZY"]:
                raise Bad("PREVIEW has the one modifier LAZY")
        return [(name, Item(_preview))]
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
            span = (0, content.size) if wanted.is_whole else wanted.span(view.parts(index), content.size)
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
                yield octets

    return write


def _decoded(state: State, index: int, wanted: Section) -> bytes | None:
    """The part, its transfer encoding undone; None when there is no such part. No (UNKNOWN-CTE) when it cannot be."""
    view = state.view
    parts = view.parts(index)
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
        yield label + b" " + (b"~" if b"\0" in octets else b"") + responses.literal(octets)

    return write


def _binary_size(wanted: Section) -> Piece:
    def write(state: State, index: int) -> Iterator[bytes]:
        octets = _decoded(state, index, wanted)
        yield b"BINARY.SIZE[%b] %d" % (wanted.label(), len(octets or b""))

    return write


# ---- the others -----------------------------------------------------------------------------------------------------


def _cached(kind: int, label: bytes, make: Callable[[View, int], bytes]) -> Item:
    def write(state: State, index: int) -> Iterator[bytes]:
        view = state.view
        octets = view.cached(index, kind)
        if octets is None:
            octets = make(view, index)
            view.cache(index, kind, octets)
        yield label + octets

    return Item(write, column=columns.kept(kind, label))


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

    return Item(write, sees=sees, is_content=True)


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
    b"THREADID": _cached(THREADID, b"THREADID ", lambda view, index: f"({thread_id(view, index)})".encode()),
    b"ENVELOPE": _cached(ENVELOPE, b"ENVELOPE ", lambda view, index: structure.envelope(view.parts(index)[0].fields)),
    b"BODY": _cached(BODY, b"BODY ", lambda view, index: structure.body(view.parts(index), is_extended=False)),
    b"BODYSTRUCTURE": _cached(
        BODYSTRUCTURE, b"BODYSTRUCTURE ", lambda view, index: structure.body(view.parts(index), is_extended=True)
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
