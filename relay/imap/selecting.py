"""SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 6.3.2, 6.3.3, 6.4.1, 6.4.2), with CONDSTORE and QRESYNC (RFC 7162)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from relay.imap import responses
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done
from relay.imap.grammar import CLOSE, OPEN, Ranges, mailbox_as_written, members
from relay.imap.state import State
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import SEEN, low_octets

_IS_UNSEEN: Final = bytes(not octet & SEEN for octet in range(256))
Running = Generator[bytes, None, Done | None]


class Known(NamedTuple):
    """What a client that comes back still knows (RFC 7162 3.2.5)."""

    uidvalidity: int
    modseq: int
    uids: Ranges | None


def select(state: State, tokens: Tokens, *, read_only: bool) -> Running:
    """Opens a mailbox and tells all about it."""
    tokens.space()
    name, written = mailbox_as_written(tokens)
    known = None
    if not tokens.is_at_end:
        tokens.space()
        known = _parameters(state, tokens)
    tokens.end()
    if state.view_or_none is not None:
        state.close_view()
        yield b"* OK [CLOSED] The mailbox before is closed\r\n"
    view = state.store.open(name, read_only=read_only)
    state.opened(view)
    yield from state.known_as(name, written)
    yield from _told(state, view)
    if known is not None and known.uidvalidity == view.uidvalidity:
        yield from _changed(state, view, known)
    return Done("", "READ-ONLY" if view.is_read_only else "READ-WRITE")


def close(state: State, tokens: Tokens) -> Running:
    """CLOSE: removes what is marked, without a word, unless the mailbox was only examined."""
    tokens.end()
    view = state.view
    if not view.is_read_only:
        state.on_removed(len(view.expunge()))
    modseq = view.highestmodseq
    has_vanished = state.has_vanished
    state.close_view()
    yield b""  # a generator, like the others
    return Done("", f"HIGHESTMODSEQ {modseq}") if has_vanished else None


def unselect(state: State, tokens: Tokens) -> Running:
    """UNSELECT: removes nothing."""
    tokens.end()
    state.view  # noqa: B018 - Bad when there is none
    state.close_view()
    yield b""  # a generator, like the others
    return None


def _told(state: State, view: View) -> Iterator[bytes]:
    is_rev2 = "IMAP4REV2" in state.enabled
    yield from state.flags_known()
    yield b"* %d EXISTS\r\n" % len(view)
    if is_rev2:
        yield b'* LIST () "/" %b\r\n' % state.name(view.name)
    else:
        yield state.recent()
        first = low_octets(view.flags).translate(_IS_UNSEEN).find(1) + 1
        if first:
            yield b"* OK [UNSEEN %d] The first that is not seen\r\n" % first
    yield b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % view.uidvalidity
    yield b"* OK [UIDNEXT %d] The next UID\r\n" % view.uidnext
    yield b"* OK [HIGHESTMODSEQ %d] The last change\r\n" % view.highestmodseq
    yield b"* OK [MAILBOXID (%b)] This mailbox\r\n" % view.mailbox_id.encode()


def _parameters(state: State, tokens: Tokens) -> Known | None:
    known: Known | None = None
    tokens.expect(OPEN)
    while True:
        match tokens.word():
            case b"CONDSTORE":
                state.enable_modseqs()
            case b"QRESYNC" if known is None:
                if not state.has_vanished:
                    raise Bad("enable QRESYNC first")
                known = _qresync(tokens)
            case _:
                raise Bad("this parameter is not known to SELECT")
        if tokens.skip(CLOSE):
            return known
        tokens.space()


def _qresync(tokens: Tokens) -> Known:
    tokens.space()
    tokens.expect(OPEN)
    uidvalidity = tokens.number()
    tokens.space()
    modseq = tokens.number(2**63 - 1)
    uids: Ranges | None = None
    if tokens.skip(32) and tokens.peek() != OPEN:
        uids = tokens.sequence_set()
        tokens.skip(32)
    if tokens.skip(OPEN):  # sequence match data: a hint that the store, which remembers enough, does not need
        tokens.sequence_set()
        tokens.space()
        tokens.sequence_set()
        tokens.expect(CLOSE)
    tokens.expect(CLOSE)
    return Known(uidvalidity, modseq, uids)


def _changed(state: State, view: View, known: Known) -> Iterator[bytes]:
    """What vanished and what changed since (RFC 7162 3.2.5.1)."""
    is_member = members(known.uids, view.uidnext - 1) if known.uids is not None else None
    gone = [uid for uid in view.vanished_since(known.modseq) if is_member is None or is_member(uid)]
    if gone:
        yield b"* VANISHED (EARLIER) %b\r\n" % responses.number_set(gone)
    for index, modseq in enumerate(view.modseqs):
        if modseq > known.modseq and (is_member is None or is_member(view.uids[index])):
            yield state.flags_of(index, with_uid=True)
