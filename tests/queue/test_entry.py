"""Entries, lists and wheels against slow models."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.outcome import deferred
from relay.mail.queue_id import QueueIds, encode
from relay.queue.entry import DeadlineWheel, DueWheel, Entry, EntryList, Reasons, queue_number

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def make(offset: int = 0, due_at: int = 0, group: object = None) -> Entry:
    return Entry(1, 2, offset, 100, "01HV3Z0000000", NOW, group, None, 1, 0, 0, due_at)


def test_an_entry_is_no_larger_than_128_octets():
    """DESIGN 4: a million deferred messages fit in 300 MB."""
    assert Entry.__basicsize__ == 128


def test_an_entry_keeps_what_it_was_made_with():
    group = object()
    entry = Entry(7, 8, 2**32 - 1, 2**32 - 1, "7ZZZZZZZZZZZZ", NOW + 999_999, group, (1, 3), 2, 5, 6, NOW + 1)
    assert entry.ref == (7, 8, 2**32 - 1)
    assert entry.queue_id == "7ZZZZZZZZZZZZ"
    assert entry.received_at == NOW
    assert (entry.group, entry.indexes, entry.count, entry.flags, entry.attempts) == (group, (1, 3), 2, 5, 6)
    assert (entry.due_at, entry.size, entry.reason, entry.state) == (NOW + 1, 2**32 - 1, None, 0)


@given(st.integers(0, 2**64 - 1))
def test_a_queue_id_is_a_number_and_back(number: int):
    assert queue_number(encode(number)) == number
    assert Entry(0, 0, 0, 0, encode(number), 0, None, None, 1).queue_id == encode(number)


@pytest.mark.parametrize("text", ["", "01HV3Z000000", "01HV3Z000000U", "01HV3Z00000000", "01HV3Z000000é"])
def test_what_is_no_queue_id_is_refused(text: str):
    with pytest.raises(ValueError, match="not a queue id"):
        queue_number(text)


def test_ids_of_the_maker_are_read_back():
    ids = QueueIds(5)
    assert encode(queue_number(ids.next(NOW))) != encode(queue_number(ids.next(NOW)))


def test_a_list_keeps_its_order_and_counts():
    entries = [make(n) for n in range(5)]
    waiting = EntryList()
    for entry in entries[1:]:
        waiting.append(entry)
    waiting.appendleft(entries[0])
    assert [entry.offset for entry in waiting] == [0, 1, 2, 3, 4]
    assert entries[2].unlink()
    assert not entries[2].unlink()
    assert len(waiting) == 4
    assert waiting.popleft() is entries[0]
    assert [entry.offset for entry in waiting.take(None, 2)] == [1, 3]
    assert len(waiting) == 1
    assert waiting.popleft() is entries[4]
    assert waiting.popleft() is None


def test_an_entry_waits_in_one_place_only():
    entry, first, second = make(), EntryList(), EntryList()
    first.append(entry)
    with pytest.raises(ValueError, match="somewhere else"):
        second.append(entry)
    with pytest.raises(ValueError, match="somewhere else"):
        DueWheel(NOW).add(entry)
    assert (len(first), len(second)) == (1, 0)


def test_take_by_group_leaves_the_others_in_order():
    red, blue = object(), object()
    waiting = EntryList()
    for n in range(6):
        waiting.append(make(n, group=red if n % 2 else blue))
    assert [entry.offset for entry in waiting.take(red, 10)] == [1, 3, 5]
    assert [entry.offset for entry in waiting] == [0, 2, 4]


def test_a_list_that_goes_lets_its_entries_go():
    entry = make()
    waiting = EntryList()
    waiting.append(entry)
    del waiting
    assert not entry.is_queued


_OFFSETS = st.integers(0, 60 * 86_400 * SECOND) | st.integers(0, 100 * SECOND)


@settings(deadline=None, max_examples=200)
@given(st.lists(_OFFSETS, min_size=1, max_size=60), st.lists(_OFFSETS, min_size=1, max_size=20), st.data())
def test_the_wheel_of_due_times_agrees_with_a_sorted_list(dues: list[int], steps: list[int], data: st.DataObject):
    """Never early, at most one tick late, nothing lost, next_at never after the first due time."""
    wheel = DueWheel(NOW)
    model: dict[int, int] = {}
    entries = {}
    for n, due in enumerate(dues):
        entries[n] = make(n, NOW + due)
        wheel.add(entries[n])
        model[n] = NOW + due
    for n in data.draw(st.lists(st.sampled_from(range(len(dues))), unique=True, max_size=5)):
        assert entries[n].unlink()
        del model[n]
    now = NOW
    for step in sorted(steps):
        now = NOW + step
        limit = data.draw(st.integers(1, 100))
        out: list[Entry] = []
        while batch := wheel.expire(now, limit):
            assert len(batch) <= limit
            out.extend(batch)
        for entry in out:
            assert model.pop(entry.offset) <= now
        assert all(due > now - 131_072 for due in model.values())
        assert len(wheel) == len(model)
        next_at = wheel.next_at()
        if model:
            assert next_at is not None
            assert next_at <= min(model.values()) + 131_072
        else:
            assert next_at is None
        late = make(10_000 + step % 1000, now + data.draw(_OFFSETS))
        if late.offset not in model:
            wheel.add(late)
            model[late.offset] = late.due_at


@settings(deadline=None, max_examples=200)
@given(st.lists(_OFFSETS, min_size=1, max_size=60), st.lists(_OFFSETS, min_size=1, max_size=20), st.data())
def test_the_wheel_of_deadlines_agrees_with_a_dict(ends: list[int], steps: list[int], data: st.DataObject):
    wheel = DeadlineWheel(NOW)
    entries = [make(n) for n in range(len(ends))]
    model: dict[int, int] = {}
    for entry, end in zip(entries, ends, strict=True):
        wheel.set(entry, NOW + end)
        model[entry.offset] = NOW + end
    for step in sorted(steps):
        now = NOW + step
        moved = data.draw(st.sampled_from(entries))
        if moved.offset in model:
            model[moved.offset] = now + data.draw(_OFFSETS)
            wheel.set(moved, model[moved.offset])
        dropped = data.draw(st.sampled_from(entries))
        assert wheel.remove(dropped) == (model.pop(dropped.offset, None) is not None)
        for entry in wheel.expire(now, 1000):
            assert model.pop(entry.offset) <= now
        assert all(end > now - SECOND for end in model.values())
        assert sorted(entry.offset for entry in wheel.find()) == sorted(model)


def test_waking_up_at_next_at_reaches_everything_in_few_steps():
    wheel = DueWheel(NOW)
    for n, due in enumerate([0, 1, 33, 34, 9_000, 86_400, 25 * 86_400, 59 * 86_400]):
        wheel.add(make(n, NOW + due * SECOND))
    now, steps = NOW, 0
    while (at := wheel.next_at()) is not None:
        now = max(now, at)
        wheel.expire(now, 100)
        steps += 1
    assert steps < 40
    assert now - NOW >= 59 * 86_400 * SECOND


def test_find_matches_what_is_asked():
    wheel = DeadlineWheel(NOW)
    group = object()
    for n in range(10):
        wheel.set(Entry(1, n % 3, n, 1, encode(n), NOW + n * SECOND, group if n % 2 else None, None, 1), NOW)
    assert [entry.offset for entry in wheel.find(number=4)] == [4]
    assert sorted(entry.offset for entry in wheel.find(received_before=NOW + 3 * SECOND)) == [0, 1, 2]
    assert sorted(entry.offset for entry in wheel.find(log=1, segment=2)) == [2, 5, 8]
    assert wheel.find(log=2, segment=2) == []
    assert sorted(entry.offset for entry in wheel.find(group=group)) == [1, 3, 5, 7, 9]
    assert len(wheel.find(limit=4)) == 4


def test_entries_are_freed_when_nothing_holds_them():
    """The references that lists and wheels own are given back: counted by an object that only the entry holds."""
    import weakref

    class Group:
        pass

    group = Group()
    watched = weakref.ref(group)
    wheel, deadlines = DueWheel(NOW), DeadlineWheel(NOW)
    entries = [make(n, NOW + n, group) for n in range(100)]
    for n, entry in enumerate(entries):
        wheel.add(entry)
        deadlines.set(entry, NOW + n)
        deadlines.set(entry, NOW + 2 * n)
        del entry
    del entries, group
    wheel.expire(NOW + SECOND, 50)
    assert watched() is not None
    wheel.expire(NOW + SECOND, 50)
    deadlines.expire(NOW + SECOND, 30)
    del wheel, deadlines
    assert watched() is None


def test_reasons_are_kept_once_and_bounded():
    reasons = Reasons(limit=3)
    refused = deferred("4.4.1", "refused", "connect")
    first = reasons.keep(refused)
    assert reasons.keep(refused._replace()) is first
    kept = [reasons.keep(deferred("4.2.0", f"id {n}", "rcpt", code=450)) for n in range(100)]
    assert len(reasons) <= 4
    assert kept[99].status == "4.2.0"
    assert kept[99] is kept[50]
    del kept
    assert len(reasons) == 1
    assert first.outcome() == refused
    assert len(reasons.keep(deferred("4.0.0", "x" * 10_000, "rcpt")).text) == 400
