"""What journals say about records that were deferred as a whole."""

from __future__ import annotations

import random

from relay.queue.deferrals import Deferral, Deferrals

WHY = (450, "4.2.2", "full", "rcpt", "mx[192.0.2.1]:25")
NOTHING = (0, "", "", "", "")


def test_a_deferral_is_told_once():
    said = Deferrals()
    said.add(1, 2, 3, (4, 5, WHY))
    assert said.pop(1, 2, 3) == (4, 5, WHY)
    assert said.pop(1, 2, 3) is None


def test_other_records_segments_and_logs_are_not_mixed_up():
    said = Deferrals()
    said.add(1, 2, 3, (4, 5, WHY))
    assert [said.pop(1, 2, 2), said.pop(1, 2, 4), said.pop(1, 3, 3), said.pop(2, 2, 3)] == [None] * 4


def test_the_deferral_with_the_most_attempts_counts_in_whatever_order_they_are_said():
    """As RecordState joins them, one by one."""
    rng = random.Random(1)
    said = Deferrals()
    expected: dict[int, Deferral] = {}
    for _ in range(5_000):
        offset, attempts = rng.randrange(2**32 - 1_000, 2**32), rng.randrange(4)
        deferral = (attempts, 10 * attempts + rng.randrange(5), (450, "4.2.2", f"full {attempts}", "rcpt", "mx"))
        said.add(1, 2, offset, deferral)
        expected[offset] = max(expected.get(offset, deferral), deferral)
    assert {offset: said.pop(1, 2, offset) for offset in expected} == expected


def test_more_attempts_than_a_column_holds_count_as_very_many():
    said = Deferrals()
    said.add(1, 2, 3, (65_535, 5, WHY))
    assert said.pop(1, 2, 3) == (65_534, 5, WHY)


def test_a_record_that_was_never_tried_may_be_due_later():
    """An operator can set a time for what was never tried."""
    said = Deferrals()
    said.add(1, 2, 3, (0, 5, NOTHING))
    assert said.pop(1, 2, 3) == (0, 5, NOTHING)


def test_cleared_it_knows_nothing():
    said = Deferrals()
    said.add(1, 2, 3, (4, 5, WHY))
    said.clear()
    assert said.pop(1, 2, 3) is None
