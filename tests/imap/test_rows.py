"""Rows in C are what the obvious way in Python writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.imap import responses
from relay.imap._rows import Numbers, Texts, dates, joined

COUNT = 4
NUMBERS = st.tuples(st.binary(max_size=9), st.lists(st.integers(0, 2**64 - 1), min_size=COUNT, max_size=COUNT))
TEXTS = st.tuples(st.binary(max_size=9), st.lists(st.none() | st.binary(max_size=40), min_size=COUNT, max_size=COUNT))
LAST = 253402300799
"""The last second of the year 9999."""


def slow(run, columns):
    """The rows one by one."""
    made = [b""]
    for at, index in enumerate(run):
        values = [(lead, rest[0][at], *rest[1:]) for lead, *rest in columns]
        if any(value is None for _, value, *_ in values):
            made += [index, b""]
            continue
        words = [
            lead + (b"%d" % value if isinstance(value, int) else value) + b"".join(tail)
            for lead, value, *tail in values
        ]
        made[-1] += b"* %d FETCH (%b)\r\n" % (index + 1, b" ".join(words))
    return [each for each in made if each != b""]


@given(
    st.lists(st.integers(0, 2**32), min_size=COUNT, max_size=COUNT),
    st.lists(NUMBERS | TEXTS, min_size=1, max_size=4),
    st.binary(max_size=3),
)
def test_rows_are_those_of_the_slow_way(run, columns, tail):
    fast = [
        Numbers(lead, values, tail) if isinstance(values[0], int) else Texts(lead, values) for lead, values in columns
    ]
    plain = [(lead, values, tail) if isinstance(values[0], int) else (lead, values) for lead, values in columns]
    assert joined(run, fast) == slow(run, plain)


def test_literals_have_their_length_in_front():
    column = Texts(b"BODY[] ", [b"a\r\n", None, b"", b"x" * 100], are_literals=True)
    assert joined([0, 1, 2, 3], [Numbers(b"UID ", [7, 8, 9, 10]), column]) == [
        b"* 1 FETCH (UID 7 BODY[] {3}\r\na\r\n)\r\n",
        1,
        b"* 3 FETCH (UID 9 BODY[] {0}\r\n)\r\n* 4 FETCH (UID 10 BODY[] {100}\r\n" + b"x" * 100 + b")\r\n",
    ]


def test_a_run_of_none_has_no_rows():
    assert joined([], [Numbers(b"UID ", [])]) == []


def test_a_column_that_is_too_short_or_holds_something_else_is_refused():
    with pytest.raises(ValueError, match="as long as the run"):
        joined([0, 1], [Numbers(b"UID ", [7])])
    with pytest.raises(TypeError):
        joined([0], [Texts(b"", ["text"])])  # type: ignore[arg-type]  # what it is refused for
    with pytest.raises(TypeError):
        joined([0], [[b"text"]])  # type: ignore[list-item]  # what it is refused for
    with pytest.raises(OverflowError):
        joined([0], [Numbers(b"", [-1])])


@given(st.lists(st.integers(0, LAST), max_size=5))
def test_dates_are_those_of_the_calendar_of_python(seconds):
    assert dates(seconds) == [responses.internal_date(at) for at in seconds]


def test_every_day_of_a_leap_year_and_of_two_others_has_its_name():
    for first in (946684800, 4102444800, 1672531200):  # 2000, 2100, 2023
        days = [first + day * 86400 for day in range(367)]
        assert dates(days) == [responses.internal_date(at) for at in days]


def test_a_date_that_cannot_be_written_has_none():
    assert dates([-1, 0, LAST + 1]) == [None, responses.internal_date(0), None]
