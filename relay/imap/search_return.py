"""What SEARCH and SORT return (RFC 4731, RFC 9051 6.4.4): the options of RETURN, the ESEARCH response, and ``$``.

PARTIAL (RFC 9394) is a window on the results, counted from the first or, with minus signs, from the last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad
from relay.imap.grammar import listed
from relay.imap.responses import number_set, string
from relay.imap.state import State

_OPTIONS: Final = frozenset({b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE", b"PARTIAL"})
_WINDOW: Final = re.compile(rb"(?:([1-9][0-9]{0,9}):([1-9][0-9]{0,9})|-([1-9][0-9]{0,9}):-([1-9][0-9]{0,9}))\Z")


class Window(NamedTuple):
    """``1:500`` or ``-1:-100``."""

    text: bytes
    first: int
    last: int
    is_from_end: bool

    def of(self, found: Sequence[int]) -> Sequence[int]:
        """What of ``found`` lies in it, in the order of ``found``."""
        if self.is_from_end:
            return found[max(len(found) - self.last, 0) : max(len(found) - self.first + 1, 0)]
        return found[self.first - 1 : self.last]


class Returns(NamedTuple):
    """What is asked for."""

    options: frozenset[bytes] = frozenset({b"ALL"})
    window: Window | None = None

    def enough(self, has_modseq: bool) -> tuple[int, bool]:
        """How many matches are all that is needed (0: every one), and whether the last ones."""
        if self.window is None or self.options - {b"PARTIAL", b"SAVE"} or has_modseq:
            return 0, False
        return self.window.last, self.window.is_from_end


def window(tokens: Tokens) -> Window:
    """RFC 9394 4: partial-range."""
    text = tokens.word()
    found = _WINDOW.match(text)
    if found is None:
        raise Bad("PARTIAL is a range like 1:500 or -1:-100")
    first, last = sorted(int(each) for each in found.groups() if each)
    if last >= 1 << 32:
        raise Bad("the number is too large")
    return Window(text, first, last, found[1] is None)


def returns(tokens: Tokens) -> Returns | None:
    """``RETURN (MIN PARTIAL 1:5)``, with the cursor behind it; None when that is not what comes."""
    if tokens.octets[tokens.at : tokens.at + 8].upper() != b"RETURN (":
        return None
    tokens.word()
    tokens.space()
    found: Window | None = None

    def one() -> bytes:
        nonlocal found
        word = tokens.word()
        if word == b"PARTIAL":
            if found is not None:
                raise Bad("one PARTIAL is enough")
            tokens.space()
            found = window(tokens)
        return word

    options = frozenset(listed(tokens, one))
    tokens.space()
    if options - _OPTIONS:
        raise Bad("this return option is not known to SEARCH")
    if {b"ALL", b"PARTIAL"} <= options:
        raise Bad("ALL and PARTIAL do not go together")
    return Returns(options or frozenset({b"ALL"}), found)


def numbers(state: State, found: Sequence[int], *, by_uid: bool) -> list[int]:
    """UIDs or sequence numbers of messages."""
    return [state.view.uids[index] for index in found] if by_uid else [index + 1 for index in found]


def esearch(
    state: State, tag: bytes, found: Sequence[int], wanted: Returns, *, by_uid: bool, has_modseq: bool
) -> bytes:
    """The response, and what ``$`` is from now on, if that is asked for."""
    options = wanted.options
    if b"SAVE" in options:
        state.saved = sorted({state.view.uids[index] for index in _relevant(found, wanted)})
        if options == {b"SAVE"}:
            return b""
    words = [b"* ESEARCH (TAG " + string(tag) + b")"]
    if by_uid:
        words.append(b"UID")
    chosen = numbers(state, found, by_uid=by_uid)
    if b"MIN" in options and chosen:
        words.append(b"MIN %d" % chosen[0])
    if b"MAX" in options and chosen:
        words.append(b"MAX %d" % chosen[-1])
    if b"ALL" in options and chosen:
        words.append(b"ALL " + number_set(chosen))
    if b"COUNT" in options:
        words.append(b"COUNT %d" % len(chosen))
    if wanted.window is not None:
        words.append(b"PARTIAL (%b %b)" % (wanted.window.text, number_set(wanted.window.of(chosen)) or b"NIL"))
    relevant = _relevant(found, wanted)
    if has_modseq and relevant:
        words.append(b"MODSEQ %d" % max(state.view.modseqs[index] for index in relevant))
    return b" ".join(words) + b"\r\n"


def _relevant(found: Sequence[int], wanted: Returns) -> Sequence[int]:
    """The messages that the response is about (RFC 5182 2.1, RFC 7162 3.1.10, RFC 9394 3.2): with MIN, MAX or PARTIAL,
    and neither ALL nor COUNT, those alone."""
    options = wanted.options
    if not options & {b"MIN", b"MAX", b"PARTIAL"} or options & {b"ALL", b"COUNT"}:
        return found
    chosen = list(wanted.window.of(found)) if wanted.window is not None else []
    return chosen + [found[place] for place, name in ((0, b"MIN"), (-1, b"MAX")) if name in options and found]
