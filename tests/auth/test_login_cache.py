"""Logins that need not be computed again."""

from relay.auth.login_cache import Remembered


def test_a_login_is_remembered_for_its_lifetime():
    table = Remembered(b"k", 60, 10)
    mark = table.mark("192.0.2.1", "line", "secret")
    assert not table.holds(mark, 0)
    table.add(mark, 0)
    assert table.holds(mark, 59)
    assert not table.holds(mark, 60)
    assert len(table) == 0


def test_another_network_account_line_or_password_is_another_login():
    table = Remembered(b"k", 60, 10)
    table.add(table.mark("192.0.2.1", "line", "secret"), 0)
    others = [("192.0.2.2", "line", "secret"), ("192.0.2.1", "line2", "secret"), ("192.0.2.1", "line", "Secret"),
              ("192.0.2.1", "lin", "esecret")]  # fmt: skip
    assert not any(table.holds(table.mark(*other), 0) for other in others)


def test_the_oldest_is_forgotten_when_there_are_too_many():
    table = Remembered(b"k", 60, 2)
    marks = [table.mark("n", "line", str(n)) for n in range(3)]
    for mark in marks:
        table.add(mark, 0)
    assert [table.holds(mark, 0) for mark in marks] == [False, True, True]


def test_without_a_lifetime_nothing_is_remembered():
    table = Remembered(b"k", 0, 10)
    table.add(table.mark("n", "line", "x"), 0)
    assert len(table) == 0
