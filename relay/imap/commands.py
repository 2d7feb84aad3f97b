"""The commands: their names, when they may be used, what carries them out (RFC 9051 6), and what is announced.

Invariant: a capability is announced exactly where its command would be carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, NamedTuple

from relay.imap import account, fetch, listing, metadata, notify, search, selecting, store_flags
from relay.imap._tokens import Tokens
from relay.imap.account import BASE, LOGGED_IN
from relay.imap.completion import Bad, Bye, Done, No
from relay.imap.login import Login
from relay.imap.state import State

Running = Generator[bytes, None, Done | Bye | None]
Run = Callable[[State, Tokens], Running]


class Command(NamedTuple):
    """One command."""

    name: str
    run: Run
    when: str = "in"
    """``any`` time, ``out`` (before login), ``in`` (after it), ``selected``."""
    may_vanish: bool = True
    """EXPUNGE may be told after it (RFC 9051 7.5.1)."""
    has_uid: bool = False
    special: str = ""
    """What the session itself carries out."""


def capabilities(state: State, login: Login) -> list[str]:
    """What is announced now."""
    words = [*BASE, f"APPENDLIMIT={state.append_limit}"]
    if state.store_or_none is None:
        if login.offers_tls:
            words.append("STARTTLS")
        mechanisms = login.mechanisms
        words += [f"AUTH={name}" for name in mechanisms] or ["LOGINDISABLED"]
    else:
        words += LOGGED_IN
    return [word for word in words if word.upper() not in state.hidden]


def find(tokens: Tokens, state: State, login: Login) -> Command:
    """The command whose name is next. Bad when there is none, or not now."""
    tokens.space()
    word = tokens.word()
    if word == b"UID":
        tokens.space()
        word += b" " + tokens.word()
    command = _TABLE.get(word)
    if command is None:
        raise Bad("this command is not known")
    is_in = state.store_or_none is not None
    if command.when == "out" and is_in:
        raise Bad("somebody has logged in already")
    if command.when in {"in", "selected"} and not is_in:
        raise Bad("log in first")
    if command.when == "selected" and state.view_or_none is None:
        raise Bad("select a mailbox first")
    if command.special == "STARTTLS" and not login.offers_tls:
        raise Bad("TLS cannot begin here")
    return command


def is_append(tokens: Tokens, state: State) -> bool:
    """Whether what stands before a literal is an APPEND or REPLACE at the place of its message."""
    if state.store_or_none is None:
        return False
    ahead = Tokens(tokens.octets, utf8=tokens.utf8)
    try:
        ahead.tag()
        ahead.space()
        word = ahead.word()
        if word == b"UID":
            ahead.space()
            word = ahead.word()
        if word not in {b"APPEND", b"REPLACE"}:
            return False
        ahead.space()
        if word == b"REPLACE":
            if state.view_or_none is None:
                return False
            ahead.number()
            ahead.space()
        if ahead.is_at_end:
            return False
        ahead.astring()
        return ahead.peek() == 32
    except (Bad, No):
        return False


def _simple(state: State, tokens: Tokens) -> Running:
    del state
    tokens.end()
    yield b""  # a generator, like the others
    return None


def _logout(state: State, tokens: Tokens) -> Running:
    del state
    tokens.end()
    yield b""  # a generator, like the others
    return Bye("Goodbye", is_wanted=True)


def _both(run: Callable[..., Running], name: str, *, may_vanish: bool = True) -> list[Command]:
    return [
        Command(name, lambda state, tokens: run(state, tokens, by_uid=False), "selected", may_vanish),
        Command(f"UID {name}", lambda state, tokens: run(state, tokens, by_uid=True), "selected", has_uid=True),
    ]


APPEND: Final = Command("APPEND", _simple, special="APPEND")
_COMMANDS: Final = [
    Command("CAPABILITY", _simple, "any", special="CAPABILITY"),
    Command("NOOP", _simple, "any"),
    Command("LOGOUT", _logout, "any"),
    Command("ID", account.id_, "any"),
    Command("STARTTLS", _simple, "out", special="STARTTLS"),
    Command("LOGIN", _simple, "out", special="LOGIN"),
    Command("AUTHENTICATE", _simple, "out", special="AUTHENTICATE"),
    Command("ENABLE", account.enable),
    Command("SELECT", lambda state, tokens: selecting.select(state, tokens, read_only=False)),
    Command("EXAMINE", lambda state, tokens: selecting.select(state, tokens, read_only=True)),
    Command("CREATE", account.create),
    Command("DELETE", account.delete),
    Command("RENAME", account.rename),
    Command("SUBSCRIBE", account.subscribe),
    Command("UNSUBSCRIBE", account.unsubscribe),
    Command("LIST", listing.list_),
    Command("LSUB", listing.lsub),
    Command("STATUS", listing.status),
    Command("NAMESPACE", account.namespace),
    Command("GETQUOTA", account.get_quota),
    Command("GETQUOTAROOT", account.get_quota_root),
    Command("GETMETADATA", metadata.get_metadata),
    Command("SETMETADATA", metadata.set_metadata),
    Command("NOTIFY", notify.notify),
    Command("IDLE", _simple, special="IDLE"),
    Command("COMPRESS", _simple, special="COMPRESS"),
    Command("UNAUTHENTICATE", _simple, special="UNAUTHENTICATE"),
    APPEND,
    Command("CHECK", _simple, "selected"),
    Command("CLOSE", selecting.close, "selected"),
    Command("UNSELECT", selecting.unselect, "selected"),
    Command("EXPUNGE", lambda state, tokens: store_flags.expunge(state, tokens, by_uid=False), "selected"),
    Command(
        "UID EXPUNGE", lambda state, tokens: store_flags.expunge(state, tokens, by_uid=True), "selected", has_uid=True
    ),
    *_both(fetch.fetch, "FETCH", may_vanish=False),
    *_both(store_flags.store, "STORE", may_vanish=False),
    *_both(store_flags.copy, "COPY"),
    *_both(store_flags.move, "MOVE"),
    *_both(search.search, "SEARCH", may_vanish=False),
    *_both(search.sort, "SORT", may_vanish=False),
    *_both(search.thread, "THREAD", may_vanish=False),
    APPEND._replace(name="REPLACE", when="selected"),
    APPEND._replace(name="UID REPLACE", when="selected"),
]
_TABLE: Final = {command.name.encode(): command for command in _COMMANDS}
