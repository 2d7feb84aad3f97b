"""The store against its twin: two processes with a view each, and foreign programs in between."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.mailbox.maildir import Message, deliver
from relay.mailbox.store import FolderStore
from relay.mailbox.view import FolderView
from relay.mailbox.vocabulary import How, Refusal, Refused
from tests.mailbox.twin import Disk, TwinStore, TwinView

WHO = st.sampled_from([0, 1])
FLAGS = st.lists(st.sampled_from(["\\Seen", "\\Deleted", "\\Flagged", "$Work", "later"]), max_size=3, unique=True)
BODIES = st.sampled_from([b"", b"A: b\r\n\r\ntext\r\n", b"one\r\ntwo", b"a\rb\r\n", b"x" * 7_000 + b"\r\n" * 9])
UIDS = st.lists(st.integers(1, 12), max_size=4)
NAMES = st.sampled_from(["INBOX", "Work"])


def outcome(call: Callable[[], Any]) -> Any:
    """What comes back, or why not."""
    try:
        return call()
    except Refused as refused:
        return refused.why


class Model(RuleBasedStateMachine):
    """Every rule does one thing to both and compares what they say."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "ann"
        self.stores = [FolderStore(self.root), FolderStore(self.root)]
        self.twin = TwinStore(Disk())
        self.views: list[FolderView | None] = [None, None]
        self.twins: list[TwinView | None] = [None, None]
        for store in (self.stores[0], self.twin):
            store.create("Work")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(who=WHO, name=NAMES, read_only=st.booleans())
    def open(self, who: int, name: str, read_only: bool) -> None:
        self.views[who] = self.stores[who].open(name, read_only=read_only)
        self.twins[who] = self.twin.open(name, read_only=read_only)
        self.compare(who)

    @rule(who=WHO, may_vanish=st.booleans())
    def refresh(self, who: int, may_vanish: bool) -> None:
        view, twin = self.pair(who)
        if view is None or twin is None:
            return
        before = {uid: set(view.flag_names(mask)) for uid, mask in zip(view.uids, view.flags, strict=True)}
        ours, theirs = view.refresh(may_vanish=may_vanish), twin.refresh(may_vanish=may_vanish)
        assert ours.new == theirs.new
        assert list(ours.vanished) == list(theirs.vanished)
        assert set(ours.changed) <= set(theirs.changed)
        for uid, names in before.items():
            index = view.index_of(uid)
            if index >= 0 and set(view.flag_names(view.flags[index])) != names:
                assert uid in ours.changed
        self.compare(who)

    @rule(who=WHO, name=NAMES, bodies=st.lists(BODIES, max_size=3), flags=FLAGS)
    def append(self, who: int, name: str, bodies: list[bytes], flags: list[str]) -> None:
        uids = []
        for store in (self.stores[who], self.twin):
            appending = store.begin_append(name)
            for body in bodies:
                appending.add(flags, 1_000_000_000)
                appending.write(body)
            uids.append(list(appending.commit().uids))
        assert uids[0] == uids[1]

    @rule(who=WHO, uids=UIDS, how=st.sampled_from(How), flags=FLAGS)
    def store_flags(self, who: int, uids: list[int], how: How, flags: list[str]) -> None:
        def done(view: FolderView | TwinView) -> tuple[list[int], ...]:
            stored = view.store_flags(uids, how, flags)
            return sorted(stored.changed), list(stored.failed), list(stored.gone)

        self.both(who, done)

    @rule(who=WHO, uids=st.none() | UIDS, deleted_only=st.booleans())
    def expunge(self, who: int, uids: list[int] | None, deleted_only: bool) -> None:
        self.both(who, lambda view: list(view.expunge(uids, deleted_only=deleted_only)))

    @rule(who=WHO, uids=UIDS, name=NAMES)
    def copy(self, who: int, uids: list[int], name: str) -> None:
        def done(view: FolderView | TwinView) -> tuple[list[int], list[int]]:
            copied = view.copy(uids, name)
            return list(copied.sources), list(copied.uids)

        self.both(who, done)

    @rule(who=WHO, uids=UIDS, name=NAMES)
    def move(self, who: int, uids: list[int], name: str) -> None:
        def done(view: FolderView | TwinView) -> tuple[list[int], list[int]]:
            moved = view.move(uids, name)
            return list(moved.sources), list(moved.uids)

        self.both(who, done)

    @rule(name=NAMES, body=BODIES)
    def somebody_delivers(self, name: str, body: bytes) -> None:
        (result,) = deliver([Message(self.where(name), (body,))])
        assert isinstance(result, str)
        appending = self.twin.begin_append(name)
        appending.add((), 1_000_000_000)
        appending.write(body)
        appending.commit()

    @rule(name=NAMES, which=st.integers(0, 5))
    def somebody_removes_a_file(self, name: str, which: int) -> None:
        uid = self.known(name, which)
        if uid:
            os.unlink(self.where(name) / self.path(name, uid))
            view = self.twin.open(name, read_only=True)
            view._remove([uid])

    @rule(name=NAMES, which=st.integers(0, 5), letters=st.sampled_from(["", "S", "FS", "ST", "SF", "XS"]))
    def somebody_renames_a_file(self, name: str, which: int, letters: str) -> None:
        uid = self.known(name, which)
        if uid:
            path = self.path(name, uid)
            base = path[4:].partition(":")[0]
            os.rename(self.where(name) / path, self.where(name) / "cur" / f"{base}:2,{letters}")
            twin = self.twin.disk.mailboxes[name]
            names = {"S": "\\Seen", "F": "\\Flagged", "T": "\\Deleted"}
            twin.messages[uid].flags = twin.mask([names[letter] for letter in letters if letter in names])
            twin.messages[uid].modseq = twin.tick()

    @rule(who=WHO)
    def the_process_is_another_one(self, who: int) -> None:
        self.stores[who] = FolderStore(self.root)
        self.views[who] = self.twins[who] = None

    @rule(name=NAMES)
    def the_index_is_lost(self, name: str) -> None:
        for file in self.where(name).glob("relay-index"):
            file.unlink()

    @invariant()
    def no_message_is_missing(self) -> None:
        if hasattr(self, "twin"):
            for name in ("INBOX", "Work"):
                ours, theirs = self.stores[0].status(name), self.twin.status(name)
                fields = ("messages", "recent", "unseen", "deleted", "size", "uidnext")
                assert [getattr(ours, field) for field in fields] == [getattr(theirs, field) for field in fields]

    def pair(self, who: int) -> tuple[FolderView | None, TwinView | None]:
        return self.views[who], self.twins[who]

    def both(self, who: int, call: Callable[[Any], Any]) -> None:
        view, twin = self.pair(who)
        if view is not None and twin is not None:
            ours, theirs = outcome(lambda: call(view)), outcome(lambda: call(twin))
            assert ours == theirs
            self.compare(who)

    def compare(self, who: int) -> None:
        view, twin = self.pair(who)
        assert view is not None
        assert twin is not None
        assert list(view.uids) == twin.uids
        for index in range(len(view)):
            names = view.flag_names(view.flags[index]), twin.flag_names(twin.flags[index])
            assert set(names[0]) == set(names[1])

            def octets(of: Any, index: int = index) -> Any:
                with of.content(index) as content:
                    return content.read(0, 1 << 20)

            got, wanted = outcome(lambda: octets(view)), outcome(lambda: octets(twin))
            assert got == wanted
            if wanted is not Refusal.EXPUNGED:
                assert view.size(index) == twin.size(index)

    def known(self, name: str, which: int) -> int | None:
        """The UID of some message that has one."""
        self.stores[0].status(name)
        uids = sorted(self.twin.disk.mailboxes[name].messages)
        return uids[which % len(uids)] if uids else None

    def path(self, name: str, uid: int) -> str:
        """Where its file is."""
        mailbox = self.stores[0].mailbox(name)
        with mailbox.locked():
            return mailbox.found(uid)

    def where(self, name: str) -> Path:
        return self.root if name == "INBOX" else self.root / f".{name}"


Model.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)

TestTheStoreKeepsThePromisesOfItsTwin = Model.TestCase
