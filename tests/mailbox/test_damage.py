"""Logs, indexes and facts that a crash or a disk left damaged: nothing that was promised is broken."""

from __future__ import annotations

import contextlib
import os
import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mailbox import uidlog
from relay.mailbox.appending import HELD
from relay.mailbox.columns import Picture, packed
from relay.mailbox.store import FolderStore
from relay.mailbox.uidlog import Added, Claimed, Expunged, Flagged, Head, Item, Keyword, Looked, Uidl
from relay.mailbox.vocabulary import How
from tests.mailbox.test_contract import put, read

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
TIME = st.integers(-(1 << 40), 1 << 40)
NAME = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
ITEMS = st.lists(st.builds(Item, U32, U64, U64, TIME, TIME, NAME), min_size=1, max_size=4)
RECORDS = st.one_of(
    st.builds(Added, U64, ITEMS),
    st.builds(Flagged, U64, st.lists(st.tuples(U32, U64), max_size=4)),
    st.builds(Expunged, U64, st.lists(U32, max_size=4).map(tuple)),
    st.builds(Claimed, st.lists(U32, max_size=4).map(tuple)),
    st.builds(Keyword, st.integers(0, 55), NAME),
    st.builds(Uidl, U32, NAME),
    st.builds(Looked, U64, U64, U64, U32, U64, U32),
)


@given(st.lists(RECORDS, max_size=6), st.binary(max_size=30))
def test_records_come_back_and_a_torn_tail_does_not(records, tail):
    octets = uidlog.encode_all(records)
    parsed = uidlog.parse(octets)
    assert parsed.records == records
    assert (parsed.end, parsed.damaged) == (len(octets), 0)
    if records:
        torn = uidlog.parse(octets[:-1])
        assert torn.records == records[:-1]
    assert uidlog.parse(octets + bytes(len(tail))).records == records


@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
def test_damage_in_the_middle_costs_only_the_record_that_it_hit(records, data):
    octets = bytearray(uidlog.encode_all(records))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= 0x55
    found = uidlog.parse(bytes(octets)).records
    assert len(found) == len(records) - 1
    assert all(record in records for record in found)


def test_a_compacted_log_gives_the_same_picture():
    picture = Picture(Head(7, 8, 9, 1, 1, 1, 0))
    for record in (
        Keyword(0, "$Work"),
        Added(2, [Item(uid, 0, uid, 5, 6, f"m{uid},S=1,W=2") for uid in range(1, 5)]),
        Flagged(3, [(2, 1)]),
        Expunged(4, [1, 3]),
        Uidl(2, "old"),
        Looked(11, 12, 0, 9, 4, 3),
    ):
        picture.apply(record)
    again = packed(picture, picture.records(10))
    assert list(again.uids) == [2, 4]
    assert list(again.flags) == [1, 0]
    assert list(again.modseqs) == [3, 2]
    assert [again.base(row) for row in again.rows()] == ["m2,S=1,W=2", "m4,S=1,W=2"]
    assert (again.uidnext, again.highestmodseq, again.first_recent) == (9, 4, 3)
    assert list(again.expunged_uids) == [1, 3]
    assert again.uidls == {2: "old"}
    assert again.keywords == ["$Work"]


@pytest.mark.parametrize("name", ["relay-index", "relay-facts"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped", "rubbish"])
def test_what_can_be_rebuilt_is_rebuilt(tmp_path, name, damage):
    store = FolderStore(tmp_path / "ann")
    put(store, b"Subject: one\r\n\r\ntext\r\n", b"Subject: two\r\n\r\n", flags=["$Work"])
    view = store.open("INBOX")
    parts = view.parts(0)
    view.cache(1, 20, b"value")
    store.mailbox("INBOX").rebuild()
    view.parts(0)
    view.cache(1, 20, b"value")
    path = tmp_path / "ann" / name
    octets = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(octets) // 2
        path.write_bytes(
            {
                "empty": b"",
                "cut": octets[:-3],
                "flipped": octets[:middle] + bytes([octets[middle] ^ 1]) + octets[middle + 1 :],
                "rubbish": b"rubbish" * 100,
            }[damage]
        )
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert list(view.uids) == [1, 2]
    assert view.parts(0) == parts
    assert view.cached(1, 20) in {b"value", None}
    assert read(view, 0) == b"Subject: one\r\n\r\ntext\r\n"
    view.cache(1, 20, b"another")
    assert view.cached(1, 20) == b"another"


def test_a_log_that_is_lost_gives_another_uidvalidity(tmp_path):
    """I7: no UID means another message under one UIDVALIDITY."""
    store = FolderStore(tmp_path / "ann")
    put(store, b"one", b"two", flags=["$Work"])
    before = store.status("INBOX")
    (tmp_path / "ann" / "relay-uids").write_bytes(b"rubbish")
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert view.uidvalidity > before.uidvalidity
    assert len(view) == 2
    assert "$Work" in view.flag_names(view.flags[0])
    assert list((tmp_path / "ann").glob("relay-uids.damaged-*"))


def test_damage_in_the_middle_of_a_log_uses_no_uid_twice(tmp_path):
    """I7."""
    store = FolderStore(tmp_path / "ann")
    put(store, b"one")
    start = (tmp_path / "ann" / "relay-uids").stat().st_size
    put(store, b"two")
    stop = (tmp_path / "ann" / "relay-uids").stat().st_size
    put(store, b"three")
    mailbox, old = store.mailbox("INBOX"), time.time() - 100
    for place in ("new", "cur"):  # so long ago that the log says: all of it is known
        os.utime(mailbox.folder / place, (old, old))
    before = store.status("INBOX")
    assert mailbox.picture.looked[1]
    path = tmp_path / "ann" / "relay-uids"
    octets = bytearray(path.read_bytes())
    for at in range(start, stop):
        octets[at] ^= 0xFF
    path.write_bytes(octets)
    (tmp_path / "ann" / "relay-index").unlink(missing_ok=True)
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert view.uidvalidity == before.uidvalidity
    assert list(view.uids) == [1, 3, 4]
    assert [read(view, index) for index in range(3)] == [b"one", b"three", b"two"]


@contextlib.contextmanager
def full_from(size):
    """No file of this process can grow past ``size`` octets: writing there fails as on a full disk (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_changes_nothing(tmp_path):
    store = FolderStore(tmp_path / "ann")
    put(store, b"one")
    view = store.open("INBOX")
    mailbox = store.mailbox("INBOX")
    log = tmp_path / "ann" / "relay-uids"
    for room in (0, 10):  # the write fails, or only its end does
        with full_from(log.stat().st_size + room):
            with pytest.raises(OSError, match="File too large"):
                view.store_flags([1], How.ADD, ["\\Seen"])
            with pytest.raises(OSError, match="File too large"):
                put(store, b"two")
            with pytest.raises(OSError, match="File too large"):
                put(store, b"two", b"three")
        assert mailbox.log.end == log.stat().st_size
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert list(view.uids) == [1]
    assert put(store, b"three") == [2]


@pytest.mark.parametrize("size", [10, HELD + 10])
def test_a_message_that_the_disk_has_no_room_for_leaves_no_file(tmp_path, size):
    """Also one that is too long to be held in memory."""
    store = FolderStore(tmp_path / "ann")
    put(store, b"one")
    appending = store.begin_append("INBOX")
    appending.add()

    def rest():
        appending.write(b"x" * size)
        appending.commit()

    with full_from(size - 1), pytest.raises(OSError, match="File too large"):
        rest()
    appending.abort()
    assert os.listdir(tmp_path / "ann" / "tmp") == []
    assert list(store.open("INBOX").uids) == [1]
