"""What people are told about an entry: its state, what it waits for, why, and when it is tried next."""

from __future__ import annotations

import pytest

from relay.mail.outcome import Outcome, deferred
from relay.queue.action import Connect, Resolve
from relay.queue.commands import hold, lift, retry
from relay.queue.entry import Entry
from relay.queue.group import Connection, Settings
from relay.queue.scheduler import Scheduler
from relay.queue.waiting import Waiting, waiting
from tests.queue.world import BEGIN, DEAD, ID, MINUTE, SECOND, policy

LATER = deferred("4.2.0", "not today", "rcpt", code=450)
NO_DNS = deferred("4.4.3", "SERVFAIL", "dns")


class Stand:
    """A scheduler without jitter; one group ``h``."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.scheduler = Scheduler(Settings(suspend_first=MINUTE, jitter=0.0, initial=2), policy(jitter=0.0), BEGIN)

    def add(self, offset: int = 0, key: str = "h", domain: str = "") -> Entry:
        entry = Entry(1, 1, offset, 100, ID, self.now, self.scheduler.group(key, key, domain), None, 1)
        self.scheduler.add(entry, self.now)
        return entry

    def connections(self) -> list[Connection]:
        return [action.connection for action in self.scheduler.actions(self.now) if isinstance(action, Connect)]

    def fail(self, outcome: Outcome = DEAD) -> None:
        for connection in self.connections():
            self.scheduler.connection_failed(connection, outcome, self.now, 0.5)

    def how(self, entry: Entry) -> Waiting:
        return waiting(self.scheduler, entry, self.now)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_an_entry_whose_peer_is_silent_is_active(stand: Stand) -> None:
    """Two connections are on their way, for the first two; the third waits for its turn."""
    entries = [stand.add(offset) for offset in range(3)]
    assert {stand.how(each).state for each in entries} == {"incoming"}
    assert len(stand.connections()) == 2
    assert [stand.how(each).waits_for for each in entries] == ["connection", "connection", "turn"]
    assert [stand.how(each).state for each in entries] == ["active", "active", "incoming"]


def test_an_entry_that_is_being_tried_is_active(stand: Stand) -> None:
    entry = stand.add()
    (connection,) = stand.connections()
    stand.scheduler.connection_opened(connection, stand.now)
    assert stand.how(entry).state == "active", "it is the connection's next"
    assert stand.scheduler.take(connection, stand.now) is entry
    assert stand.how(entry) == Waiting("reply", 0, None)


def test_an_entry_of_a_suspended_next_hop_says_why_and_when_the_probe_is(stand: Stand) -> None:
    entry = stand.add()
    stand.fail()
    how = stand.how(entry)
    assert (how.state, how.waits_for, how.next_at) == ("deferred", "next hop", BEGIN + MINUTE)
    assert how.reason is not None
    assert how.reason.text == DEAD.text


def test_an_entry_is_active_while_its_dead_next_hop_is_probed(stand: Stand) -> None:
    first, second = stand.add(), stand.add(1)
    stand.fail()
    stand.now += 2 * MINUTE
    assert len(stand.connections()) == 1
    assert stand.how(first).state == "active"
    how = stand.how(second)
    assert (how.state, how.next_at, how.reason is not None) == ("deferred", 0, True)


def test_a_deferred_entry_says_when_it_is_due_and_what_it_was_told(stand: Stand) -> None:
    entry = stand.add()
    (connection,) = stand.connections()
    stand.scheduler.connection_opened(connection, stand.now)
    stand.scheduler.take(connection, stand.now)
    stand.scheduler.done(connection, entry, [LATER], stand.now, 0.5)
    how = stand.how(entry)
    assert (how.state, how.waits_for, how.next_at) == ("deferred", "retry", entry.due_at)
    assert how.reason is not None
    assert (how.reason.code, how.reason.text) == (450, "not today")


def test_an_entry_that_is_due_before_its_suspended_next_hop_is_tried_waits_for_that(stand: Stand) -> None:
    entry = stand.add()
    (connection,) = stand.connections()
    stand.scheduler.connection_opened(connection, stand.now)
    stand.scheduler.take(connection, stand.now)
    stand.scheduler.done(connection, entry, [LATER], stand.now, 0.5)
    group = connection.group
    group.suspended_until = entry.due_at + MINUTE
    assert stand.how(entry).next_at == entry.due_at + MINUTE
    group.suspended_until = entry.due_at - SECOND
    assert stand.how(entry).next_at == entry.due_at


def test_an_entry_whose_domain_is_looked_up_waits_for_dns(stand: Stand) -> None:
    entry = stand.add(0, "mx:far.test", "far.test")
    assert Resolve("mx:far.test", "far.test") in stand.scheduler.actions(stand.now)
    assert stand.how(entry) == Waiting("dns", 0, None)
    assert stand.how(entry).state == "active"
    stand.scheduler.unresolved("mx:far.test", NO_DNS, stand.now, 0.5)
    how = stand.how(entry)
    assert (how.state, how.waits_for, how.next_at) == ("deferred", "next hop", BEGIN + MINUTE)
    assert how.reason is not None
    assert how.reason.text == "SERVFAIL"


def test_held_and_copied_entries_wait_for_no_next_hop(stand: Stand) -> None:
    held, copied = stand.add(), stand.add(1)
    hold(stand.scheduler, held, stand.now)
    assert lift(copied)
    assert [stand.how(each).state for each in (held, copied)] == ["hold", "active"]


def test_a_retry_by_an_operator_is_now(stand: Stand) -> None:
    entry = stand.add()
    stand.fail()
    retry(stand.scheduler, entry, stand.now)
    assert stand.how(entry).next_at == 0
