"""STORE, COPY, MOVE, EXPUNGE and their UID forms (RFC 9051 6.4, RFC 6851, RFC 4315; CONDSTORE: RFC 7162 3.1.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping

from relay.imap import responses
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.events import folded
from relay.imap.fetch import which
from relay.imap.grammar import CLOSE, OPEN, flag_list, mailbox
from relay.imap.state import State
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import RECENT, Copied, How, Refusal, Refused

_HOW = {b"FLAGS": How.REPLACE, b"+FLAGS": How.ADD, b"-FLAGS": How.REMOVE}
Running = Generator[bytes, None, Done | None]


def store(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    r"""``STORE 1:3 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\Seen)``."""
    tokens.space()
    ranges = which(tokens)
    tokens.space()
    unchanged_since: int | None = None
    if tokens.skip(OPEN):
        if tokens.word() != b"UNCHANGEDSINCE":
            raise Bad("STORE has the one modifier UNCHANGEDSINCE")
        tokens.space()
        unchanged_since = tokens.number(2**63 - 1)
        tokens.expect(CLOSE)
        tokens.space()
    word = tokens.word()
    is_silent = word.endswith(b".SILENT")
    how = _HOW.get(word.removesuffix(b".SILENT"))
    if how is None:
        raise Bad("STORE changes FLAGS, +FLAGS or -FLAGS")
    tokens.space()
    flags = flag_list(tokens) if tokens.peek() == OPEN else _bare_flags(tokens)
    tokens.end()
    view = state.writable_view
    if unchanged_since is not None:
        state.enable_modseqs()
        yield from state.owed()
    chosen = state.set_of(ranges, by_uid=by_uid)
    before = {view.uids[index]: view.flags[index] for index in chosen}
    flags = [flag for flag in flags if flag.lower() != "\\recent"]
    stored = view.store_flags(before, how, flags, unchanged_since)
    yield from state.owed()
    changed, left = set(stored.changed), {*stored.failed, *stored.gone}
    surprises = _surprises(view, before, how, flags) if is_silent else before.keys()
    for uid in before:
        if uid in left:
            continue
        index = view.index_of(uid)
        if uid in surprises:
            yield state.flags_of(index, with_uid=by_uid)
        elif state.has_modseqs and uid in changed:
            own = b"UID %d " % uid if by_uid or state.has_vanished else b""
            yield b"* %d FETCH (%bMODSEQ (%d))\r\n" % (index + 1, own, view.modseqs[index])
    if stored.failed:
        numbers = stored.failed if by_uid else [view.index_of(uid) + 1 for uid in stored.failed]
        return Done("Changed by somebody else meanwhile", f"MODIFIED {responses.number_set(numbers).decode()}")
    if stored.gone and not by_uid:
        return Done("Some of the messages are gone", "EXPUNGEISSUED", "NO")
    return None


def _surprises(view: View, before: Mapping[int, int], how: How, flags: Collection[str]) -> set[int]:
    """The messages whose flags now are not what a client makes of those that it knew (``before``, by UID): somebody
    else has changed them meanwhile, and must not be passed over in silence (RFC 9051 6.4.6)."""
    wanted = {flag.lower() for flag in flags}
    known: dict[tuple[int, int], bool] = {}

    def is_one(old: int, new: int) -> bool:
        was, are = ({name.lower() for name in view.flag_names(mask & ~RECENT)} for mask in (old, new))
        return are != {How.REPLACE: wanted, How.ADD: was | wanted, How.REMOVE: was - wanted}[how]

    found: set[int] = set()
    for uid, old in before.items():
        pair = old, view.flags[view.index_of(uid)]
        if pair not in known:
            known[pair] = is_one(*pair)
        if known[pair]:
            found.add(uid)
    return found


def _bare_flags(tokens: Tokens) -> list[str]:
    flags = [tokens.flag().decode("ascii")]
    while tokens.skip(32):
        flags.append(tokens.flag().decode("ascii"))
    return flags


def copy(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """``COPY 1:3 Archive``."""
    uids, name = _what_where(state, tokens, by_uid)
    copied = _to(lambda: state.view.copy(uids, name)) if uids else None
    if copied is not None:
        state.has_put(folded((name,))[0], copied.uids)
    yield b""  # a generator, like the others
    return Done("", _copyuid(copied)) if copied and copied.sources else Done("Nothing to copy")


def move(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """``MOVE 1:3 Archive``; where the messages went is told before they vanish (RFC 6851 4.3)."""
    uids, name = _what_where(state, tokens, by_uid)
    view = state.writable_view
    moved = _to(lambda: view.move(uids, name)) if uids else None
    if moved is None or not moved.sources:
        return Done("Nothing to move")
    state.on_removed(len(moved.sources))
    state.has_put(folded((name,))[0], moved.uids)
    yield b"* OK [%b] Moved\r\n" % _copyuid(moved).encode()
    yield from state.own_updates(with_uid=by_uid)
    return None


def expunge(state: State, tokens: Tokens, *, by_uid: bool) -> Running:
    """EXPUNGE and UID EXPUNGE; what is gone is told by the update that follows every command."""
    uids: list[int] | None = None
    if by_uid:
        tokens.space()
        ranges = which(tokens)
        view = state.writable_view
        uids = [view.uids[index] for index in state.set_of(ranges, by_uid=True)]
    tokens.end()
    view = state.writable_view
    removed = view.expunge(uids)
    state.on_removed(len(removed))
    yield from state.own_updates(with_uid=by_uid)
    return Done("", f"HIGHESTMODSEQ {view.highestmodseq}") if state.has_vanished and removed else None


def _what_where(state: State, tokens: Tokens, by_uid: bool) -> tuple[list[int], str]:
    tokens.space()
    ranges = which(tokens)
    tokens.space()
    name = mailbox(tokens)
    tokens.end()
    view = state.view
    return [view.uids[index] for index in state.set_of(ranges, by_uid=by_uid)], name


def _to(act: Callable[[], Copied]) -> Copied:
    """COPY or MOVE; a mailbox that is not there may be made (RFC 9051 6.4.7)."""
    try:
        return act()
    except Refused as fault:
        if fault.why is Refusal.NONEXISTENT:
            raise No("There is no such mailbox", "TRYCREATE") from None
        raise


def _copyuid(copied: Copied) -> str:
    sources, targets = responses.pair_sets(copied.sources, copied.uids)
    return f"COPYUID {copied.uidvalidity} {sources.decode()} {targets.decode()}"
