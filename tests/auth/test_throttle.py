"""How often, and how fast."""

from relay.auth import throttle
from relay.auth.throttle import MOST_WAITING, Admission, Throttle


def admit(table: Throttle, network, name, now) -> Admission:
    admission = table.admit(network, name, now)
    assert admission is not None
    return admission


def fail(table, network, name, now):
    admission = admit(table, network, name, now)
    table.failed(admission, now)
    return admission.delay


def test_the_first_failures_cost_nothing_and_the_next_ones_twice_as_much_each():
    table = Throttle(600, 50, 8)
    delays = [fail(table, "192.0.2.1", f"{n}@demo.test", 0.0) for n in range(9)]
    assert delays == [0, 0, 0, 0.5, 1, 2, 4, 8, 8]


def test_a_network_is_shut_out_and_comes_back_as_its_failures_leak_away():
    table = Throttle(600, 5, 8)
    for _ in range(5):
        assert not table.is_shut_out(7, 0.0)
        fail(table, 7, "a@demo.test", 0.0)
    assert table.is_shut_out(7, 0.0)
    assert table.is_shut_out(7, 100.0)
    assert not table.is_shut_out(7, 121.0), "one of five has leaked away"
    assert not table.is_shut_out(8, 0.0), "its neighbour is not concerned"


def test_a_try_is_charged_before_its_outcome_is_known():
    table = Throttle(600, 5, 8)
    for n in range(5):
        table.admit(7, f"{n}@demo.test", 0.0)
    assert table.is_shut_out(7, 0.0), "or trying in parallel would be free"


def test_success_takes_the_charge_back_and_makes_the_network_familiar():
    table = Throttle(600, 5, 8)
    for _ in range(100):
        table.succeeded(admit(table, 7, "a@demo.test", 0.0), 0.0)
    assert not table.is_shut_out(7, 0.0)
    for network in range(100, 160):
        fail(table, network, "a@demo.test", 1.0)
    assert admit(table, 8, "a@demo.test", 1.0).delay > 0, "a stranger has to wait"
    assert admit(table, 7, "a@demo.test", 1.0).delay == 0, "the owner does not pay for what strangers do"


def test_only_a_few_strangers_wait_for_one_account_and_its_owner_gets_by():
    table = Throttle(600, 50, 8)
    table.succeeded(admit(table, 7, "a@demo.test", 0.0), 0.0)
    for network in range(100, 100 + MOST_WAITING):
        assert table.admit(network, "a@demo.test", 0.0) is not None
    assert table.admit(99, "a@demo.test", 0.0) is None
    assert table.admit(7, "a@demo.test", 0.0) is not None


def test_what_was_not_looked_at_is_not_charged():
    table = Throttle(600, 5, 8)
    for _ in range(50):
        table.not_tried(admit(table, 7, "a@demo.test", 0.0), 0.0)
    assert not table.is_shut_out(7, 0.0)


def test_tables_have_a_limit(monkeypatch):
    monkeypatch.setattr(throttle, "TABLE_LIMIT", 10)
    table = Throttle(600, 5, 8)
    for n in range(50):
        table.succeeded(admit(table, n, f"{n}@demo.test", 0.0), 0.0)
    assert table.rows == 10


def test_a_mail_program_may_open_eight_connections_at_once():
    """After a restart nobody is familiar; four at a time once turned the others away."""
    throttle = Throttle(600, 50, 8.0)
    admissions = [throttle.admit(1, "ann", 0.0) for _ in range(8)]
    assert all(admission is not None and admission.delay == 0.0 for admission in admissions)
