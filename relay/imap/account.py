"""What concerns the account as a whole: its mailboxes, quota, namespace, what the client is told (RFC 9051 6.3)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import relay
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No
from relay.imap.grammar import CLOSE, OPEN, listed, mailbox, mailbox_as_written, mailbox_text
from relay.imap.state import State
from relay.mailbox import names
from relay.mailbox.vocabulary import INBOX, SEPARATOR, Quota

Running = Generator[bytes, None, Done | None]
BASE: Final = ("IMAP4rev1", "IMAP4rev2", "SASL-IR", "LITERAL+", "ID", "ENABLE")
LOGGED_IN: Final = (
    "IDLE", "NAMESPACE", "CHILDREN", "UNSELECT", "UIDPLUS", "MOVE", "SPECIAL-USE", "CREATE-SPECIAL-USE",
    "LIST-EXTENDED", "LIST-STATUS", "ESEARCH", "SEARCHRES", "WITHIN", "CONDSTORE", "QRESYNC", "STATUS=SIZE",
    "QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "UTF8=ACCEPT", "MULTIAPPEND", "BINARY", "CATENATE", "SORT",
    "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "COMPRESS=DEFLATE", "OBJECTID", "PREVIEW",
    "SAVEDATE", "REPLACE", "PARTIAL", "INPROGRESS", "UNAUTHENTICATE", "METADATA", "NOTIFY",
)  # fmt: skip
ENABLEABLE: Final = {b"CONDSTORE": "CONDSTORE", b"QRESYNC": "QRESYNC", b"UTF8=ACCEPT": "UTF8=ACCEPT",
                     b"IMAP4REV2": "IMAP4rev2"}  # fmt: skip
MAX_ID_PAIRS: Final = 30
ROOT: Final = b'""'
"""The quota root of the account. A mailbox with limits of its own is a root, too, by its name. A root is there when
it has a limit: a QUOTA response names one at least."""


def id_(state: State, tokens: Tokens) -> Running:
    """ID (RFC 2971): who we are; what the client says of itself is read and forgotten."""
    del state
    tokens.space()
    if tokens.peek() == OPEN:
        words = listed(tokens, tokens.nstring)
        if len(words) > 2 * MAX_ID_PAIRS or len(words) % 2 or any(name is None for name in words[::2]):
            raise Bad("ID has up to 30 pairs of a name and a value")
    elif tokens.nstring() is not None:
        raise Bad("ID has a list, or NIL")
    tokens.end()
    yield f'* ID ("name" "Relay" "version" "{relay.__version__}")\r\n'.encode()
    return None


def enable(state: State, tokens: Tokens) -> Running:
    """ENABLE (RFC 5161)."""
    enabled: list[str] = []
    tokens.space()
    while True:
        name = ENABLEABLE.get(tokens.word())
        if name is not None and name.upper() not in state.hidden:
            if name in {"CONDSTORE", "QRESYNC"}:
                state.enable_modseqs(has_vanished=name == "QRESYNC")
            state.enabled.add(name.upper())
            enabled.append(name)
        if not tokens.skip(32):
            break
    tokens.end()
    yield b"* ENABLED" + "".join(f" {name}" for name in enabled).encode() + b"\r\n"
    return None


def create(state: State, tokens: Tokens) -> Running:
    """CREATE, with USE (RFC 6154 3)."""
    tokens.space()
    name, written = mailbox_as_written(tokens)
    uses: list[str] = []
    if not tokens.is_at_end:
        tokens.space()
        tokens.expect(OPEN)
        if tokens.word() != b"USE":
            raise Bad("CREATE has the one parameter USE")
        tokens.space()
        uses = [
            use.decode("ascii").capitalize() if use[:1] != b"\\" else _use(use) for use in listed(tokens, tokens.flag)
        ]
        tokens.expect(CLOSE)
    tokens.end()
    made = state.store.create(name, uses)
    state.has_changed(name.removesuffix(SEPARATOR))
    yield from state.known_as(name, written)
    return Done("", f"MAILBOXID ({made})")


def _use(flag: bytes) -> str:
    return "\\" + flag[1:].decode("ascii").capitalize()


def delete(state: State, tokens: Tokens) -> Running:
    """DELETE; the open mailbox is closed by it."""
    tokens.space()
    name = mailbox(tokens)
    tokens.end()
    state.store.delete(name)
    state.has_changed(name)
    if state.view_or_none is not None and state.view_or_none.name == names.checked(name):
        state.close_view()
        yield b"* OK [CLOSED] The open mailbox is deleted\r\n"
    return None


def rename(state: State, tokens: Tokens) -> Running:
    """RENAME; the open mailbox is closed by it (RFC 9051 3.4), also when it is below. INBOX stays (6.3.6)."""
    tokens.space()
    name = mailbox(tokens)
    tokens.space()
    new, written = mailbox_as_written(tokens)
    tokens.end()
    state.store.rename(name, new)
    state.has_changed(name, new.removesuffix(SEPARATOR))
    yield from state.known_as(new, written)
    view, old = state.view_or_none, names.checked(name)
    if view is not None and old != INBOX and (view.name + SEPARATOR).startswith(old + SEPARATOR):
        state.close_view()
        yield b"* OK [CLOSED] The open mailbox has another name\r\n"
    return None


def subscribe(state: State, tokens: Tokens) -> Running:
    """SUBSCRIBE."""
    tokens.space()
    name = mailbox(tokens)
    tokens.end()
    state.store.subscribe(name)
    state.has_changed(name)
    yield b""  # a generator, like the others
    return None


def unsubscribe(state: State, tokens: Tokens) -> Running:
    """UNSUBSCRIBE."""
    tokens.space()
    name = mailbox(tokens)
    tokens.end()
    state.store.unsubscribe(name)
    state.has_changed(name)
    yield b""  # a generator, like the others
    return None


def namespace(state: State, tokens: Tokens) -> Running:
    """NAMESPACE (RFC 2342): one's own, and no other."""
    del state
    tokens.end()
    yield f'* NAMESPACE (("" "{SEPARATOR}")) NIL NIL\r\n'.encode()
    return None


def get_quota(state: State, tokens: Tokens) -> Running:
    """GETQUOTA (RFC 9208)."""
    tokens.space()
    root = tokens.astring()
    tokens.end()
    name = mailbox_text(root, utf8=tokens.utf8)
    resources = _resources(state.store.mailbox_quota(name) if name else state.store.quota())
    if not resources:
        raise No("There is no such quota root", "NONEXISTENT")
    yield _quota(state.name(name) if name else ROOT, resources)
    return None


def get_quota_root(state: State, tokens: Tokens) -> Running:
    """GETQUOTAROOT: the roots and their QUOTA; without any limit, that the mailbox has no root (RFC 9208 4.2.2)."""
    tokens.space()
    name = mailbox(tokens)
    tokens.end()
    state.store.status(name)  # refuses a mailbox that is not there
    found = {ROOT: _resources(state.store.quota()), state.name(name): _resources(state.store.mailbox_quota(name))}
    roots = {root: resources for root, resources in found.items() if resources}
    yield b" ".join([b"* QUOTAROOT", state.name(name), *roots]) + b"\r\n"
    for root, resources in roots.items():
        yield _quota(root, resources)
    return None


def _quota(root: bytes, resources: bytes) -> bytes:
    return b"* QUOTA " + root + b" (" + resources + b")\r\n"


def _resources(quota: Quota) -> bytes:
    """STORAGE counts units of 1024 octets (RFC 9208 5.1); what has no limit is not listed."""
    resources: list[str] = []
    if quota.octets_limit:
        resources.append(f"STORAGE {-(-quota.octets // 1024)} {quota.octets_limit // 1024}")
    if quota.messages_limit:
        resources.append(f"MESSAGE {quota.messages} {quota.messages_limit}")
    return " ".join(resources).encode()
