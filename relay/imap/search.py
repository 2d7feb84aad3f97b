"""SEARCH, SORT, THREAD and their UID forms (RFC 9051 6.4.4; SORT and THREAD: RFC 5256, ESORT: RFC 5267 3, SORT=DISPLAY:
RFC 5957).

Not here: search keys (search_keys.py), what is returned (search_return.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from relay.imap import decoding, ordering, threads
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.grammar import listed
from relay.imap.progress import Progress
from relay.imap.search_keys import HEADER, Key, Message, Parsing, keys
from relay.imap.search_return import Returns, esearch, numbers, returns
from relay.imap.state import State
from relay.mailbox.vocabulary import Refusal, Refused
from relay.net import stopping

Running = Generator[bytes, None, Done | None]


def search(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """SEARCH."""
    tag = tokens.octets.partition(b" ")[0]
    tokens.space()
    wanted = returns(tokens)
    parsing = Parsing(state, tokens)
    if tokens.octets[tokens.at : tokens.at + 8].upper() == b"CHARSET ":
        tokens.word()
        tokens.space()
        parsing.charset = _charset(tokens)
        tokens.space()
    key = keys(parsing)
    tokens.end()
    if wanted is None and "IMAP4REV2" in state.enabled:
        wanted = Returns()
    enough, is_from_end = wanted.enough(parsing.has_modseq) if wanted is not None else (0, False)
    found: list[int] = []
    yield from _matching(state, tag, key, found.append, enough=enough, is_from_end=is_from_end)
    found.sort()
    if wanted is not None:
        yield esearch(state, tag, found, wanted, by_uid=by_uid, has_modseq=parsing.has_modseq)
        return None
    words = b"".join(b" %d" % number for number in numbers(state, found, by_uid=by_uid))
    if parsing.has_modseq and found:
        words += b" (MODSEQ %d)" % max(state.view.modseqs[index] for index in found)
    yield b"* SEARCH" + words + b"\r\n"
    return None


def sort(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """SORT: ``(REVERSE DATE SUBJECT) UTF-8 ALL``."""
    tag = tokens.octets.partition(b" ")[0]
    tokens.space()
    wanted = returns(tokens)
    criteria = ordering.criteria(listed(tokens, tokens.word))
    tokens.space()
    parsing = Parsing(state, tokens, charset=_charset(tokens))
    tokens.space()
    key = keys(parsing)
    tokens.end()
    order = ordering.Order(state, criteria)
    yield from _matching(state, tag, key, order.add)
    ordered = order.ordered()
    if wanted is None:
        yield b"* SORT" + b"".join(b" %d" % number for number in numbers(state, ordered, by_uid=by_uid)) + b"\r\n"
    else:
        yield esearch(state, tag, ordered, wanted, by_uid=by_uid, has_modseq=parsing.has_modseq)
    return None


def thread(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """THREAD: ``REFERENCES UTF-8 ALL``."""
    tag = tokens.octets.partition(b" ")[0]
    tokens.space()
    algorithm = tokens.word()
    tokens.space()
    parsing = Parsing(state, tokens, charset=_charset(tokens))
    tokens.space()
    key = keys(parsing)
    tokens.end()
    make = {b"ORDEREDSUBJECT": threads.ordered_subject, b"REFERENCES": threads.references}.get(algorithm)
    if make is None:
        raise Bad("ORDEREDSUBJECT and REFERENCES are the algorithms")
    mentions = threads.Mentions(state)
    yield from _matching(state, tag, key, mentions.add)
    made = make(mentions.found)
    number = (lambda index: state.view.uids[index]) if by_uid else (lambda index: index + 1)
    yield b"* THREAD" + (b" " if made else b"") + threads.written(made, number) + b"\r\n"
    return None


def _matching(
    state: State,
    tag: bytes,
    wanted: Key,
    take: Callable[[int], None],
    *,
    enough: int = 0,
    is_from_end: bool = False,
) -> Iterator[bytes]:
    """Gives ``take`` the messages that match, ascending or from the last one on, until there are ``enough`` (0: all).
    Makes nothing now and then, so that others have their turn, and INPROGRESS when it takes long."""
    view = state.view
    progress = Progress(state, tag, len(view))
    count = 0
    together = 64 if wanted.cost < HEADER else 1
    for done, index in enumerate(reversed(range(len(view))) if is_from_end else range(len(view))):
        stopping.check()
        try:
            if wanted.test(Message(view, index, state)):
                take(index)
                count += 1
                if count == enough:
                    return
        except Refused as fault:
            if fault.why is not Refusal.EXPUNGED:
                raise
        except OSError:
            pass  # it cannot be read, so it matches nothing that needs it; the store has told the operator
        if done % together == together - 1:
            yield progress.at(done + 1)
            yield b""  # a turn may end here, with what was said


def _charset(tokens: Tokens) -> str:
    name = tokens.astring().decode("latin-1")
    if not decoding.is_charset(name):
        raise No("This charset is not known", "BADCHARSET (US-ASCII UTF-8)")
    return name.lower()
