"""What outcomes mean for the journal, the sender and the next attempt."""

from __future__ import annotations

import pytest

from relay.mail.outcome import DISCARDED, EXPIRED, Outcome, deferred, delivered, failed
from relay.queue.entry import IS_NULL_PATH, Entry, Reasons, reason_of
from relay.queue.settle import settle
from tests.queue.world import BEGIN, DAY, ID, SECOND, policy

OK = delivered("2.0.0", "ok")
LATER = deferred("4.2.0", "later", "rcpt", code=450)
FULL = deferred("4.2.2", "full", "rcpt", code=452)
NO = failed("5.1.1", "no such user", "rcpt", code=550)


def make(count: int, indexes: tuple[int, ...] | None = None, flags: int = 0) -> Entry:
    return Entry(1, 2, 3, 100, ID, BEGIN, None, indexes, count, flags)


def run(entry: Entry, *outcomes: Outcome, now: int = BEGIN + SECOND):
    return settle(entry, outcomes, policy(), Reasons(), now, 0.5)


def test_all_delivered_is_finished_as_a_whole():
    entry = make(3)
    assert run(entry, OK, OK, OK).journal == [("finished", 1, 2, 3, None)]
    assert entry.count == 0


def test_a_part_of_a_record_is_finished_by_its_indexes():
    assert run(make(2, (4, 7)), OK, Outcome(DISCARDED, 0, "", "", "")).journal == [("finished", 1, 2, 3, (4, 7))]


def test_deferred_recipients_stay_and_the_others_leave():
    entry = make(4, (1, 3, 5, 7))
    settled = run(entry, OK, LATER, NO, FULL)
    assert (entry.indexes, entry.count, entry.attempts) == ((3, 7), 2, 1)
    assert entry.due_at == BEGIN + 61 * SECOND
    assert settled.journal == [
        ("failed", 1, 2, 3, (5,), 550, "5.1.1", "no such user", "rcpt", "", "failed"),
        ("deferred", 1, 2, 3, (3,), 1, entry.due_at, "4.2.0", "later", 450, "rcpt", ""),
        ("deferred", 1, 2, 3, (7,), 1, entry.due_at, "4.2.2", "full", 452, "rcpt", ""),
        ("finished", 1, 2, 3, (1,)),
    ]
    assert settled.notice is not None
    assert settled.notice.failures == ((5, NO),)
    assert settled.indexes == (1, 3, 5, 7)
    first, second = reason_of(entry, 0), reason_of(entry, 1)
    assert first is not None
    assert second is not None
    assert (first.text, second.text) == ("later", "full")


def test_all_deferred_for_one_reason_is_one_journal_entry():
    entry = make(5)
    assert run(entry, *[LATER] * 5).journal == [
        ("deferred", 1, 2, 3, None, 1, entry.due_at, "4.2.0", "later", 450, "rcpt", "")
    ]
    assert entry.indexes is None


def test_an_unknown_outcome_is_temporary():
    entry = make(1)
    settled = run(entry, Outcome("surprise", 0, "", "", ""))
    assert settled.notice is None
    assert entry.count == 1
    assert settled.journal[0][0] == "deferred"


def test_failures_of_a_null_path_are_finished_and_nobody_is_told():
    entry = make(2, flags=IS_NULL_PATH)
    settled = run(entry, NO, OK)
    assert settled.notice is None
    assert settled.journal == [("finished", 1, 2, 3, None)]


@pytest.mark.parametrize("flags", [0, IS_NULL_PATH])
def test_the_end_of_the_lifetime_expires_what_is_deferred(flags: int):
    entry = make(2, flags=flags)
    settled = run(entry, LATER, OK, now=BEGIN + 5 * DAY)
    assert entry.count == 0
    assert [outcome.kind for outcome in settled.outcomes] == [EXPIRED, "delivered"]
    if flags:
        assert settled.journal == [("finished", 1, 2, 3, None)]
    else:
        assert [item[0] for item in settled.journal] == ["failed", "finished"]
        assert settled.notice is not None
        ((index, outcome),) = settled.notice.failures
        assert (index, outcome.kind, outcome.status) == (0, EXPIRED, "4.4.7")
        assert outcome.text == "4.2.0 later", "what the next hop said, and nothing else"
