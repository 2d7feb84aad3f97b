"""What is gathered for a run of messages is what it is one by one."""

from array import array
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mailbox import _runs

UIDS = st.integers(1, 40)


@given(st.sets(UIDS), st.dictionaries(UIDS, st.integers(0, 1 << 40)), st.lists(UIDS), st.integers(0, 255))
def test_places_are_found_among_the_recent_and_the_others(known, recent, uids, kind):
    keys = array("Q", [uid << 8 | kind for uid in sorted(known)])
    at = array("Q", [1000 + key for key in keys])
    late = {uid << 8 | kind: place for uid, place in recent.items()}

    def one(uid):
        key = uid << 8 | kind
        found = bisect_left(keys, key)
        return late.get(key, at[found] if found < len(keys) and keys[found] == key else -1)

    assert _runs.places(keys, at, late, uids, kind) == [one(uid) for uid in uids]
    assert _runs.places(keys, at, late, uids, (kind + 1) % 256) == [-1] * len(uids)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=5), st.lists(st.integers(0, 2)))
def test_values_are_gathered_by_row(values, run):
    rows = array("q", [4, 0, 2])
    assert _runs.gather(array("Q", values), rows, run) == [values[rows[index]] for index in run]
    signed = [value - 2**63 for value in values]
    assert _runs.gather(array("q", signed), rows, run) == [signed[rows[index]] for index in run]


def test_a_message_without_a_row_leaves_all_to_the_slow_way():
    assert _runs.gather(array("Q", [5]), array("q", [0, -1]), [0, 1]) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(IndexError):
        _runs.gather(array("Q", [5]), array("q", [0]), [1])
    with pytest.raises(TypeError):
        _runs.gather(array("I", [5]), array("q", [0]), [0])
    with pytest.raises(TypeError):
        _runs.places(array("Q", [5]), array("Q"), {}, [1], 16)
