"""SEARCH, SORT, THREAD and their UID forms (RFC 9051 6.4.4; ESEARCH: RFC 4731, SEARCHRES: RFC 5182, SORT and THREAD:
RFC 5256, ESORT: RFC 5267 3, SORT=DISPLAY: RFC 5957)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from relay.imap import decoding, ordering, threads
from relay.imap._tokens import Tokens
from relay.imap.endings import Done
from relay.imap.faults import Bad, No
from relay.imap.grammar import listed
from relay.imap.responses import number_set, string
from relay.imap.search_keys import Key, Message, Parsing, keys
from relay.imap.state import State
from relay.mailbox.vocabulary import Refusal, Refused

Running = Generator[bytes, None, Done | None]
_OPTIONS: Final = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE"})


def search(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """SEARCH."""
    tag = tokens.octets.partition(b" ")[0]
    tokens.space()
    options = _return(tokens)
    parsing = Parsing(state, tokens)
    if tokens.octets[tokens.at : tokens.at + 8].upper() == b"CHARSET ":
        tokens.word()
        tokens.space()
        parsing.charset = _charset(tokens)
        tokens.space()
    wanted = keys(parsing)
    tokens.end()
    found: list[int] = []
    for index in _matching(state, wanted):
        if index is None:
            yield b""
        else:
            found.append(index)
    if options is None and "IMAP4REV2" in state.enabled:
        options = frozenset({b"ALL"})
    yield _result(state, tag, found, options, by_uid, parsing.has_modseq)
    return None


def sort(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """SORT: ``(REVERSE DATE SUBJECT) UTF-8 ALL``."""
    tag = tokens.octets.partition(b" ")[0]
    tokens.space()
    options = _return(tokens)
    criteria = ordering.criteria(listed(tokens, tokens.word))
    tokens.space()
    parsing = Parsing(state, tokens, charset=_charset(tokens))
    tokens.space()
    wanted = keys(parsing)
    tokens.end()
    found = [index for index in _matching(state, wanted) if index is not None]
    ordered = ordering.ordered(state.view, found, criteria)
    if options is None:
        yield b"* SORT" + b"".join(b" %d" % number for number in _numbers(state, ordered, by_uid)) + b"\r\n"
    else:
        yield _esearch(state, tag, ordered, options, by_uid, parsing.has_modseq)
    return None


def thread(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """THREAD: ``REFERENCES UTF-8 ALL``."""
    tokens.space()
    algorithm = tokens.word()
    tokens.space()
    parsing = Parsing(state, tokens, charset=_charset(tokens))
    tokens.space()
    wanted = keys(parsing)
    tokens.end()
    make = {b"ORDEREDSUBJECT": threads.ordered_subject, b"REFERENCES": threads.references}.get(algorithm)
    if make is None:
        raise Bad("ORDEREDSUBJECT and REFERENCES are the algorithms")
    found = [index for index in _matching(state, wanted) if index is not None]
    made = make(state.view, found)
    number = (lambda index: state.view.uids[index]) if by_uid else (lambda index: index + 1)
    yield b"* THREAD" + (b" " if made else b"") + threads.written(made, number) + b"\r\n"
    return None


def _matching(state: State, wanted: Key) -> Iterator[int | None]:
    """The messages that match, ascending; None now and then, so that a long search can be given up."""
    view = state.view
    for index in range(len(view)):
        try:
            if wanted.test(Message(view, index)):
                yield index
        except Refused as fault:
            if fault.why is not Refusal.EXPUNGED:
                raise
        if index % 256 == 255:
            yield None


def _charset(tokens: Tokens) -> str:
    name = tokens.astring().decode("latin-1")
    if not decoding.is_charset(name):
        raise No("This charset is not known", "BADCHARSET (US-ASCII UTF-8)")
    return name.lower()


def _return(tokens: Tokens) -> frozenset[bytes] | None:
    if tokens.octets[tokens.at : tokens.at + 8].upper() != b"RETURN (":
        return None
    tokens.word()
    tokens.space()
    options = frozenset(listed(tokens, tokens.word))
    tokens.space()
    if options - _OPTIONS:
        raise Bad("this return option is not known to SEARCH")
    return options or frozenset({b"ALL"})


def _numbers(state: State, found: Sequence[int], by_uid: bool) -> list[int]:
    return [state.view.uids[index] for index in found] if by_uid else [index + 1 for index in found]


def _result(
    state: State, tag: bytes, found: list[int], options: frozenset[bytes] | None, by_uid: bool, has_modseq: bool
) -> bytes:
    if options is not None:
        return _esearch(state, tag, found, options, by_uid, has_modseq)
    words = b"".join(b" %d" % number for number in _numbers(state, found, by_uid))
    if has_modseq and found:
        words += b" (MODSEQ %d)" % max(state.view.modseqs[index] for index in found)
    return b"* SEARCH" + words + b"\r\n"


def _esearch(
    state: State, tag: bytes, found: list[int], options: frozenset[bytes], by_uid: bool, has_modseq: bool
) -> bytes:
    if b"SAVE" in options:
        _save(state, found, options)
        if options == {b"SAVE"}:
            return b""
    numbers = _numbers(state, found, by_uid)
    words = [b"* ESEARCH (TAG " + string(tag) + b")"]
    if by_uid:
        words.append(b"UID")
    if b"MIN" in options and numbers:
        words.append(b"MIN %d" % numbers[0])
    if b"MAX" in options and numbers:
        words.append(b"MAX %d" % numbers[-1])
    if b"ALL" in options and numbers:
        words.append(b"ALL " + number_set(numbers))
    if b"COUNT" in options:
        words.append(b"COUNT %d" % len(numbers))
    if has_modseq and found:
        relevant = found
        if b"ALL" not in options and b"COUNT" not in options:
            relevant = [found[place] for place, name in ((0, b"MIN"), (-1, b"MAX")) if name in options]
        words.append(b"MODSEQ %d" % max(state.view.modseqs[index] for index in relevant))
    return b" ".join(words) + b"\r\n"


def _save(state: State, found: list[int], options: frozenset[bytes]) -> None:
    """What ``$`` is from now on (RFC 5182 2.1): with MIN or MAX and no ALL or COUNT, those alone."""
    if options & {b"MIN", b"MAX"} and not options & {b"ALL", b"COUNT"}:
        found = [found[place] for place, name in ((0, b"MIN"), (-1, b"MAX")) if name in options and found]
    state.saved = sorted({state.view.uids[index] for index in found})
