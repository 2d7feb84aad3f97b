"""From journals and records back to the queue: what a restart knows."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.envelope import Envelope, unpack
from relay.mail.next_hop import NextHop
from relay.mail.outcome import EXPIRED, FAILED
from relay.queue.commands import copied, copy_envelope, hold, lift, matching, put_down, release, remove, retry
from relay.queue.entry import HELD, IS_DELAY_NOTIFIED, IS_HELD, IS_NULL_PATH, Entry, reason_of
from relay.queue.group import Settings
from relay.queue.intake import Intake
from relay.queue.ledger import CopyLimits, Ledger
from relay.queue.recovery import Recovery
from relay.queue.routing import Router, shard_of
from relay.queue.scheduler import Scheduler
from tests.queue.world import BEGIN, HOUR, ID, MINUTE, SECOND, envelope, policy
from tests.support.directories import local_directory

HOPS = {"relay.test": NextHop("smtp", "10.0.0.1", 25), "other.test": NextHop("smtp", "10.0.0.2", 25)}
THREE = envelope(b"a@relay.test", b"b@other.test", b"c@relay.test")


class Bench:
    """A scheduler with its intake, fresh after a restart that found ``journal``."""

    def __init__(self, journal: list[Any] | None = None, shard: int = 0, shards: int = 1) -> None:
        self.ledger = Ledger()
        self.scheduler = Scheduler(Settings(), policy(), BEGIN, self.ledger)
        self.intake = Intake(self.scheduler, Router(local_directory("demo.test"), HOPS), shard, shards)
        self.recovery = Recovery(self.ledger)
        self.recovery.apply(journal or [])

    def read(self, offset: int, message: Envelope, now: int = BEGIN, *, log: int = 1, segment: int = 2):
        return self.intake.record(log, segment, offset, 500, message, now, self.recovery)

    @property
    def entries(self) -> list[Entry]:
        return sorted(self.scheduler.places.entries(), key=lambda entry: (entry.ref, entry.indexes or ()))


def test_a_record_becomes_one_entry_for_each_group():
    bench = Bench()
    bench.read(3, THREE)
    assert [(entry.group.key, entry.indexes, entry.count) for entry in bench.entries] == [
        ("smtp://10.0.0.1:25", (0, 2), 2),
        ("smtp://10.0.0.2:25", (1,), 1),
    ]
    assert bench.ledger.outstanding(1) == {2: 2}


def test_a_record_of_one_group_needs_no_indexes():
    bench = Bench()
    bench.read(3, envelope(b"a@relay.test", b"b@relay.test"))
    assert [(entry.indexes, entry.count) for entry in bench.entries] == [(None, 2)]


def test_each_recipient_belongs_to_exactly_one_shard():
    recipients = tuple(b"user@d%d.example" % n for n in range(50))
    indexes: list[int] = []
    for shard in range(3):
        bench = Bench(shard=shard, shards=3)
        bench.read(3, envelope(*recipients))
        for entry in bench.entries:
            assert entry.indexes is not None
            assert shard_of(entry.group.key, 3) == shard
            indexes.extend(entry.indexes)
    assert sorted(indexes) == list(range(50))


def test_the_null_path_is_marked():
    bench = Bench()
    bench.read(3, envelope(reverse_path=b""))
    assert bench.entries[0].flags == IS_NULL_PATH


def test_finished_records_stay_out():
    offsets = b"".join(n.to_bytes(4, "little") for n in (10, 20))
    bench = Bench([("finished", 1, 2, 3, None), ("finished-many", 1, 2, offsets)])
    for offset in (3, 10, 20, 30):
        bench.read(offset, THREE)
    assert {entry.offset for entry in bench.entries} == {30}
    assert bench.ledger.outstanding(1) == {2: 2}


def test_what_was_deferred_comes_back_when_it_is_due_with_its_reason():
    due = BEGIN + HOUR
    bench = Bench([("deferred", 1, 2, 3, (0, 2), 4, due, "4.2.2", "full"), ("notified", 1, 2, 3, (0,))])
    bench.read(3, THREE)
    first, second, third = bench.entries
    assert (first.indexes, first.attempts, first.due_at, first.flags) == ((0,), 4, due, IS_DELAY_NOTIFIED)
    assert (second.indexes, second.attempts) == ((1,), 0)
    assert (third.indexes, third.attempts, third.due_at, third.flags) == ((2,), 4, due, 0)
    reason = reason_of(third, 0)
    assert reason is not None
    assert (reason.status, reason.text) == ("4.2.2", "full")
    assert bench.scheduler.counts().deferred == 2


def test_a_bounce_that_was_owed_is_owed_again_and_the_recipient_not_tried():
    failure = ("failed", 1, 2, 3, (1,), 550, "5.1.1", "no such user", "rcpt", "mx")
    expiry = ("failed", 1, 2, 3, (0,), 0, "4.4.7", "not delivered", "connect", "")
    bench = Bench([failure, expiry])
    notice = bench.read(3, THREE)
    assert notice is not None
    assert [(index, outcome.kind) for index, outcome in notice.failures] == [(0, EXPIRED), (1, FAILED)]
    assert [entry.indexes for entry in bench.entries] == [(2,)]
    assert bench.ledger.outstanding(1) == {2: 2}
    journal = bench.scheduler.notice_spooled(notice, BEGIN)
    assert journal == [("finished", 1, 2, 3, (0, 1))]
    assert bench.ledger.outstanding(1) == {2: 1}


def test_a_bounce_that_was_spooled_is_not_owed_again():
    failure = ("failed", 1, 2, 3, None, 550, "5.1.1", "no such user", "rcpt", "mx")
    for journal in ([failure, ("finished", 1, 2, 3, (0, 1, 2))], [("finished", 1, 2, 3, (0, 1, 2)), failure]):
        bench = Bench(journal)
        assert bench.read(3, THREE) is None
        assert bench.entries == []


def test_held_entries_come_back_held():
    bench = Bench([("held", 1, 2, 3, (1,)), ("held", 1, 2, 3, (0, 2)), ("released", 1, 2, 3, (0, 2))])
    bench.read(3, THREE)
    assert [(entry.indexes, bool(entry.flags & IS_HELD)) for entry in bench.entries] == [((0, 2), False), ((1,), True)]
    assert bench.scheduler.counts().hold == 1


HELD_ONE = envelope(b"a@relay.test", b"b@other.test")._replace(held="quarantined: a virus")


def test_what_its_envelope_has_held_is_held_from_the_start():
    for recovery in (None, Recovery(Ledger())):
        bench = Bench()
        bench.intake.record(1, 2, 3, 500, HELD_ONE, BEGIN, recovery)
        assert [entry.state for entry in bench.entries] == [HELD, HELD]
        reason = reason_of(bench.entries[0], 0)
        assert reason is not None
        assert (reason.status, reason.text, reason.stage) == ("4.7.0", "quarantined: a virus", "queue")
        assert bench.scheduler.counts().hold == 2


def test_what_was_released_is_not_held_again_after_a_restart():
    before = Bench()
    before.read(3, HELD_ONE)
    journal = release(before.scheduler, before.entries[0], BEGIN)
    snapshot = list(before.ledger.snapshot(before.scheduler.places.entries(), lambda _log, _segment: True))
    for known in (journal, snapshot, [*snapshot, *journal], [*journal, *snapshot]):
        bench = Bench(known)
        bench.read(3, HELD_ONE)
        assert [entry.state == HELD for entry in bench.entries] == [False, True]


def test_a_copy_of_a_held_message_is_held_and_one_of_a_released_message_is_not():
    before = Bench()
    before.read(3, HELD_ONE)
    first, second = before.entries
    release(before.scheduler, first, BEGIN)
    copies = [unpack(copy_envelope(entry, HELD_ONE).pack()) for entry in (first, second)]
    assert [copy.held for copy in copies] == [HELD_ONE.held] * 2
    for journal, is_held in (([], [False, True]), ([("released", 9, 1, 1, None)], [False, False])):
        bench = Bench(journal)
        for offset, copy in enumerate(copies):
            bench.read(offset, copy, log=9, segment=1)
        assert [entry.state == HELD for entry in bench.entries] == is_held
        reason = reason_of(bench.entries[1], 0)
        assert reason is not None
        assert reason.text == "quarantined: a virus"


_SAID = st.lists(
    st.one_of(
        st.builds(lambda i: ("finished", 1, 2, 3, i), st.sampled_from([None, (0,), (1, 2)])),
        st.builds(lambda i: ("failed", 1, 2, 3, i, 550, "5.0.0", "x", "rcpt", ""), st.sampled_from([(0,), (2,)])),
        st.builds(
            lambda i, n: ("deferred", 1, 2, 3, i, n, BEGIN + n * MINUTE, "4.0.0", f"try {n}"),
            st.sampled_from([None, (0, 1), (2,)]),
            st.integers(1, 9),
        ),
        st.builds(lambda i: ("notified", 1, 2, 3, i), st.sampled_from([None, (1,)])),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(_SAID, st.randoms(use_true_random=False))
def test_the_order_in_which_journals_are_read_does_not_matter(said: list[Any], dice: random.Random):
    def outcome(journal: list[Any]) -> object:
        bench = Bench(journal)
        notice = bench.read(3, THREE)
        rows = [(e.indexes, e.attempts, e.due_at, e.flags, e.reason and e.reason.text) for e in bench.entries]
        return rows, notice and sorted(index for index, _ in notice.failures)

    shuffled = said + said[:3]
    dice.shuffle(shuffled)
    assert outcome(said) == outcome(shuffled)


def test_a_compacted_journal_says_the_same():
    bench = Bench()
    for offset in range(100):
        bench.read(offset, THREE)
    dice = random.Random(1)
    for entry in bench.entries:
        choice = dice.randrange(5)
        if choice == 0:
            entry.attempts, entry.due_at = 2, BEGIN + HOUR
            entry.reason = bench.scheduler.reasons.keep(_later())
        elif choice == 1:
            hold(bench.scheduler, entry, BEGIN)
        elif choice == 2:
            remove(bench.scheduler, entry, None, BEGIN)
        elif choice == 3 and entry.count == 2:
            remove(bench.scheduler, entry, [0], BEGIN)
    again = Bench(list(bench.ledger.snapshot(bench.scheduler.places.entries(), lambda _log, _segment: True)))
    for offset in range(100):
        again.read(offset, THREE)
    rows = [[(e.ref, e.indexes, e.attempts, e.flags) for e in each.entries] for each in (bench, again)]
    assert rows[0] == rows[1]
    assert bench.ledger.outstanding(1) == again.ledger.outstanding(1)


def _later():
    from relay.mail.outcome import deferred

    return deferred("4.0.0", "later", "rcpt")


def test_a_snapshot_forgets_segments_that_are_gone():
    bench = Bench([("finished", 1, 2, 3, None), ("finished", 1, 7, 3, None)])
    said = list(bench.ledger.snapshot([], lambda _log, segment: segment == 7))
    assert said == [("finished-many", 1, 7, (3).to_bytes(4, "little"))]


def test_logs_whose_segments_become_free_are_reported():
    bench = Bench()
    bench.read(3, envelope(b"a@relay.test"))
    assert bench.ledger.changed_logs() == set()
    remove(bench.scheduler, bench.entries[0], None, BEGIN)
    assert bench.ledger.changed_logs() == {1}
    assert bench.ledger.changed_logs() == set()
    assert bench.ledger.outstanding(1) == {}


def test_few_entries_that_wait_long_are_worth_copying():
    ledger = Ledger(CopyLimits(octets=1000, quiet=5 * MINUTE))
    entries = [Entry(1, segment, n, 400, ID, BEGIN, None, None, 1) for segment in (1, 2, 3) for n in range(3)]
    for entry in entries:
        ledger.opened(entry, BEGIN)
    ledger.closed(entries[0], BEGIN)
    ledger.closed(entries[6], BEGIN)
    assert ledger.copy_candidates(1, 3, BEGIN + MINUTE) == []  # still moving
    assert ledger.copy_candidates(1, 3, BEGIN + HOUR) == [1]  # 2 holds too much, 3 is not closed
    assert ledger.copy_candidates(2, 3, BEGIN + HOUR) == []


def test_a_copy_takes_the_place_of_its_origin():
    bench = Bench([("deferred", 1, 2, 3, (0, 2), 4, BEGIN + HOUR, "4.2.2", "full"), ("notified", 1, 2, 3, (0, 2))])
    bench.read(3, THREE)
    origin = bench.entries[0]
    assert lift(origin)
    assert not lift(origin)
    copy = copy_envelope(origin, THREE)
    assert copy.recipients == (b"a@relay.test", b"c@relay.test")
    assert copied(bench.scheduler, origin, BEGIN) == [("finished", 1, 2, 3, (0, 2))]
    bench.read(77, copy, log=9, segment=1)
    entry = bench.entries[-1]
    assert (entry.ref, entry.indexes, entry.attempts, entry.due_at) == ((9, 1, 77), None, 4, BEGIN + HOUR)
    assert entry.flags == IS_DELAY_NOTIFIED
    assert bench.ledger.outstanding(1) == {2: 1}
    assert bench.ledger.outstanding(9) == {1: 1}


def test_after_a_crash_between_copy_and_finish_only_the_copy_is_left():
    before = Bench()
    before.read(3, THREE)
    copy = copy_envelope(before.entries[0], THREE)
    for order in ((0, 1), (1, 0)):
        bench = Bench()
        for which in order:
            if which:
                bench.read(77, copy, log=9, segment=1)
            else:
                bench.read(3, THREE)
        assert len(bench.entries) == 3
        assert bench.recovery.finish(bench.scheduler, BEGIN) == [("finished", 1, 2, 3, (0, 2))]
        assert [(entry.log, entry.indexes) for entry in bench.entries] == [(1, (1,)), (9, None)]


def test_an_entry_that_could_not_be_copied_is_queued_as_before():
    bench = Bench()
    bench.read(3, envelope(b"a@relay.test"))
    (entry,) = bench.entries
    lift(entry)
    put_down(bench.scheduler, entry, BEGIN)
    assert entry.is_queued
    assert bench.scheduler.counts().incoming == 1


def test_hold_and_release():
    bench = Bench()
    bench.read(3, envelope(b"a@relay.test"))
    (entry,) = bench.entries
    assert hold(bench.scheduler, entry, BEGIN) == [("held", 1, 2, 3, None)]
    assert hold(bench.scheduler, entry, BEGIN) == []
    assert entry.state == HELD
    bench.scheduler.actions(BEGIN + 100 * 86_400 * SECOND)  # a held message does not expire
    assert bench.scheduler.counts() == (0, 0, 0, 1)
    assert bench.scheduler.places.find(number=entry.number) == [entry]
    assert release(bench.scheduler, entry, BEGIN) == [("released", 1, 2, 3, None)]
    assert bench.scheduler.counts() == (1, 0, 0, 0)


def test_retry_makes_a_deferred_entry_due():
    bench = Bench([("deferred", 1, 2, 3, None, 4, BEGIN + HOUR, "4.2.2", "full")])
    bench.read(3, envelope(b"a@relay.test"))
    assert bench.scheduler.actions(BEGIN) == []
    retry(bench.scheduler, bench.entries[0], BEGIN)
    assert [type(action).__name__ for action in bench.scheduler.actions(BEGIN)] == ["Connect"]


def test_remove_by_domain_takes_the_matching_recipients_only():
    message = envelope(b"a@one.example", b"b@two.example", b"c@one.example")
    router = Router(local_directory("demo.test"), {}, NextHop("smtp", "smart", 25))
    bench = Bench()
    bench.intake = Intake(bench.scheduler, router)
    bench.read(3, message)
    (entry,) = bench.entries
    indexes = matching(entry, message.recipients, b"one.example")
    assert indexes == (0, 2)
    assert matching(entry, message.recipients, b"e.example") == ()
    with_dots = (b"a@one.example.", b"b@two.example", b"c@one.example")
    for domain in (b"one.example", b"one.example."):
        assert matching(entry, with_dots, domain) == (0, 2)
    assert remove(bench.scheduler, entry, indexes, BEGIN) == [("finished", 1, 2, 3, (0, 2))]
    assert (entry.indexes, entry.count) == ((1,), 1)
    assert remove(bench.scheduler, entry, None, BEGIN) == [("finished", 1, 2, 3, (1,))]
    assert bench.entries == []


def test_what_was_said_comes_back_whole_with_its_code_stage_and_next_hop():
    """Else the DSN of what expires after a restart would give a peer's words as ours (RFC 3464 2.3.6)."""
    said = ("deferred", 1, 2, 3, None, 4, BEGIN + HOUR, "4.2.2", "full", 452, "rcpt", "mx[192.0.2.1]:25")
    bench = Bench([said])
    bench.read(3, envelope())
    (entry,) = bench.entries
    reason = reason_of(entry, 0)
    assert reason is not None
    assert (reason.code, reason.stage, reason.next_hop) == (452, "rcpt", "mx[192.0.2.1]:25")
    assert lift(entry)
    copy = copy_envelope(entry, envelope()).carried
    assert copy is not None
    assert (copy.code, copy.stage, copy.next_hop) == (452, "rcpt", "mx[192.0.2.1]:25")
    later = Bench()
    later.read(9, copy_envelope(entry, envelope()))
    assert reason_of(later.entries[0], 0).code == 452  # type: ignore[union-attr]


def test_a_failure_stays_one_whatever_status_the_peer_gave_it():
    """``550 4.2.2`` is permanent (RFC 5321 4.2.1), and has not expired."""
    bench = Bench([("failed", 1, 2, 3, (0,), 550, "4.2.2", "full", "rcpt", "mx", "failed")])
    notice = bench.read(3, envelope())
    assert notice is not None
    assert [outcome.kind for _, outcome in notice.failures] == [FAILED]
