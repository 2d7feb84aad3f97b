"""What every store promises (relay/mailbox/interfaces.py), run on the twin and on the real one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial

import pytest

from relay.mailbox.interfaces import Store, View
from relay.mailbox.maildir import make_maildir
from relay.mailbox.store import FolderStore, Stores
from relay.mailbox.vocabulary import (
    ANSWERED,
    DELETED,
    FIRST_KEYWORD,
    MAX_KEYWORDS,
    RECENT,
    SEEN,
    Changes,
    How,
    Refusal,
    Refused,
)
from tests.mailbox.twin import Disk, TwinStore

NESTED = (
    b"From: a@example.org\r\nSubject: two\r\n parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nfirst\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAAA\r\n--b--\r\n"
)


@pytest.fixture(params=["twin", "one process", "several processes"])
def again(request, tmp_path) -> Callable[[], Store]:
    """Opens the same account, as another session would: in this process, or in another one (that shares nothing)."""
    if request.param == "twin":
        disk = Disk()
        return lambda: TwinStore(disk)
    if request.param == "several processes":
        return lambda: FolderStore(tmp_path / "ann")
    shared = Stores()
    return lambda: shared.of(tmp_path / "ann")


@pytest.fixture
def store(again) -> Store:
    opened: Store = again()
    return opened


def put(store: Store, *octets: bytes, name: str = "INBOX", flags=(), date: int | None = None) -> list[int]:
    appending = store.begin_append(name)
    for each in octets:
        appending.add(flags, date)
        appending.write(each)
    return list(appending.commit().uids)


def refused(why: Refusal, call: Callable[[], object]) -> None:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.why is why


def names_of(view: View, uid: int) -> set[str]:
    return set(view.flag_names(view.flags[view.index_of(uid)]))


def read(view: View, index: int) -> bytes:
    with view.content(index) as content:
        return content.read(0, content.size)


def test_a_new_account_has_an_empty_inbox(store):
    (inbox,) = store.list()
    assert (inbox.name, inbox.exists, inbox.subscribed, inbox.has_children) == ("INBOX", True, False, False)
    status = store.status("inbox")
    assert (status.messages, status.uidnext, status.size) == (0, 1, 0)


def test_appended_messages_have_rising_uids_and_their_octets(store):
    assert put(store, b"A: 1\r\n\r\none\r\n", b"A: 2\r\n\r\ntwo", flags=["\\seen", "$Work"], date=1_000_000_000) == [
        1,
        2,
    ]
    view = store.open("INBOX")
    assert list(view.uids) == [1, 2]
    assert read(view, 0) == b"A: 1\r\n\r\none\r\n"
    assert read(view, 1) == b"A: 2\r\n\r\ntwo"
    assert [view.size(0), view.size(1)] == [13, 11]
    assert names_of(view, 1) == {"\\Seen", "\\Recent", "$Work"}
    assert view.internal_date(0) == 1_000_000_000
    assert view.save_date(0) != 1_000_000_000
    assert view.email_id(0) != view.email_id(1)
    assert view.uidl(1) == f"{2:08x}{view.uidvalidity:08x}"


def test_part_of_a_content_is_read_from_any_offset(store):
    octets = b"A: b\r\n\r\n" + b"line\r\n" * 30_000
    put(store, octets)
    with store.open("INBOX").content(0) as content:
        for offset in (100_003, 100_004, 5, 0, 179_999, len(octets) - 1, len(octets), len(octets) + 5, 70_000):
            assert content.read(offset, 1001) == octets[offset : offset + 1001]


def test_short_messages_are_read_together_and_what_must_be_looked_for_is_left_out(store):
    octets = [b"A: b\r\n\r\n" + b"line\r\n" * lines for lines in (1, 2, 30_000, 3, 4)]
    put(store, *octets)
    view = store.open("INBOX")
    view.store_flags([1, 4], How.ADD, ["\\Flagged", "$Work"])
    store.open("INBOX").expunge([2], deleted_only=False)
    assert view.wholes([4, 0, 1, 2, 3]) == [octets[4], octets[0], None, None, octets[3]]
    assert view.wholes([]) == []


def test_an_appending_that_is_aborted_leaves_nothing(store):
    appending = store.begin_append("INBOX")
    appending.add()
    appending.write(b"text")
    appending.abort()
    assert store.status("INBOX").messages == 0
    assert store.quota().octets == 0


def test_a_view_changes_only_when_refreshed(again, store):
    put(store, b"one", b"two", b"three")
    view, other = store.open("INBOX"), again().open("INBOX")
    other.store_flags([1, 2], How.ADD, ["\\Deleted"])
    other.expunge([2])
    put(store, b"four")
    assert (list(view.uids), [mask & DELETED for mask in view.flags]) == ([1, 2, 3], [0, 0, 0])
    changes = view.refresh(may_vanish=False)
    assert (changes.new, list(changes.changed), list(changes.vanished)) == (1, [1], [])
    assert list(view.uids) == [1, 2, 3, 4]
    changes = view.refresh()
    assert (changes.new, list(changes.changed), list(changes.vanished)) == (0, [], [(2, 2)])
    assert list(view.uids) == [1, 3, 4]
    assert view.refresh() == Changes(0, [], []) or not view.refresh()


def test_a_message_that_another_session_expunged_is_refused_not_confused(again, store):
    put(store, b"one", b"two")
    view = store.open("INBOX")
    again().open("INBOX").expunge([1], deleted_only=False)
    refused(Refusal.EXPUNGED, lambda: view.content(0))
    refused(Refusal.EXPUNGED, lambda: view.parts(0))
    assert read(view, 1) == b"two"
    assert list(view.store_flags([1, 2], How.ADD, ["\\Seen"]).gone) == [1]


def test_flags_are_added_removed_and_replaced(store):
    put(store, b"one", flags=["\\Answered"])
    view = store.open("INBOX")
    view.store_flags([1], How.ADD, ["\\SEEN", "first", "Second"])
    assert names_of(view, 1) == {"\\Answered", "\\Seen", "first", "Second", "\\Recent"}
    view.store_flags([1], How.REMOVE, ["\\answered", "FIRST"])
    assert names_of(view, 1) == {"\\Seen", "Second", "\\Recent"}
    view.store_flags([1], How.REPLACE, ["\\Draft"])
    assert names_of(view, 1) == {"\\Draft", "\\Recent"}
    assert names_of(store.open("INBOX"), 1) == {"\\Draft"}


def test_only_a_change_of_flags_raises_the_modseq(store):
    """RFC 7162 3.1."""
    put(store, b"one", b"two")
    view = store.open("INBOX")
    before = list(view.modseqs)
    assert not view.store_flags([1], How.REMOVE, ["\\Seen"]).changed
    assert list(view.modseqs) == before
    assert list(view.store_flags([1, 2, 7], How.ADD, ["\\Seen"]).changed) == [1, 2]
    assert view.modseqs[0] > before[0]
    assert store.status("INBOX").highestmodseq == max(view.modseqs)


def test_a_message_changed_since_is_left_alone(again, store):
    """RFC 7162 3.1.3."""
    put(store, b"one", b"two")
    view = store.open("INBOX")
    known = store.status("INBOX").highestmodseq
    again().open("INBOX").store_flags([1], How.ADD, ["\\Seen"])
    stored = view.store_flags([1, 2], How.ADD, ["\\Answered"], unchanged_since=known)
    assert (list(stored.changed), list(stored.failed)) == ([2], [1])
    view.refresh()
    assert [mask & (SEEN | ANSWERED) for mask in view.flags] == [SEEN, ANSWERED]


def test_too_many_keywords_are_refused(store):
    put(store, b"one")
    view = store.open("INBOX")
    view.store_flags([1], How.ADD, [f"k{number}" for number in range(MAX_KEYWORDS)])
    assert view.flags[0] >> FIRST_KEYWORD == (1 << MAX_KEYWORDS) - 1
    refused(Refusal.LIMIT, lambda: view.store_flags([1], How.ADD, ["one-more"]))


@pytest.mark.parametrize("flag", ["\\Unknown", "\\Recent", "", "a b", "a(b", "x]", "x" * 101, "ä"])
def test_what_is_no_flag_is_refused(store, flag):
    put(store, b"one")
    view = store.open("INBOX")
    refused(Refusal.CANNOT, lambda: view.store_flags([1], How.ADD, [flag]))


def test_expunge_removes_only_what_is_marked(store):
    put(store, b"one", b"two", b"three")
    view = store.open("INBOX")
    view.store_flags([1, 3], How.ADD, ["\\Deleted"])
    assert list(view.expunge([1, 2])) == [1]
    assert list(view.uids) == [1, 2, 3]
    view.refresh()
    assert list(view.uids) == [2, 3]
    assert list(view.expunge()) == [3]
    assert list(view.refresh().vanished) == [(2, 3)]
    assert put(store, b"four") == [4]


def test_what_vanished_is_remembered_by_modseq(store):
    """RFC 7162 3.2."""
    put(store, b"one", b"two", b"three")
    view = store.open("INBOX")
    start = store.status("INBOX").highestmodseq
    view.expunge([1], deleted_only=False)
    middle = store.status("INBOX").highestmodseq
    view.expunge([3], deleted_only=False)
    view = store.open("INBOX")
    assert list(view.vanished_since(start)) == [1, 3]
    assert list(view.vanished_since(middle)) == [3]
    assert not view.vanished_since(store.status("INBOX").highestmodseq)


def test_a_read_only_view_changes_nothing(store):
    put(store, b"one")
    view = store.open("INBOX", read_only=True)
    assert view.flags[0] & RECENT
    refused(Refusal.READ_ONLY, lambda: view.store_flags([1], How.ADD, ["\\Seen"]))
    refused(Refusal.READ_ONLY, lambda: view.expunge([1], deleted_only=False))
    refused(Refusal.READ_ONLY, lambda: view.move([1], "INBOX"))
    assert store.status("INBOX").recent == 1


def test_only_the_first_view_is_told_that_a_message_is_recent(again, store):
    """RFC 3501 2.3.2."""
    put(store, b"one")
    assert store.open("INBOX").flags[0] & RECENT
    later = again().open("INBOX")
    assert not later.flags[0] & RECENT
    put(store, b"two")
    later.refresh()
    assert [mask & RECENT for mask in later.flags] == [0, RECENT]
    assert store.status("INBOX").recent == 0


def test_copies_keep_flags_date_and_email_id(store):
    store.create("Work")
    put(store, b"A: 1\r\n\r\none\r\n", b"two", flags=["\\Seen", "$Later"], date=1_000_000_000)
    view = store.open("INBOX")
    copied = view.copy([2, 1, 9], "Work")
    assert (list(copied.sources), list(copied.uids)) == ([1, 2], [1, 2])
    work = store.open("Work")
    assert copied.uidvalidity == work.uidvalidity != view.uidvalidity
    assert names_of(work, 1) == {"\\Seen", "$Later", "\\Recent"}
    assert work.internal_date(0) == 1_000_000_000
    assert work.email_id(0) == view.email_id(0)
    assert read(work, 0) == read(view, 0)
    assert len(view.refresh().vanished) == 0


def test_a_message_is_copied_within_its_mailbox(store):
    put(store, b"one")
    view = store.open("INBOX")
    assert list(view.copy([1], "INBOX").uids) == [2]
    view.refresh()
    assert [read(view, index) for index in range(2)] == [b"one", b"one"]


def test_moved_messages_are_in_one_mailbox_only(store):
    """RFC 6851."""
    store.create("Work")
    put(store, b"one", b"two", b"three")
    view = store.open("INBOX")
    moved = view.move([1, 3], "Work")
    assert (list(moved.sources), list(moved.uids)) == ([1, 3], [1, 2])
    assert [uid for _, uid in view.refresh().vanished] == [1, 3]
    assert [read(store.open("Work"), index) for index in range(2)] == [b"one", b"three"]


def test_a_mailbox_that_is_not_there_is_refused(store):
    put(store, b"one")
    view = store.open("INBOX")
    for call in (
        lambda: store.open("None"),
        lambda: store.status("None"),
        lambda: store.begin_append("None"),
        lambda: store.delete("None"),
        lambda: store.rename("None", "New"),
        lambda: view.copy([1], "None"),
        lambda: view.move([1], "None"),
    ):
        refused(Refusal.NONEXISTENT, call)


def test_mailboxes_are_created_listed_and_deleted(store):
    identity = store.create("Work/2026/Äpfel")
    assert store.status("Work/2026/Äpfel").mailbox_id == identity
    store.create("a.b")
    store.create("Trash/", ["\\Trash"])
    listed = {each.name: each for each in store.list()}
    assert list(listed) == ["INBOX", "Trash", "Work", "Work/2026", "Work/2026/Äpfel", "a.b"]
    assert [listed[name].exists for name in ("Work", "Work/2026", "a.b")] == [False, False, True]
    assert [listed[name].has_children for name in ("Work", "Work/2026", "a.b")] == [True, True, False]
    assert listed["Trash"].special_use == ("\\Trash",)
    store.delete("Work/2026/Äpfel")
    assert [each.name for each in store.list()] == ["INBOX", "Trash", "a.b"]
    refused(Refusal.NONEXISTENT, lambda: store.status("Work/2026/Äpfel"))


def test_a_mailbox_made_again_has_another_uidvalidity(store):
    store.create("Work")
    first = store.status("Work")
    store.delete("Work")
    store.create("Work")
    second = store.status("Work")
    assert second.uidvalidity > first.uidvalidity
    assert second.mailbox_id != first.mailbox_id


def test_a_view_of_a_deleted_mailbox_says_so(again, store):
    store.create("Work")
    view = store.open("Work")
    again().delete("Work")
    refused(Refusal.NONEXISTENT, view.refresh)


def test_a_view_of_a_deleted_mailbox_never_touches_one_of_the_same_name(again, store):
    store.create("Work")
    put(store, b"old", name="Work")
    view = store.open("Work")
    other = again()
    other.delete("Work")
    other.create("Work")
    put(other, b"new", name="Work")
    with pytest.raises(Refused):
        view.refresh()
    with pytest.raises(Refused):
        view.expunge([1], deleted_only=False)
    assert read(other.open("Work"), 0) == b"new"


def test_what_exists_or_may_not_be_is_refused(store):
    store.create("Work", ["\\Archive"])
    refused(Refusal.ALREADY_EXISTS, lambda: store.create("Work"))
    refused(Refusal.ALREADY_EXISTS, lambda: store.create("inbox"))
    refused(Refusal.ALREADY_EXISTS, lambda: store.rename("Work", "INBOX"))
    refused(Refusal.CANNOT, lambda: store.create("Other", ["\\Archive"]))
    refused(Refusal.CANNOT, lambda: store.create("Other", ["\\Unheard"]))
    refused(Refusal.CANNOT, lambda: store.delete("INBOX"))
    for name in ("", "/", "a//b", "/a", "a\x00b", "a\nb", "x" * 300, "/".join("abcdefghijklmnopqrstuvwxyz")):
        refused(Refusal.CANNOT, partial(store.create, name))
    assert len(store.list()) == 2


def test_a_renamed_mailbox_keeps_its_messages_its_id_and_what_is_below(store):
    store.create("Work")
    store.create("Work/Sub")
    put(store, b"one", name="Work/Sub")
    before = store.status("Work/Sub")
    store.rename("Work", "Job/New")
    assert [each.name for each in store.list() if each.exists] == ["INBOX", "Job/New", "Job/New/Sub"]
    after = store.status("Job/New/Sub")
    assert (after.messages, after.mailbox_id) == (1, before.mailbox_id)
    refused(Refusal.CANNOT, lambda: store.rename("Job/New", "Job/New/Below"))


def test_renaming_inbox_moves_its_messages_and_leaves_it_there(store):
    """RFC 9051 6.3.6."""
    store.create("INBOX/Sub")
    put(store, b"one", b"two", flags=["\\Seen"])
    store.rename("INBOX", "Old")
    assert store.status("INBOX").messages == 0
    assert store.status("Old").messages == 2
    assert {each.name for each in store.list()} == {"INBOX", "INBOX/Sub", "Old"}


def test_a_subscription_outlives_its_mailbox(store):
    """RFC 9051 6.3.7."""
    store.create("Work")
    store.subscribe("Work")
    store.subscribe("Never")
    store.delete("Work")
    listed = {each.name: each for each in store.list()}
    assert [(listed[name].exists, listed[name].subscribed) for name in ("Work", "Never")] == [(False, True)] * 2
    store.unsubscribe("Never")
    store.unsubscribe("Unheard")
    assert [each.name for each in store.list()] == ["INBOX", "Work"]


def test_special_use_is_given_and_taken(store):
    store.create("Gone")
    store.set_special_use("Gone", ["\\Trash"])
    assert [each.special_use for each in store.list()] == [(), ("\\Trash",)]
    store.set_special_use("Gone", [])
    assert [each.special_use for each in store.list()] == [(), ()]


def test_the_structure_of_a_message_has_offsets_of_what_is_read(store):
    put(store, NESTED)
    view = store.open("INBOX")
    for _ in range(2):
        whole, first, second = view.parts(0)
        assert (whole.kind, whole.type, whole.children, whole.after) == ("multipart", b"multipart/mixed", 2, 3)
        assert whole.fields["subject"] == b"two\n parts"
        assert (first.kind, first.parent, second.encoding, second.type) == ("text", 0, "base64", b"application/pdf")
        with view.content(0) as content:
            assert content.read(first.body_start, first.end - first.body_start) == b"first"
            assert content.read(second.body_start, second.end - second.body_start) == b"AAAA"
            assert content.read(second.header_start, 29) == b"Content-Type: application/pdf"
        assert whole.end == len(NESTED)


def test_a_cached_value_is_found_by_other_sessions_or_not_at_all(again, store):
    put(store, b"one", b"two")
    view = store.open("INBOX")
    assert view.cached(0, 16) is None
    view.cache(0, 16, b"value")
    view.cache(0, 17, b"other")
    assert view.cached(0, 16) == b"value"
    assert view.cached(1, 16) is None
    view.close()
    assert again().open("INBOX").cached(0, 16) in {b"value", None}


def test_the_quota_counts_what_is_there(store):
    put(store, b"0123456789", b"0123\r\n")
    assert store.quota() == (15, 0, 2, 0)
    store.open("INBOX").expunge([1], deleted_only=False)
    assert store.quota() == (5, 0, 1, 0)


def test_a_closed_account_holds_no_files(tmp_path):
    """I5: 10,000 mailboxes that somebody once opened cost nothing."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        store = FolderStore(tmp_path / str(number))
        put(store, b"one")
        view = store.open("INBOX")
        view.cache(0, 16, b"value")
        view.close()
        del store, view
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_mailbox_that_another_program_made_is_renamed(tmp_path):
    """It has no uid log yet, and gets one meanwhile."""
    store = FolderStore(tmp_path)
    make_maildir(tmp_path / ".Work")
    store.rename("Work", "Job")
    assert store.status("Job").messages == 0
