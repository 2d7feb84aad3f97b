"""Which segments are finished is decided from what all shards of one generation say."""

from __future__ import annotations

from relay.spool.reports import ShardReports


def test_every_shard_must_have_passed_with_nothing_left() -> None:
    reports = ShardReports()
    assert reports.finished([1, 2]) == []
    reports.report(0, (3, 0), {}, 2, 1)
    assert reports.finished([1, 2]) == []
    reports.report(1, (2, 5000), {1: 3}, 2, 1)
    assert reports.finished([1, 2]) == []
    reports.report(1, (2, 9000), {1: 0}, 2, 1)
    assert reports.finished([1, 2]) == [1]
    reports.report(1, (3, 0), {}, 2, 1)
    assert reports.finished([1, 2]) == [1, 2]


def test_shards_of_two_generations_never_make_one_answer() -> None:
    """After a reload a recipient may belong to another shard: the old shard's "nothing left" does not speak for it."""
    reports = ShardReports()
    reports.report(0, (9, 0), {1: 1}, 2, 1)
    reports.report(1, (9, 0), {}, 2, 1)
    reports.report(0, (9, 0), {}, 2, 2)
    assert reports.finished([1]) == []
    reports.report(1, (9, 0), {1: 1}, 2, 2)
    assert reports.finished([1]) == []
    reports.report(1, (9, 0), {}, 2, 1)
    assert reports.finished([1]) == [], "a late word of the old generation changes nothing"
    reports.report(1, (9, 0), {}, 2, 2)
    assert reports.finished([1]) == [1]


def test_another_number_of_shards_starts_over() -> None:
    reports = ShardReports()
    reports.report(0, (9, 0), {}, 1, 1)
    assert reports.finished([1]) == [1]
    reports.report(0, (9, 0), {}, 3, 2)
    assert reports.finished([1]) == []
