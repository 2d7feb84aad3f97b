"""The store's slow, obvious twin in memory: keeps the promises of relay/mailbox/interfaces.py with dicts and lists.

For the tests of what uses a store, and for the model that the real store is compared with. ``Disk`` is what several
``TwinStore``s share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from relay import _mime
from relay.mailbox import names
from relay.mailbox.interfaces import Store, View
from relay.mailbox.vocabulary import (
    DELETED,
    FIRST_KEYWORD,
    INBOX,
    MAX_ANNOTATIONS,
    MAX_KEYWORDS,
    RECENT,
    SEEN,
    SPECIAL_USES,
    Appended,
    Changes,
    Copied,
    How,
    Listed,
    Part,
    Quota,
    Refusal,
    Refused,
    Status,
    Stored,
    flag_names,
    system_flags,
)


@dataclass
class TwinMessage:
    """One message in one mailbox."""

    uid: int
    octets: bytes
    flags: int
    modseq: int
    internal_date: int
    save_date: int
    email_id: str


@dataclass
class TwinMailbox:
    """One mailbox; ``expunged`` maps UIDs to the MODSEQ of their end."""

    mailbox_id: str
    uidvalidity: int
    uidnext: int = 1
    highestmodseq: int = 1
    first_recent: int = 1
    messages: dict[int, TwinMessage] = field(default_factory=dict)
    expunged: dict[int, int] = field(default_factory=dict)
    keywords: list[str] = field(default_factory=list)
    special_use: tuple[str, ...] = ()
    annotations: dict[str, bytes] = field(default_factory=dict)
    is_deleted: bool = False

    def put(self, octets: bytes, flags: int, internal_date: int, save_date: int, email_id: str, modseq: int) -> int:
        uid = self.uidnext
        self.uidnext += 1
        self.messages[uid] = TwinMessage(uid, octets, flags, modseq, internal_date, save_date, email_id)
        return uid

    def mask(self, flags: Collection[str]) -> int:
        mask, keywords = system_flags(flags)
        for keyword in keywords:
            known = [each.lower() for each in self.keywords]
            if keyword.lower() not in known:
                if len(known) == MAX_KEYWORDS:
                    raise Refused(Refusal.LIMIT, "too many different keywords in this mailbox")
                self.keywords.append(keyword)
                known.append(keyword.lower())
            mask |= 1 << FIRST_KEYWORD + known.index(keyword.lower())
        return mask

    def tick(self) -> int:
        self.highestmodseq += 1
        return self.highestmodseq


class Disk:
    """What is kept of an account."""

    def __init__(self, clock: Callable[[], int] = lambda: 1_800_000_000) -> None:
        self.clock = clock
        self.count = itertools.count(1)
        self.mailboxes = {INBOX: self.made()}
        self.subscriptions: set[str] = set()
        self.annotations: dict[str, bytes] = {}
        self.watches: list[tuple[TwinMailbox | None, Callable[[], None]]] = []
        self.octets_limit = self.messages_limit = 0
        self.bounds: dict[str, int] = {}
        """Messages that single mailboxes may hold."""

    def made(self) -> TwinMailbox:
        number = next(self.count)
        return TwinMailbox(f"F{number:016x}", 1_700_000_000 + number)

    def changed(self, mailbox: TwinMailbox | None) -> None:
        """None: the account."""
        for watched, changed in list(self.watches):
            if watched is mailbox:
                changed()


class TwinContent:
    """The octets of one message."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    @property
    def size(self) -> int:
        return len(self._octets)

    def read(self, offset: int, count: int) -> bytes:
        return self._octets[offset : offset + count]

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TwinAppending:
    """Messages that are not yet in the mailbox."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._messages: list[tuple[list[bytes], Collection[str], int]] = []

    def add(self, flags: Collection[str] = (), internal_date: int | None = None) -> None:
        system_flags(flags)
        self._messages.append(([], flags, self._disk.clock() if internal_date is None else internal_date))

    def write(self, octets: bytes | memoryview) -> None:
        self._messages[-1][0].append(bytes(octets))
        _require_room(self._disk, sum(len(piece) for pieces, _, _ in self._messages for piece in pieces), 0)

    def commit(self) -> Appended:
        mailbox = _existing(self._disk, self._name)
        _require_room(self._disk, 0, len(self._messages))
        masks = [mailbox.mask(flags) for _, flags, _ in self._messages]
        now, modseq = self._disk.clock(), mailbox.tick()
        uids = []
        for (pieces, _, date), mask in zip(self._messages, masks, strict=True):
            octets = b"".join(pieces).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            uids.append(mailbox.put(octets, mask, date, now, f"M{next(self._disk.count):016x}", modseq))
        self._disk.changed(mailbox)
        return Appended(mailbox.uidvalidity, uids)

    def abort(self) -> None:
        self._messages.clear()


class TwinView:
    """An open mailbox."""

    def __init__(self, disk: Disk, name: str, is_read_only: bool) -> None:
        self.name = name
        self.is_read_only = is_read_only
        self._disk = disk
        self._mailbox = _existing(disk, name)
        self._messages: list[TwinMessage] = []
        self.uids: list[int] = []
        self.flags: list[int] = []
        self.modseqs: list[int] = []
        self.highestmodseq = 0
        self.uidnext = 1
        self._caches: dict[tuple[int, int], bytes] = {}
        self.refresh()

    @property
    def uidvalidity(self) -> int:
        return self._mailbox.uidvalidity

    @property
    def mailbox_id(self) -> str:
        return self._mailbox.mailbox_id

    @property
    def keywords(self) -> Sequence[str]:
        return self._mailbox.keywords

    def __len__(self) -> int:
        return len(self.uids)

    def index_of(self, uid: int) -> int:
        return self.uids.index(uid) if uid in self.uids else -1

    def flag_names(self, mask: int) -> tuple[str, ...]:
        return flag_names(mask, self.keywords)

    def internal_date(self, index: int) -> int:
        return self._messages[index].internal_date

    def save_date(self, index: int) -> int:
        return self._messages[index].save_date

    def size(self, index: int) -> int:
        return len(self._messages[index].octets)

    def sizes(self, run: Sequence[int]) -> list[int]:
        return [self.size(index) for index in run]

    def internal_dates(self, run: Sequence[int]) -> list[int]:
        return [self.internal_date(index) for index in run]

    def email_id(self, index: int) -> str:
        return self._messages[index].email_id

    def uidl(self, index: int) -> str:
        return f"{self.uids[index]:08x}{self.uidvalidity:08x}"

    def refresh(self, *, may_vanish: bool = True) -> Changes:
        if self._mailbox.is_deleted:
            raise Refused(Refusal.NONEXISTENT, "the mailbox was deleted")
        there = self._mailbox.messages
        vanished = [(index + 1, uid) for index, uid in enumerate(self.uids) if uid not in there and may_vanish]
        for number, _ in reversed(vanished):
            for column in (self.uids, self.flags, self.modseqs, self._messages):
                del column[number - 1]
        changed = []
        for index, uid in enumerate(self.uids):
            if uid in there:
                flags = there[uid].flags | self.flags[index] & RECENT
                if (flags, there[uid].modseq) != (self.flags[index], self.modseqs[index]):
                    changed.append(uid)
                    self.flags[index], self.modseqs[index] = flags, there[uid].modseq
        new = [message for uid, message in there.items() if uid >= self.uidnext]
        for message in new:
            recent = RECENT if message.uid >= self._mailbox.first_recent else 0
            self.uids.append(message.uid)
            self.flags.append(message.flags | recent)
            self.modseqs.append(message.modseq)
            self._messages.append(message)
        if not self.is_read_only:
            self._mailbox.first_recent = self._mailbox.uidnext
        self.highestmodseq, self.uidnext = self._mailbox.highestmodseq, self._mailbox.uidnext
        return Changes(len(new), changed, vanished)

    def store_flags(
        self, uids: Iterable[int], how: How, flags: Collection[str], unchanged_since: int | None = None
    ) -> Stored:
        self._require_writable()
        wanted = [uid for uid in self.uids if uid in set(uids)]
        there = self._mailbox.messages
        gone = [uid for uid in wanted if uid not in there]
        present = [there[uid] for uid in wanted if uid in there]
        failed = [each.uid for each in present if unchanged_since is not None and each.modseq > unchanged_since]
        mask = self._mailbox.mask(flags)
        changed: list[int] = []
        for message in present:
            if message.uid in failed:
                continue
            new = {How.ADD: message.flags | mask, How.REMOVE: message.flags & ~mask, How.REPLACE: mask}[how]
            if new != message.flags:
                message.modseq = self._mailbox.highestmodseq if changed else self._mailbox.tick()
                message.flags = new
                changed.append(message.uid)
            index = self.index_of(message.uid)
            self.flags[index] = new | self.flags[index] & RECENT
            self.modseqs[index] = message.modseq
        if changed:
            self._disk.changed(self._mailbox)
        return Stored(changed, failed, gone)

    def expunge(self, uids: Iterable[int] | None = None, *, deleted_only: bool = True) -> Sequence[int]:
        self._require_writable()
        among = set(self.uids) if uids is None else set(uids) & set(self.uids)
        there = self._mailbox.messages
        removed = sorted(uid for uid in among if uid in there and (not deleted_only or there[uid].flags & DELETED))
        self._remove(removed)
        return removed

    def copy(self, uids: Iterable[int], name: str) -> Copied:
        return self._copy(uids, name)

    def move(self, uids: Iterable[int], name: str) -> Copied:
        self._require_writable()
        copied = self._copy(uids, name)
        self._remove(copied.sources)
        return copied

    def vanished_since(self, modseq: int) -> Sequence[int]:
        expunged = self._mailbox.expunged
        return sorted(
            uid for uid, at in expunged.items() if at > modseq and uid not in self.uids and uid < self.uidnext
        )

    def content(self, index: int) -> TwinContent:
        return TwinContent(self._message(index).octets)

    def wholes(self, run: Sequence[int]) -> list[bytes | None]:
        return [self._whole(index) for index in run]

    def _whole(self, index: int) -> bytes | None:
        try:
            octets = self._message(index).octets
        except Refused:
            return None
        return octets if len(octets) <= 65536 else None

    def parts(self, index: int) -> Sequence[Part]:
        octets = self._message(index).octets
        return [_part(octets, each) for each in _mime.scan(octets)]

    def cached(self, index: int, kind: int) -> bytes | None:
        return self._caches.get((self.uids[index], kind))

    def cached_run(self, run: Sequence[int], kind: int) -> list[bytes | None]:
        return [self.cached(index, kind) for index in run]

    def cache(self, index: int, kind: int, octets: bytes) -> None:
        self._caches[self.uids[index], kind] = octets

    def close(self) -> None:
        pass

    def _message(self, index: int) -> TwinMessage:
        message = self._messages[index]
        if message.uid not in self._mailbox.messages:
            raise Refused(Refusal.EXPUNGED, "the message is no longer there")
        return message

    def _copy(self, uids: Iterable[int], name: str) -> Copied:
        target = _existing(self._disk, name)
        there = self._mailbox.messages
        sources = [uid for uid in self.uids if uid in set(uids) and uid in there]
        _require_room(self._disk, sum(len(there[uid].octets) for uid in sources), len(sources))
        masks = [target.mask(self.flag_names(there[uid].flags)) for uid in sources]
        now, modseq, made = self._disk.clock(), target.tick() if sources else 0, []
        for uid, mask in zip(sources, masks, strict=True):
            old = there[uid]
            made.append(target.put(old.octets, mask, old.internal_date, now, old.email_id, modseq))
        self._disk.changed(target)
        return Copied(target.uidvalidity, sources, made)

    def _remove(self, uids: Sequence[int]) -> None:
        if uids:
            modseq = self._mailbox.tick()
            for uid in uids:
                del self._mailbox.messages[uid]
                self._mailbox.expunged[uid] = modseq
            self._disk.changed(self._mailbox)

    def _require_writable(self) -> None:
        if self._mailbox.is_deleted:
            raise Refused(Refusal.NONEXISTENT, "the mailbox was deleted")
        if self.is_read_only:
            raise Refused(Refusal.READ_ONLY, "the mailbox is open read-only")


class TwinStore:
    """The mailboxes of one account."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()

    def list(self) -> Sequence[Listed]:
        mailboxes, subscriptions = self.disk.mailboxes, self.disk.subscriptions
        known = {*mailboxes, *subscriptions}
        known |= {parent for name in known for parent in names.parents(name)}
        return [
            Listed(
                name,
                name in mailboxes,
                name in subscriptions,
                any(other.startswith(name + "/") for other in mailboxes),
                mailboxes[name].special_use if name in mailboxes else (),
            )
            for name in sorted(known, key=lambda name: (name != INBOX, name))
        ]

    def create(self, name: str, special_use: Collection[str] = ()) -> str:
        name = names.checked(name.removesuffix("/"))
        self._require_new(name)
        self._require_free(name, special_use)
        made = self.disk.mailboxes[name] = self.disk.made()
        made.special_use = tuple(sorted(special_use))
        self.disk.changed(None)
        return made.mailbox_id

    def delete(self, name: str) -> None:
        name = names.checked(name)
        mailbox = _existing(self.disk, name)
        if name == INBOX:
            raise Refused(Refusal.CANNOT, "INBOX cannot be deleted")
        mailbox.is_deleted = True
        del self.disk.mailboxes[name]
        self.disk.changed(mailbox)
        self.disk.changed(None)

    def rename(self, name: str, new_name: str) -> None:
        name, new_name = names.checked(name), names.checked(new_name.removesuffix("/"))
        self._require_new(new_name)
        if name == INBOX:
            inbox, new = _existing(self.disk, name), self.disk.made()
            self.disk.mailboxes[new_name] = new
            new.annotations = dict(inbox.annotations)
            view = TwinView(self.disk, INBOX, is_read_only=True)
            moved = view.copy(view.uids, new_name).sources
            view._remove(moved)
            self.disk.changed(inbox)
            self.disk.changed(None)
            return
        mailboxes = self.disk.mailboxes
        moving = [each for each in mailboxes if each == name or each.startswith(name + "/")]
        if not moving:
            raise Refused(Refusal.NONEXISTENT, "there is no such mailbox")
        if new_name.startswith(name + "/"):
            raise Refused(Refusal.CANNOT, "a mailbox cannot be moved below itself")
        for each in moving:
            self._require_new(new_name + each[len(name) :])
        for each in moving:
            mailboxes[names.checked(new_name + each[len(name) :])] = mailboxes.pop(each)
        self.disk.changed(None)

    def subscribe(self, name: str) -> None:
        self.disk.subscriptions.add(names.checked(name))
        self.disk.changed(None)

    def unsubscribe(self, name: str) -> None:
        self.disk.subscriptions.discard(names.checked(name))
        self.disk.changed(None)

    def set_special_use(self, name: str, special_use: Collection[str]) -> None:
        name = names.checked(name)
        mailbox = _existing(self.disk, name)
        self._require_free(name, special_use)
        mailbox.special_use = tuple(sorted(special_use))

    def annotations(self, name: str) -> Mapping[str, bytes]:
        return dict(_existing(self.disk, name).annotations if name else self.disk.annotations)

    def annotate(self, name: str, changes: Mapping[str, bytes | None]) -> None:
        before = self.annotations(name)
        after = {entry: value for entry, value in {**before, **changes}.items() if value is not None}
        if len(after) > MAX_ANNOTATIONS:
            raise Refused(Refusal.LIMIT, "there are as many annotations as there may be")
        if name:
            _existing(self.disk, name).annotations = after
            self.disk.changed(_existing(self.disk, name))
        else:
            self.disk.annotations = after
            self.disk.changed(None)

    def status(self, name: str) -> Status:
        mailbox = _existing(self.disk, name)
        messages = mailbox.messages.values()
        return Status(
            len(messages),
            sum(each.uid >= mailbox.first_recent for each in messages),
            sum(not each.flags & SEEN for each in messages),
            sum(bool(each.flags & DELETED) for each in messages),
            sum(len(each.octets) for each in messages),
            mailbox.uidnext,
            mailbox.uidvalidity,
            mailbox.highestmodseq,
            mailbox.mailbox_id,
        )

    def quota(self) -> Quota:
        octets, messages = _use(self.disk)
        return Quota(octets, self.disk.octets_limit, messages, self.disk.messages_limit)

    def mailbox_quota(self, name: str) -> Quota:
        messages = _existing(self.disk, name).messages.values()
        if bound := self.disk.bounds.get(name, 0):
            return Quota(sum(len(each.octets) for each in messages), 0, len(messages), bound)
        return Quota(0, 0, 0, 0)

    def begin_append(self, name: str) -> TwinAppending:
        _existing(self.disk, name)
        return TwinAppending(self.disk, name)

    def open(self, name: str, *, read_only: bool = False) -> TwinView:
        return TwinView(self.disk, names.checked(name), read_only)

    def _require_new(self, name: str) -> None:
        if name in self.disk.mailboxes:
            raise Refused(Refusal.ALREADY_EXISTS, "there is such a mailbox already")

    def _require_free(self, name: str, special_use: Collection[str]) -> None:
        for use in special_use:
            taken = any(use in each.special_use for other, each in self.disk.mailboxes.items() if other != name)
            if use not in SPECIAL_USES or taken:
                raise Refused(Refusal.CANNOT, f"{use} cannot be given to this mailbox")


class TwinWatcher:
    """Calls at once, from whoever changes the mailbox."""

    def fileno(self) -> int:
        return -1

    def watch(self, view: View, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(view, TwinView)
        return self._watch(view._disk, view._mailbox, changed)

    def watch_mailbox(self, store: Store, name: str, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(store, TwinStore)
        return self._watch(store.disk, store.disk.mailboxes.get(name), changed)

    def watch_account(self, store: Store, changed: Callable[[], None]) -> Callable[[], None]:
        assert isinstance(store, TwinStore)
        return self._watch(store.disk, None, changed)

    def _watch(self, disk: Disk, mailbox: TwinMailbox | None, changed: Callable[[], None]) -> Callable[[], None]:
        entry = (mailbox, changed)
        disk.watches.append(entry)
        return lambda: disk.watches.remove(entry)

    def dispatch(self) -> None:
        pass

    def close(self) -> None:
        pass


def _existing(disk: Disk, name: str) -> TwinMailbox:
    mailbox = disk.mailboxes.get(names.checked(name))
    if mailbox is None:
        raise Refused(Refusal.NONEXISTENT, "there is no such mailbox")
    return mailbox


def _use(disk: Disk) -> tuple[int, int]:
    """Octets as they are on disk, with LF lines, and messages."""
    messages = [message for mailbox in disk.mailboxes.values() for message in mailbox.messages.values()]
    return sum(len(each.octets) - each.octets.count(b"\r\n") for each in messages), len(messages)


def _require_room(disk: Disk, octets: int, messages: int) -> None:
    used, count = _use(disk)
    if (disk.octets_limit and used + octets > disk.octets_limit) or (
        disk.messages_limit and count + messages > disk.messages_limit
    ):
        raise Refused(Refusal.OVER_QUOTA, "the account is over its quota")


def _part(octets: bytes, part: _mime.Part) -> Part:
    return Part(
        part.kind,
        part.content_type(octets),
        part.encoding,
        part.header.start,
        part.body.start,
        part.body.stop,
        part.lines,
        part.parent,
        part.children,
        part.after,
        {name: octets[at].replace(b"\r\n", b"\n") for name, at in part.fields.items()},
    )
