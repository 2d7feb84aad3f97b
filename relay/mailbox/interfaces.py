"""What IMAP, POP3 and Sieve use of the store: one account's mailboxes, an open mailbox, a message.

The real ones are relay/mailbox/store.py and relay/mailbox/view.py; tests/mailbox/twin.py is a slow, obvious twin in
memory that keeps the same promises (tests/mailbox/test_contract.py runs on both).

One message that cannot be read is no fault of its mailbox: what needs its octets (``content``, ``parts``, ``copy``) is
OSError, all else works, and the operator is told. What is asked of several messages must go on with the next one.

Everything here blocks: workers call it in threads. A store may be used by several threads at once; a view, and what
came from it, by one at a time. Other processes and foreign programs change the same mailboxes meanwhile; only
``View.refresh`` lets a view see that. Errors: ``Refused`` says why in terms of IMAP; OSError is a fault of the disk.

Mailbox names are text (the protocol's encoding is the session's business), levels separated by ``/``; ``INBOX`` is
meant in any case. Names are checked here: no empty level, no control octets, bounded (relay/mailbox/names.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from relay.mailbox.vocabulary import Appended, Changes, Copied, How, Listed, Part, Quota, Status, Stored


class Content(Protocol):
    """The octets of one message as they are sent, with CRLF lines. To be closed; a ``with`` block does it."""

    @property
    def size(self) -> int:
        """RFC822.SIZE."""

    def read(self, offset: int, count: int) -> bytes:
        """At most ``count`` octets from ``offset``, fewer only at the end. Reading on where the last call ended, or
        from where a part begins, needs no look at what lies before."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Appending(Protocol):
    """Messages on their way into a mailbox (APPEND, MULTIAPPEND): all of them appear, or none.

    ``add`` begins a message, ``write`` takes its octets as they arrive, ``commit`` publishes all. Without ``commit``,
    ``abort`` leaves nothing behind; both may be called once, ``abort`` again after that does nothing.
    """

    def add(self, flags: Collection[str] = (), internal_date: int | None = None) -> None:
        """Begins the next message; ``internal_date`` in seconds since 1970, None is now. Refused for bad flags."""

    def write(self, octets: bytes | memoryview) -> None:
        """The next octets of the message, which are served as they are, whatever their lines end with; to disk at
        once, nothing is gathered in memory. Refused OVER_QUOTA as soon as the account would be over its quota."""

    def commit(self) -> Appended:
        """Publishes all messages; on return they are durable. Refused when the mailbox has gone meanwhile."""

    def abort(self) -> None: ...


class View(Protocol):
    """An open mailbox as one session sees it; changes only by ``refresh`` and by what the session itself stores.

    The message with sequence number n has index n - 1 in ``uids``, ``flags`` and ``modseqs``; the sequences are
    replaced or changed in place by ``refresh`` and ``store_flags``: do not keep them. Per-message calls take an index.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_read_only(self) -> bool: ...
    @property
    def uidvalidity(self) -> int: ...
    @property
    def mailbox_id(self) -> str: ...
    @property
    def uidnext(self) -> int:
        """Above all UIDs of the view."""

    @property
    def highestmodseq(self) -> int:
        """At the last refresh; all MODSEQs in the view that others made are at most this."""

    @property
    def keywords(self) -> Sequence[str]:
        """The mailbox's keywords by number."""

    @property
    def uids(self) -> Sequence[int]:
        """Ascending."""

    @property
    def flags(self) -> Sequence[int]:
        """Masks (relay/mailbox/vocabulary.py)."""

    @property
    def modseqs(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def index_of(self, uid: int) -> int:
        """The index of the message ``uid``, -1 when it is not in the view."""

    def flag_names(self, mask: int) -> tuple[str, ...]: ...
    def internal_date(self, index: int) -> int:
        """Seconds since 1970."""

    def save_date(self, index: int) -> int:
        """When it came into this mailbox (RFC 8514), seconds since 1970."""

    def size(self, index: int) -> int:
        """RFC822.SIZE: octets as they are sent; of a message that cannot be read, as far as its file's name tells, or
        the folder."""

    def sizes(self, run: Sequence[int]) -> list[int]:
        """``size`` for each of ``run``, indexes; much cheaper than one by one."""

    def internal_dates(self, run: Sequence[int]) -> list[int]:
        """``internal_date`` for each of ``run``."""

    def email_id(self, index: int) -> str:
        """RFC 8474: the same for copies of one message."""

    def uidl(self, index: int) -> str:
        """RFC 1939 UIDL: Dovecot's default form ``%08Xu%08Xv``, or what a taken-over Maildir fixed for the message."""

    def refresh(self, *, may_vanish: bool = True) -> Changes:
        """Looks at the mailbox and takes over what changed. With ``may_vanish`` false (commands during which no
        EXPUNGE may be sent, RFC 9051 7.5.1) messages that are gone stay in the view until a later refresh. Costs a
        few system calls when nothing changed. Refused NONEXISTENT when the mailbox was deleted."""

    def store_flags(
        self, uids: Iterable[int], how: How, flags: Collection[str], unchanged_since: int | None = None
    ) -> Stored:
        """Changes the flags of the messages ``uids`` (others are ignored) and the view's own picture of them; on
        return it is durable. A message whose flags stay as they are keeps its MODSEQ."""

    def expunge(self, uids: Iterable[int] | None = None, *, deleted_only: bool = True) -> Sequence[int]:
        r"""Removes messages: all with \Deleted; only those of ``uids`` (UID EXPUNGE) among them; without
        ``deleted_only`` (POP3) all of ``uids``. Returns the UIDs of this view that this call removed, ascending. The
        view itself changes at its next refresh. What is removed can be restored for a while."""

    def copy(self, uids: Iterable[int], name: str) -> Copied:
        """Copies messages, with flags, internal date and email id, to mailbox ``name``: all or none. Durable."""

    def move(self, uids: Iterable[int], name: str) -> Copied:
        """The same, and removes them here (RFC 6851); what cannot be moved because it has gone is left out."""

    def vanished_since(self, modseq: int) -> Sequence[int]:
        """UIDs expunged after ``modseq`` (RFC 7162 3.2), ascending, none of them in the view. When that is longer ago
        than is remembered: all UIDs below ``uidnext`` that are not in the view."""

    def content(self, index: int) -> Content:
        """The message's octets. Refused EXPUNGED when it is gone; OSError when it cannot be read."""

    def wholes(self, run: Sequence[int]) -> list[bytes | None]:
        """All octets of each message of ``run``, indexes; None for one that is long, or that ``content`` must look
        for. Much cheaper than ``content`` for each; the caller sees to it that all together fit in memory."""

    def parts(self, index: int) -> Sequence[Part]:
        """The structure of the message, from the index when it is there. Refused EXPUNGED when it is gone; OSError
        when it cannot be read."""

    def cached(self, index: int, kind: int) -> bytes | None:
        """What ``cache`` was given for this message. A cache: may be None at any time. ``kind`` is a number from 16
        to 255 that the caller has chosen (relay/imap: ENVELOPE, BODYSTRUCTURE ready to send)."""

    def cached_run(self, run: Sequence[int], kind: int) -> list[bytes | None]:
        """``cached`` for each of ``run``, indexes; much cheaper than one by one."""

    def cache(self, index: int, kind: int, octets: bytes) -> None:
        """Keeps a small value that follows from the message's octets alone, for every process, until the message
        goes. Values above 64 KiB are not kept."""

    def close(self) -> None:
        """Gives back what the view holds; removes nothing."""


class Store(Protocol):
    """The mailboxes of one account. INBOX always exists."""

    def list(self) -> Sequence[Listed]:
        """All mailboxes, and names that are only subscribed or only have others below; INBOX first, then by name."""

    def create(self, name: str, special_use: Collection[str] = ()) -> str:
        """Makes a mailbox (and no missing parents: those are listed as not existing); returns its OBJECTID
        MAILBOXID. A trailing separator is ignored (RFC 9051 6.3.4). Refused ALREADY_EXISTS, CANNOT, LIMIT."""

    def delete(self, name: str) -> None:
        """Deletes a mailbox; its messages can be restored for a while. Those below it stay. Its UIDVALIDITY is never
        used again under this name. Refused NONEXISTENT, CANNOT (INBOX)."""

    def rename(self, name: str, new_name: str) -> None:
        """Renames a mailbox and all below it; of INBOX, moves its messages to a new mailbox (RFC 9051 6.3.6).
        Subscriptions stay as they are. Refused NONEXISTENT, ALREADY_EXISTS, CANNOT."""

    def subscribe(self, name: str) -> None:
        """The mailbox need not exist (RFC 9051 6.3.7)."""

    def unsubscribe(self, name: str) -> None: ...

    def set_special_use(self, name: str, special_use: Collection[str]) -> None:
        """Refused CANNOT when another mailbox has it."""

    def annotations(self, name: str) -> Mapping[str, bytes]:
        """The annotations of a mailbox, or of the account for ``""`` (RFC 5464), by name. Refused NONEXISTENT."""

    def annotate(self, name: str, changes: Mapping[str, bytes | None]) -> None:
        """Sets annotations, or removes those that are None: all or none; durable on return. They go where their
        mailbox goes. Refused NONEXISTENT, LIMIT (MAX_ANNOTATIONS), OVER_QUOTA."""

    def status(self, name: str) -> Status: ...

    def quota(self) -> Quota: ...

    def mailbox_quota(self, name: str) -> Quota:
        """What is in the mailbox, when it has limits of its own; else all 0. Refused NONEXISTENT."""

    def begin_append(self, name: str) -> Appending:
        """Refused NONEXISTENT (TRYCREATE). Begin, write and commit may happen in different threads, one at a time."""

    def open(self, name: str, *, read_only: bool = False) -> View:
        r"""A read-only view changes nothing on disk that a user sees, \Recent included. Where nothing can be written
        every view is read-only."""


class Watcher(Protocol):
    """Tells when mailboxes change, whoever changes them; one for a worker, for all of its sessions.

    For a loop: when ``fileno`` becomes readable, call ``dispatch``; where it is -1 (no inotify), and in any case for
    what inotify does not see (network file systems), call ``dispatch`` once a second too.
    """

    def fileno(self) -> int: ...

    def watch(self, view: View, changed: Callable[[], None]) -> Callable[[], None]:
        """``changed`` is called from ``dispatch`` when the view's mailbox may have changed (once for many changes);
        then refresh. Returns what ends the watch. Costs one kernel watch a folder, however many sessions."""

    def watch_mailbox(self, store: Store, name: str, changed: Callable[[], None]) -> Callable[[], None]:
        """The same for a mailbox that is not open, and for its annotations."""

    def watch_account(self, store: Store, changed: Callable[[], None]) -> Callable[[], None]:
        """The same for the list of mailboxes, their special uses, subscriptions, annotations of the account."""

    def dispatch(self) -> None:
        """Never blocks for long: reads events, or looks at modification times."""

    def close(self) -> None: ...
