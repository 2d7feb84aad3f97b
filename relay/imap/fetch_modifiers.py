"""What a FETCH does besides: CHANGEDSINCE and VANISHED (RFC 7162 3.1.4, 3.2.6), PARTIAL (RFC 9394 3.3)."""

from __future__ import annotations

from typing import NamedTuple

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad
from relay.imap.grammar import CLOSE, OPEN
from relay.imap.search_return import Window, window


class Modifiers(NamedTuple):
    """``(CHANGEDSINCE 123 VANISHED PARTIAL -1:-30)`` (RFC 7162, RFC 9394)."""

    changed_since: int | None = None
    vanished: bool = False
    window: Window | None = None


def read_modifiers(tokens: Tokens, *, by_uid: bool, has_vanished: bool) -> Modifiers:
    """The modifiers in parentheses; ``has_vanished``: QRESYNC is enabled."""
    found = Modifiers()
    tokens.expect(OPEN)
    while True:
        match tokens.word():
            case b"CHANGEDSINCE" if found.changed_since is None:
                tokens.space()
                found = found._replace(changed_since=tokens.number(2**63 - 1))
            case b"VANISHED" if by_uid and has_vanished:
                found = found._replace(vanished=True)
            case b"PARTIAL" if by_uid and found.window is None:
                tokens.space()
                found = found._replace(window=window(tokens))
            case _:
                raise Bad("this modifier is not known here")
        if tokens.skip(CLOSE):
            break
        tokens.space()
    if found.vanished and found.changed_since is None:
        raise Bad("VANISHED needs CHANGEDSINCE")
    return found
