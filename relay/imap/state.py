"""What a session has besides its connection: the account's store, the open mailbox, what the client has enabled.

It is used by one thread at a time: the loop's while no job is out, else the job's.

Invariant: sequence numbers move only in ``updates``, which says so to the client (RFC 9051 7.5.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from relay.imap import responses
from relay.imap.completion import Bad, No
from relay.imap.events import MESSAGES, Event
from relay.imap.notices import Notices
from relay.mailbox.interfaces import Store, View
from relay.mailbox.vocabulary import MAX_KEYWORDS, RECENT, SYSTEM_FLAGS, Part, Refusal, Refused, low_octets

_IS_RECENT: Final = bytes(bool(octet & RECENT) for octet in range(256))


Poisoned = Callable[[str, str, int, Exception], None]
"""Account, mailbox, UID, and what was raised. Is called in jobs."""


class State:
    """One session's."""

    def __init__(
        self,
        hostname: str,
        append_limit: int,
        now: Callable[[], float],
        hidden_of: Callable[[str], frozenset[str]] = lambda _account: frozenset(),
        ports: str = "",
    ) -> None:
        self.hostname: Final = hostname
        self.ports: Final = ports
        """Which ports are for what, for a client that speaks another protocol."""
        self.append_limit: Final = append_limit
        self.now: Final = now
        """Seconds since 1970."""
        self.hidden_of: Final = hidden_of
        self.hidden: frozenset[str] = frozenset()
        """Capabilities, in capitals, that this account's client is not told of."""
        self.account = ""
        self.store_or_none: Store | None = None
        self.view_or_none: View | None = None
        self.enabled: set[str] = set()
        """IMAP4REV2, UTF8=ACCEPT, CONDSTORE, QRESYNC."""
        self.notices: Notices | None = None
        """What NOTIFY asked for (RFC 5465); None: nobody has said NOTIFY."""
        self.made: set[int] = set()
        """UIDs of messages that this session has put into the open mailbox and was not yet told of, after NOTIFY."""
        self.saved: list[int] = []
        """UIDs of the last SEARCH RETURN (SAVE): ``$`` (RFC 5182)."""
        self._parts: tuple[View, int, Sequence[Part]] | None = None
        """The structure of the message that this command looked at last, by UID."""
        self._keywords = 0
        """How many keywords of the open mailbox the client has been told of."""
        self._owes_modseq = False
        self.poisoned: Poisoned = lambda _account, _mailbox, _uid, _fault: None
        """Is called when the content of a message could not be made sense of because of a fault of ours."""
        self.on_fetched: Callable[[int], None] = lambda _count: None
        self.on_added: Callable[[int], None] = lambda _count: None
        self.on_removed: Callable[[int], None] = lambda _count: None

    @property
    def store(self) -> Store:
        """Of who has logged in."""
        if self.store_or_none is None:
            raise Bad("log in first")
        return self.store_or_none

    @property
    def view(self) -> View:
        """The open mailbox."""
        if self.view_or_none is None:
            raise Bad("select a mailbox first")
        return self.view_or_none

    @property
    def writable_view(self) -> View:
        """The open mailbox, when it was not opened with EXAMINE."""
        view = self.view
        if view.is_read_only:
            raise No("This mailbox is open for reading only", "READ-ONLY")
        return view

    @property
    def utf8(self) -> bool:
        """Whether names and quoted strings are UTF-8."""
        return bool(self.enabled & {"UTF8=ACCEPT", "IMAP4REV2"})

    @property
    def has_modseqs(self) -> bool:
        """A CONDSTORE enabling command was seen (RFC 7162 3.1)."""
        return bool(self.enabled & {"CONDSTORE", "QRESYNC"})

    @property
    def has_vanished(self) -> bool:
        """VANISHED takes the place of EXPUNGE (RFC 7162 3.2.10)."""
        return "QRESYNC" in self.enabled

    def enable_modseqs(self, *, has_vanished: bool = False) -> None:
        """A CONDSTORE enabling command; the first one brings the HIGHESTMODSEQ of the open mailbox (RFC 7162 3.1)."""
        self._owes_modseq |= not self.has_modseqs
        self.enabled.add("CONDSTORE")
        if has_vanished:
            self.enabled.add("QRESYNC")

    def owed(self) -> Iterator[bytes]:
        """What is to be said of the open mailbox before a FETCH response that could not be understood without it."""
        if self._owes_modseq:
            self._owes_modseq = False
            if self.view_or_none is not None:
                yield b"* OK [HIGHESTMODSEQ %d] The last change\r\n" % self.view.highestmodseq
        if self.view_or_none is not None and len(self.view.keywords) != self._keywords:
            yield from self.flags_known()

    def flags_known(self) -> Iterator[bytes]:
        """FLAGS and PERMANENTFLAGS of the open mailbox (RFC 9051 7.3.5), told before a new keyword is used."""
        view = self.view
        keywords = tuple(view.keywords)
        self._keywords = len(keywords)
        names = [*SYSTEM_FLAGS, *keywords]
        yield b"* FLAGS " + responses.flags(names) + b"\r\n"
        more = () if view.is_read_only or len(keywords) >= MAX_KEYWORDS else ("\\*",)
        permanent = [] if view.is_read_only else [*names, *more]
        yield b"* OK [PERMANENTFLAGS %b] What can be kept\r\n" % responses.flags(permanent)

    def opened(self, view: View) -> None:
        """A mailbox is open now; all of it is told next."""
        self.view_or_none = view
        self._keywords = -1
        self._owes_modseq = False

    def parts(self, index: int) -> Sequence[Part]:
        """The structure of a message: taken out of the index once for all items of a command that ask for it."""
        view = self.view
        uid = view.uids[index]
        if self._parts is None or self._parts[0] is not view or self._parts[1] != uid:
            self._parts = view, uid, view.parts(index)
        return self._parts[2]

    def is_poison(self, index: int, fault: Exception) -> None:
        """``fault`` was raised by a message's content: told to who runs us, and the message's answer is a poor one.
        Raises ``fault`` again when it is an answer, or a fault of the disk."""
        if isinstance(fault, (Bad, No, Refused, OSError)):
            raise fault
        view = self.view
        self.poisoned(self.account, view.name, view.uids[index], fault)

    def name(self, name: str) -> bytes:
        """A mailbox name as this client reads it."""
        return responses.mailbox(name, utf8=self.utf8)

    def known_as(self, name: str, written: str) -> Iterator[bytes]:
        """Tells a client of IMAP4rev2 of a name that it wrote in another normalization form (RFC 9051 6.3.9.7)."""
        if name != written and "IMAP4REV2" in self.enabled:
            yield b'* LIST () "/" %b ("OLDNAME" (%b))\r\n' % (self.name(name), self.name(written))

    def close_view(self) -> None:
        """No mailbox is open any more; removes nothing."""
        view, self.view_or_none = self.view_or_none, None
        self.saved = []
        self.made.clear()
        self._parts = None
        if view is not None:
            view.close()

    def leave(self) -> None:
        """Nobody is logged in any more, and nothing is left of who was (RFC 8437 4.1)."""
        self.close_view()
        self.store_or_none = None
        self.account = ""
        self.hidden = frozenset()
        self.enabled.clear()
        self.notices = None

    def has_put(self, name: str, uids: Iterable[int]) -> None:
        """The session itself has put messages into a mailbox: NOTIFY does not fetch them (RFC 5465 5.2)."""
        if self.notices is not None and self.view_or_none is not None and self.view_or_none.name == name:
            self.made.update(uids)

    def has_changed(self, *mailboxes: str) -> None:
        """The session itself has made, removed, renamed or subscribed mailboxes: NOTIFY does not tell (RFC 5465 5)."""
        if self.notices is not None:
            self.notices.own(*mailboxes)

    def updates(self, *, may_vanish: bool, with_uid: bool = False, is_own: bool = False) -> Iterator[bytes]:
        """Takes over what changed in the open mailbox, and says so; after NOTIFY, as far as that asks for it, and of
        what the session itself does (``is_own``)."""
        yield from self.owed()
        self._parts = None
        view, notices = self.view_or_none, self.notices
        wanted = MESSAGES if notices is None else notices.wishes.selected
        if view is None or not (wanted or is_own):
            return
        changes = view.refresh(may_vanish=may_vanish)
        if not changes:
            return
        yield from self.owed()
        if changes.vanished:
            gone = {uid for _, uid in changes.vanished}
            self.saved = [uid for uid in self.saved if uid not in gone]
            if self.has_vanished:
                yield b"* VANISHED %b\r\n" % responses.number_set(uid for _, uid in changes.vanished)
            else:
                yield b"".join(b"* %d EXPUNGE\r\n" % number for number, _ in reversed(changes.vanished))
        if changes.new:
            yield b"* %d EXISTS\r\n" % len(view)
            if "IMAP4REV2" not in self.enabled:
                yield self.recent()
            if notices is not None and notices.row is not None:
                yield from self._new(notices.row, range(len(view) - changes.new, len(view)))
        if Event.FLAGS not in wanted:
            return
        for uid in changes.changed:
            index = view.index_of(uid)
            if index >= 0:
                yield self.flags_of(index, with_uid=with_uid or notices is not None)

    def own_updates(self, *, with_uid: bool) -> Iterator[bytes]:
        """Says what the session itself has done in the open mailbox. It is done, also when the disk does not let us
        look at it now."""
        with contextlib.suppress(OSError):
            yield from self.updates(may_vanish=True, with_uid=with_uid, is_own=True)

    def _new(self, row: Callable[[State, int], bytes], run: range) -> Iterator[bytes]:
        """What NOTIFY wants to know of new messages."""
        for index in run:
            uid = self.view.uids[index]
            if uid in self.made:
                self.made.discard(uid)
                continue
            try:
                yield row(self, index)
            except Refused as fault:
                if fault.why is not Refusal.EXPUNGED:
                    raise
            except (OSError, No):
                continue  # it cannot be read, or a part not decoded; FETCH says so to who asks

    def recent(self) -> bytes:
        """The RECENT response (RFC 3501 7.3.2)."""
        return b"* %d RECENT\r\n" % low_octets(self.view.flags).translate(_IS_RECENT).count(1)

    def flags_of(self, index: int, *, with_uid: bool) -> bytes:
        """A FETCH response with the flags of a message."""
        view = self.view
        parts = [b"FLAGS " + self.flag_list(view.flags[index])]
        if with_uid or self.has_vanished:
            parts.insert(0, b"UID %d" % view.uids[index])
        if self.has_modseqs:
            parts.append(b"MODSEQ (%d)" % view.modseqs[index])
        return b"* %d FETCH (%b)\r\n" % (index + 1, b" ".join(parts))

    def flag_list(self, mask: int) -> bytes:
        r"""Flags as this client reads them: IMAP4rev2 has no \Recent (RFC 9051 A)."""
        if "IMAP4REV2" in self.enabled:
            mask &= ~RECENT
        return responses.flags(self.view.flag_names(mask))

    def set_of(self, ranges_or_saved: list[tuple[int, int]] | None, *, by_uid: bool) -> list[int]:
        """The messages that a set, or ``$`` (None), means."""
        from relay.imap.grammar import indexes

        if ranges_or_saved is None:
            found = (self.view.index_of(uid) for uid in self.saved)
            return [index for index in found if index >= 0]
        return indexes(ranges_or_saved, self.view, by_uid=by_uid)
