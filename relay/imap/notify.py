"""NOTIFY (RFC 5465): from its words to what a client wants to be told of.

Not here: what is told (notices.py); the watching (change_watch.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from relay.imap import fetch
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.events import MESSAGES, NAMES, NOTHING, Event, Group, Wishes, folded
from relay.imap.grammar import CLOSE, OPEN, listed, mailbox
from relay.imap.notices import Notices
from relay.imap.state import State

MAX_GROUPS: Final = 100
_BY_WORD: Final = {name.upper().encode(): event for name, event in NAMES.items()}
_KINDS: Final = frozenset({b"INBOXES", b"PERSONAL", b"SUBSCRIBED", b"SUBTREE", b"MAILBOXES"})
Running = Generator[bytes, None, Done | None]
Row = Callable[[State, int], bytes]


def notify(state: State, tokens: Tokens) -> Running:
    """``NOTIFY SET STATUS (selected (MessageNew (UID) MessageExpunge)) (personal (MailboxName))``."""
    tokens.space()
    word = tokens.word()
    if word == b"NONE":
        tokens.end()
        yield from state.updates(may_vanish=True)
        state.notices = Notices(Wishes())
        return None
    if word != b"SET":
        raise Bad("NOTIFY is SET or NONE")
    tokens.space()
    has_status = tokens.peek() != OPEN
    if has_status:
        if tokens.word() != b"STATUS":
            raise Bad("STATUS is what may stand before the groups")
        tokens.space()
    wishes, row = _wishes(tokens)
    tokens.end()
    notices = Notices(wishes, row)
    told = notices.begin(state, has_status=has_status)
    yield from state.updates(may_vanish=True, is_own=True)
    yield told
    state.notices = notices
    return None


def _wishes(tokens: Tokens) -> tuple[Wishes, Row | None]:
    wishes = Wishes()
    row: Row | None = None
    has_selected = False
    groups: list[Group] = []
    while True:
        tokens.expect(OPEN)
        kind = tokens.word()
        if kind in {b"SELECTED", b"SELECTED-DELAYED"}:
            if has_selected:
                raise Bad("one group is about the open mailbox")
            has_selected = True
            tokens.space()
            events, row = _events(tokens, is_selected=True)
            wishes = wishes._replace(selected=events, is_delayed=kind == b"SELECTED-DELAYED")
        else:
            groups.append(_group(tokens, kind))
        tokens.expect(CLOSE)
        if len(groups) > MAX_GROUPS:
            raise No("These are too many groups", "NOTIFICATIONOVERFLOW")
        if not tokens.skip(32):
            return wishes._replace(groups=tuple(groups)), row


def _group(tokens: Tokens, kind: bytes) -> Group:
    if kind not in _KINDS:
        raise Bad("mailboxes are selected, selected-delayed, inboxes, personal, subscribed, subtree or mailboxes")
    names: list[str] = []
    tokens.space()
    if kind in {b"SUBTREE", b"MAILBOXES"}:
        names = listed(tokens, lambda: mailbox(tokens)) if tokens.peek() == OPEN else [mailbox(tokens)]
        if not names:
            raise Bad("no mailbox is named")
        tokens.space()
    return Group(_events(tokens, is_selected=False)[0], kind, frozenset(folded(names)))


def _events(tokens: Tokens, *, is_selected: bool) -> tuple[Event, Row | None]:
    """``(MessageNew (UID FLAGS) MessageExpunge)`` or NONE."""
    if tokens.peek() != OPEN:
        if tokens.word() != b"NONE":
            raise Bad("events stand in parentheses, or NONE does")
        return NOTHING, None
    found = NOTHING
    unknown = False
    row: Row | None = None

    def one() -> None:
        nonlocal found, unknown, row
        word = tokens.word()
        if word == b"MESSAGENEW" and tokens.octets[tokens.at : tokens.at + 2] == b" (":
            if not is_selected:
                raise Bad("attributes are for new messages of the open mailbox")
            tokens.space()
            row = fetch.row(tokens)
        found |= _BY_WORD.get(word, NOTHING)
        unknown |= word not in _BY_WORD

    listed(tokens, one)
    if unknown:
        raise No("This event is not known", f"BADEVENT ({' '.join(NAMES)})")
    if not found or (is_selected and found & ~MESSAGES):
        raise Bad("these events do not belong to these mailboxes")
    if found & MESSAGES and not (Event.NEW in found and Event.EXPUNGE in found):
        raise Bad("MessageNew and MessageExpunge go together, and FlagChange with both")
    return found, row
