"""What a client that has said NOTIFY is told (RFC 5465 5): of other mailboxes here, of the open one in state.py.

Theory: of each mailbox that it asks about it keeps what was last told: the name's attributes, the STATUS, the
annotations. When the watcher says that one of them, or the list of them, has changed, it is looked at again and the
difference is told; so nothing is told twice, and what changed back is not told at all.

Bound: ``MAX_MAILBOXES``; above it the client is told NOTIFICATIONOVERFLOW, and nothing more (5.8).

``begin`` and ``look`` block and are called in jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from relay.imap.completion import No
from relay.imap.events import MESSAGES, Event, Wishes, folded
from relay.imap.responses import astring
from relay.mailbox import names
from relay.mailbox.interfaces import Store, View
from relay.mailbox.vocabulary import Listed, Refused, Status

MAX_MAILBOXES: Final = 500
"""That one session may watch."""


class Session(Protocol):
    """What is read here of a session (state.py)."""

    @property
    def store(self) -> Store:
        """Of who has logged in."""

    @property
    def view_or_none(self) -> View | None:
        """The open mailbox, if there is one."""

    @property
    def has_modseqs(self) -> bool:
        """Whether its client wants mod-sequences (RFC 7162 3.1)."""

    def name(self, name: str) -> bytes:
        """A mailbox name as its client reads it."""


class Known(NamedTuple):
    """What was last told of a mailbox."""

    listed: Listed
    events: Event
    status: Status | None = None
    """Where it exists."""
    notes: Mapping[str, bytes] = {}


class Notices:
    """One session's, until its next NOTIFY."""

    def __init__(self, wishes: Wishes, row: Callable[[Any, int], bytes] | None = None) -> None:
        self.wishes: Final = wishes
        self.row: Final = row
        """The FETCH response for a new message of the open mailbox, if one is wanted."""
        self.has_overflown = False
        self._known: dict[str, Known] = {}
        self._server: Mapping[str, bytes] = {}
        self._own: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The mailboxes to watch."""
        return tuple(name for name, known in self._known.items() if known.status is not None)

    @property
    def has_groups(self) -> bool:
        """Whether the account is to be watched."""
        return bool(self.wishes.groups) and not self.has_overflown

    def own(self, *mailboxes: str) -> None:
        """The client itself has made, removed, renamed or subscribed these: it is not told (5)."""
        for name in folded(mailboxes):
            self._own.update((name, *names.parents(name)[-1:]))

    def begin(self, state: Session, *, has_status: bool) -> bytes:
        """Looks at all that is asked about. No (NOTIFICATIONOVERFLOW) when that is too much."""
        self._known = self._asked(state.store.list() if self.wishes.groups else ())
        if len(self._known) > MAX_MAILBOXES:
            raise No(f"At most {MAX_MAILBOXES} mailboxes are watched", "NOTIFICATIONOVERFLOW")
        for name in list(self._known):
            self._examine(state, name)
        self._server = self._server_notes(state)
        if not has_status:
            return b""
        return b"".join(
            _status(state, name, known, known.status)
            for name, known in self._known.items()
            if known.status is not None and known.events & MESSAGES and not _is_open(state, name)
        )

    def look(self, state: Session, changed: frozenset[str], *, is_account: bool) -> bytes:
        """What is to be told of the mailboxes ``changed``, and, with ``is_account``, of the list of mailboxes."""
        told = b"".join(self._look(state, changed, is_account=is_account))
        if len(self._known) > MAX_MAILBOXES:
            self._known, self.has_overflown = {}, True
            told = b"* OK [NOTIFICATIONOVERFLOW] Too many mailboxes: nothing more is told\r\n"
        return told

    def _look(self, state: Session, changed: frozenset[str], *, is_account: bool) -> Iterator[bytes]:
        if is_account:
            yield from self._names(state)
            notes = self._server_notes(state)
            yield _metadata(state, "", self._server, notes)
            self._server = notes
        for name in sorted(changed & self._known.keys()):
            before = self._known[name]
            after = self._examine(state, name)
            if after.status is None or before.status is None:
                continue  # its end or beginning is told by name
            if _has_changed(before.status, after.status, before.events) and not _is_open(state, name):
                yield _status(state, name, after, after.status)
            yield _metadata(state, name, before.notes, after.notes)

    # ---- names ------------------------------------------------------------------------------------------------------

    def _names(self, state: Session) -> Iterator[bytes]:
        """Mailboxes made, removed, renamed, subscribed (5.4, 5.5)."""
        before, every = self._known, {each.name: each for each in state.store.list()}
        self._known = self._asked(every.values())
        for name, known in self._known.items():
            old = before.get(name)
            if old is not None and old.listed.exists == known.listed.exists:
                self._known[name] = old._replace(listed=known.listed, events=known.events)
            else:
                self._examine(state, name)
        made = [name for name, known in self._known.items() if known.listed.exists and not _existed(before, name)]
        removed = [name for name in before if _existed(before, name) and not (name in every and every[name].exists)]
        renamed = dict(_renamed(before, self._known, made, removed))
        affected = {name: self._known[name].events for name in made if not _is_renamed_below(name, renamed)}
        affected |= {name: before[name].events for name in removed if name not in renamed.values()}
        for name in list(affected):
            if name not in renamed and (above := names.parents(name)):
                affected.setdefault(above[-1], affected[name])
        own, self._own = self._own, set()
        shown = [name for name, events in affected.items() if Event.NAME in events]
        for name in before.keys() | self._known.keys():
            known = self._known.get(name) or before[name]
            is_subscribed = name in every and every[name].subscribed
            if Event.SUBSCRIPTION in known.events and is_subscribed != (
                name in before and before[name].listed.subscribed
            ):
                shown.append(name)
        for name in sorted({*shown} - own):
            yield _line(state, every.get(name, Listed(name, False, False, False)), renamed.get(name))

    # ---- looking ----------------------------------------------------------------------------------------------------

    def _asked(self, every: Iterable[Listed]) -> dict[str, Known]:
        """The names that are asked about."""
        found = {each.name: Known(each, self.wishes.of(each) & ~Event.SERVER) for each in every}
        return {name: known for name, known in found.items() if known.events}

    def _examine(self, state: Session, name: str) -> Known:
        """Looks at a mailbox."""
        known = self._known[name]
        status: Status | None = None
        notes: Mapping[str, bytes] = {}
        try:
            if known.listed.exists:
                status = state.store.status(name)
                notes = state.store.annotations(name) if Event.METADATA in known.events else {}
        except Refused:  # it has just gone
            status = None
        self._known[name] = known = known._replace(status=status, notes=notes)
        return known

    def _server_notes(self, state: Session) -> Mapping[str, bytes]:
        return state.store.annotations("") if self.wishes.has_server else {}


def _line(state: Session, listed: Listed, old: str | None) -> bytes:
    attributes = [] if listed.exists else ["\\NonExistent"]
    attributes += ["\\Subscribed"] * listed.subscribed
    attributes += ["\\HasChildren" if listed.has_children else "\\HasNoChildren", *listed.special_use]
    more = b"" if old is None else b' ("OLDNAME" (%b))' % state.name(old)
    return b'* LIST (%b) "/" %b%b\r\n' % (" ".join(attributes).encode(), state.name(listed.name), more)


def _is_open(state: Session, name: str) -> bool:
    """Of the open mailbox the client is told otherwise (3.1)."""
    return state.view_or_none is not None and state.view_or_none.name == name


def _existed(known: Mapping[str, Known], name: str) -> bool:
    return name in known and known[name].listed.exists


def _renamed(
    before: Mapping[str, Known], after: Mapping[str, Known], made: list[str], removed: list[str]
) -> Iterator[tuple[str, str]]:
    """New names with the old ones: the mailbox has the same id (RFC 8474)."""
    olds = {status.mailbox_id: name for name in removed if (status := before[name].status) is not None}
    for name in made:
        status = after[name].status
        if status is not None and status.mailbox_id in olds:
            yield name, olds[status.mailbox_id]


def _is_renamed_below(name: str, renamed: Mapping[str, str]) -> bool:
    """Whether it was renamed because one above it was: only that one is told of (5.4)."""
    if name not in renamed:
        return False
    return any(
        above in renamed and renamed[name] == renamed[above] + name[len(above) :] for above in names.parents(name)
    )


def _has_changed(before: Status, after: Status, events: Event) -> bool:
    if events & MESSAGES and (before.messages, before.uidnext, before.uidvalidity) != (
        after.messages, after.uidnext, after.uidvalidity,
    ):  # fmt: skip
        return True
    return Event.FLAGS in events and before.highestmodseq != after.highestmodseq


def _status(state: Session, name: str, known: Known, status: Status) -> bytes:
    words = [f"MESSAGES {status.messages} UIDNEXT {status.uidnext} UIDVALIDITY {status.uidvalidity}"]
    if Event.FLAGS in known.events:
        words.append(f"UNSEEN {status.unseen}")
    if Event.FLAGS in known.events or state.has_modseqs:
        words.append(f"HIGHESTMODSEQ {status.highestmodseq}")
    return b"* STATUS %b (%b)\r\n" % (state.name(name), " ".join(words).encode())


def _metadata(state: Session, name: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> bytes:
    """The entries that are others now, without their values (5.6, RFC 5464 4.4.2)."""
    others = [entry for entry in {**before, **after} if before.get(entry) != after.get(entry)]
    if not others:
        return b""
    return b"* METADATA %b %b\r\n" % (state.name(name), b" ".join(astring(entry.encode()) for entry in sorted(others)))
