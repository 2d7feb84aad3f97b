"""Connections one by one: waking, giving way, hanging up, handing back."""

from __future__ import annotations

from relay.mail.outcome import deferred, delivered
from relay.queue.action import Connect, Quit, Settle, Wake
from relay.queue.commands import hold, remove
from relay.queue.entry import ACTIVE, IS_FOREIGN, IS_NULL_PATH, Entry
from relay.queue.group import Connection, Settings
from relay.queue.scheduler import Scheduler
from tests.queue.world import BEGIN, DEAD, HOUR, ID, MINUTE, SECOND, Host, World, policy

OK = [delivered("2.0.0", "ok")]


class Bench:
    def __init__(self, **settings: int) -> None:
        self.scheduler = Scheduler(Settings(**settings), policy(), BEGIN)
        self.now = BEGIN

    def add(self, key: str, offset: int = 0) -> Entry:
        entry = Entry(1, 1, offset, 100, ID, self.now, self.scheduler.group(key, key), None, 1)
        self.scheduler.add(entry, self.now)
        return entry

    def actions(self) -> list[object]:
        return list(self.scheduler.actions(self.now))

    def connect(self, key: str) -> Connection:
        for action in self.actions():
            if isinstance(action, Connect) and action.connection.group.key == key:
                self.scheduler.connection_opened(action.connection, self.now)
                return action.connection
        raise AssertionError("no connection was asked for")

    def take(self, connection: Connection) -> Entry:
        entry = self.scheduler.take(connection, self.now)
        assert entry is not None
        return entry


def test_an_idle_connection_is_woken_before_another_is_opened():
    bench = Bench()
    bench.add("h")
    connection = bench.connect("h")
    bench.scheduler.done(connection, bench.take(connection), OK, bench.now, 0.5)
    assert bench.scheduler.take(connection, bench.now) is None
    assert bench.actions() == []
    bench.add("h", 1)
    assert bench.actions() == [Wake(connection)]
    assert bench.take(connection).offset == 1


def test_groups_are_counted_by_state():
    bench = Bench(max_connections=1, suspend_first=MINUTE)
    bench.add("a")
    bench.add("b")
    assert bench.scheduler.pool.counts() == (0, 2, 0), "before turns are given"
    (action,) = [action for action in bench.actions() if isinstance(action, Connect)]
    assert bench.scheduler.pool.counts() == (1, 1, 0)
    bench.scheduler.connection_failed(action.connection, deferred("4.4.1", "refused", "connect"), bench.now, 0.5)
    assert bench.scheduler.pool.counts() == (0, 1, 1)
    assert bench.scheduler.pool.suspensions == 1


def test_a_connection_may_take_the_next_entry_before_the_first_is_done():
    """PIPELINING: the next transaction rides behind the content of the one before."""
    bench = Bench()
    first, second = bench.add("h", 1), bench.add("h", 2)
    connection = bench.connect("h")
    assert (bench.take(connection), bench.take(connection)) == (first, second)
    assert bench.scheduler.counts().active == 2
    for entry in (first, second):
        bench.scheduler.done(connection, entry, OK, bench.now, 0.5)
    assert bench.scheduler.counts() == (0, 0, 0, 0)


def test_what_is_put_back_is_next_and_counts_no_attempt():
    bench = Bench(initial=1)
    first, _ = bench.add("h", 1), bench.add("h", 2)
    connection = bench.connect("h")
    assert bench.take(connection) is first
    bench.scheduler.put_back(connection, first, bench.now)
    bench.scheduler.connection_closed(connection, None, bench.now, 0.5)
    assert first.attempts == 0
    assert bench.take(bench.connect("h")) is first


def test_a_next_hop_that_greets_and_hangs_up_is_suspended():
    """Otherwise connecting would go round and round; what it took and gave back does not count as served."""
    bench = Bench()
    entry = bench.add("h")
    connection = bench.connect("h")
    assert bench.take(connection) is entry
    bench.scheduler.put_back(connection, entry, bench.now)
    bench.scheduler.connection_closed(connection, deferred("4.4.2", "hung up", "mail"), bench.now, 0.5)
    assert bench.actions() == []
    assert bench.scheduler.counts().deferred == 1
    assert bench.scheduler.next_wakeup() == bench.now + MINUTE
    bench.now += MINUTE
    assert [type(action) for action in bench.actions()] == [Connect]


def test_at_the_bound_idle_connections_make_room():
    bench = Bench(max_connections=1)
    bench.add("a")
    idle = bench.connect("a")
    bench.scheduler.done(idle, bench.take(idle), OK, bench.now, 0.5)
    assert bench.scheduler.take(idle, bench.now) is None
    bench.add("b")
    assert bench.actions() == [Quit(idle)]
    bench.add("a", 1)  # too late for that connection: it is not woken any more
    assert bench.actions() == []
    assert bench.scheduler.take(idle, bench.now) is None
    bench.scheduler.connection_closed(idle, None, bench.now, 0.5)
    (action,) = bench.actions()
    assert isinstance(action, Connect)
    assert action.connection.group.key == "b"


def test_probes_of_dead_next_hops_hold_a_quarter_of_the_connections():
    slow_death = lambda: Host(connect_time=30 * SECOND, connect=lambda _: DEAD)  # noqa: E731
    hosts = {f"dead{i}": slow_death() for i in range(100)}
    settings = Settings(max_connections=40, suspend_first=SECOND, suspend_max=SECOND)
    world = World(hosts, settings)
    for i in range(100):
        world.add(f"dead{i}", i)
    world.run(BEGIN + 10 * MINUTE)
    assert world.scheduler.pool.total <= 10


def test_an_entry_whose_next_hop_is_dead_expires_on_time():
    world = World({"h": Host(connect=lambda _: DEAD)}, retry=policy(lifetime=7200.0))
    world.add("h")
    world.run(BEGIN + 2 * HOUR + MINUTE)
    assert len(world.notices("bounce")) == 1


def test_an_entry_past_its_lifetime_gets_one_more_attempt_when_one_is_possible():
    """After a long stop nothing is given up without an attempt."""
    world = World({"h": Host()}, retry=policy(lifetime=7200.0))
    world.add("h", received_at=BEGIN - 10 * HOUR)
    world.run(BEGIN + MINUTE)
    assert 0 in world.delivered_at
    assert world.notices("bounce") == []


def test_a_delay_is_told_once_even_when_it_is_tried_again_and_again():
    later = deferred("4.2.0", "later", "rcpt", code=450)
    world = World({"h": Host(reply=lambda _entry, _now: later)})
    entry = world.add("h")
    world.run(BEGIN + 24 * HOUR)
    assert entry.attempts > 10
    assert len(world.notices("delay")) == 1


def test_an_entry_that_is_held_during_an_attempt_is_held_after_it():
    bench = Bench()
    entry = bench.add("h")
    connection = bench.connect("h")
    bench.take(connection)
    assert entry.state == ACTIVE
    assert hold(bench.scheduler, entry, bench.now)
    assert remove(bench.scheduler, entry, None, bench.now) is None
    bench.scheduler.done(connection, entry, [deferred("4.0.0", "later", "rcpt", code=450)], bench.now, 0.5)
    assert bench.scheduler.counts() == (0, 0, 0, 1)


def test_a_lane_of_mailboxes_is_never_suspended_by_its_outcomes():
    """One full mailbox says nothing about the others in its lane."""
    scheduler = Scheduler(Settings(), policy(), BEGIN)
    lane = scheduler.group("local:3")
    for offset in range(50):
        scheduler.add(Entry(1, 1, offset, 100, ID, BEGIN, lane, None, 1), BEGIN)
    (first, *_) = [action for action in scheduler.actions(BEGIN) if isinstance(action, Connect)]
    scheduler.connection_opened(first.connection, BEGIN)
    full = [deferred("4.2.2", "full", "store")]
    for _ in range(50):
        entry = scheduler.take(first.connection, BEGIN)
        assert entry is not None
        scheduler.done(first.connection, entry, full, BEGIN, 0.5)
    assert scheduler.counts().deferred == 50
    assert not scheduler.pool.suspended


def foreign(bench: Bench, offset: int, received_at: int) -> Entry:
    group = bench.scheduler.group("h", "h")
    entry = Entry(1, 1, offset, 0, ID, received_at, group, None, 2, IS_NULL_PATH | IS_FOREIGN)
    bench.scheduler.add(entry, bench.now)
    return entry


def test_a_foreign_entry_is_attempted_once_and_its_outcomes_go_home():
    """Its own worker journals, retries and tells: nothing of that happens here."""
    bench = Bench()
    entry = foreign(bench, 1, BEGIN)
    connection = bench.connect("h")
    assert bench.take(connection) is entry
    outcomes = [deferred("4.0.0", "later", "rcpt", code=450), *OK]
    settled = bench.scheduler.done(connection, entry, outcomes, bench.now, 0.5)
    assert (settled.journal, settled.notice, list(settled.outcomes)) == ([], None, outcomes)
    assert bench.scheduler.counts() == (0, 0, 0, 0)
    assert bench.scheduler.ledger.total() == 0


def test_a_foreign_entry_past_its_lifetime_has_its_last_attempt():
    bench = Bench()
    entry = foreign(bench, 1, BEGIN - 100 * 24 * HOUR)
    bench.now += SECOND
    assert bench.take(bench.connect("h")) is entry


def test_a_foreign_entry_of_a_dead_next_hop_goes_home_when_its_lifetime_is_over():
    bench = Bench()
    foreign(bench, 1, BEGIN)
    (connect,) = bench.actions()
    assert isinstance(connect, Connect)
    bench.scheduler.connection_failed(connect.connection, DEAD, bench.now, 0.5)
    bench.now += 5 * 24 * HOUR + SECOND
    sent = [action.settled for action in bench.actions() if isinstance(action, Settle)]
    while not sent:
        sent = [action.settled for action in bench.actions() if isinstance(action, Settle)]
        bench.now += HOUR
    assert [outcome.text for outcome in sent[0].outcomes] == ["connection refused"] * 2
    assert (sent[0].journal, sent[0].notice) == ([], None)


def _idle_connections(bench: Bench, count: int) -> list[Connection]:
    for offset in range(count):
        bench.add("h", offset)
    opened = [action.connection for action in bench.actions() if isinstance(action, Connect)]
    for connection in opened:
        bench.scheduler.connection_opened(connection, bench.now)
    taken = [bench.take(connection) for connection in opened]
    for connection, entry in zip(opened, taken, strict=True):
        bench.scheduler.done(connection, entry, OK, bench.now, 0.5)
        assert bench.scheduler.take(connection, bench.now) is None
    assert bench.actions() == []
    return opened


def test_a_connection_that_takes_many_is_woken_alone_for_as_many_entries():
    bench = Bench()
    first, second, third = _idle_connections(bench, 3)
    first.appetite = 4
    for offset in range(5):
        bench.add("h", offset)
    assert bench.actions() == [Wake(first), Wake(second)]
    for _ in range(4):
        bench.take(first)
    assert bench.actions() == []
    bench.take(second)
    assert third.is_idle


def test_what_a_woken_connection_did_not_take_wakes_another():
    bench = Bench()
    first, second = _idle_connections(bench, 2)
    first.appetite = 4
    bench.add("h", 1)
    bench.add("h", 2)
    assert bench.actions() == [Wake(first)]
    bench.take(first)
    assert bench.actions() == []
    bench.scheduler.pool.give_up_claim(first)
    assert bench.actions() == [Wake(second)]


def test_a_woken_connection_that_is_closed_leaves_its_claim_to_others():
    bench = Bench()
    first, second = _idle_connections(bench, 2)
    first.appetite = 4
    bench.add("h", 1)
    bench.add("h", 2)
    assert bench.actions() == [Wake(first)]
    bench.scheduler.connection_closed(first, None, bench.now, 0.5)
    assert bench.actions()[0] == Wake(second)
