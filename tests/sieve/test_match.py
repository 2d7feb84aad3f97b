"""Wildcards against a slow twin; comparators."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sieve.match import compare, cost, wildcards


def twin(text: str, pattern: list[str]) -> list[str] | None:
    """What each wildcard stands for, by trying: asterisks as short as they can be (RFC 5229 3.2); None: no match."""
    if not pattern:
        return [] if not text else None
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        for length in range(len(text) + 1):
            found = twin(text[length:], rest)
            if found is not None:
                return [text[:length], *found]
        return None
    if not text or (first != "?" and first[-1] != text[0]):
        return None
    found = twin(text[1:], rest)
    return None if found is None else ([text[0]] if first == "?" else []) + found


@given(st.text("ab*", max_size=8), st.lists(st.sampled_from(["a", "b", "*", "?", "\\*", "\\?", "\\a"]), max_size=7))
def test_wildcards_fit_as_the_twin_says_and_stand_for_the_same(text: str, pattern: list[str]):
    found = wildcards("i;octet", text, "".join(pattern))
    expected = twin(text, pattern)
    assert (None if found is None else list(found)) == (None if expected is None else [text, *expected])


def test_a_pattern_that_makes_backtracking_explode_is_decided_at_once():
    began = time.process_time()
    assert wildcards("i;octet", "a" * 50_000, "*a" * 30 + "*b") is None
    assert wildcards("i;octet", "a" * 50_000, "*?a" * 30 + "*b") is None
    assert time.process_time() - began < 10  # exponential would be years
    assert cost(50_000, "*?a" * 30) > cost(50_000, "*a" * 30)


@pytest.mark.parametrize(
    ("comparator", "left", "right", "order"),
    [
        ("i;octet", "a", "A", 1),
        ("i;ascii-casemap", "aÄ", "AÄ", 0),
        ("i;ascii-casemap", "ä", "Ä", 1),
        ("i;unicode-casemap", "äß", "Äß", 0),
        ("i;unicode-casemap", "\u00e9", "e\u0301", 0),
        ("i;ascii-numeric", "10", "9", 1),
        ("i;ascii-numeric", "007 bond", "7", 0),
        ("i;ascii-numeric", "x", "99", 1),
        ("i;ascii-numeric", "x", "", 0),
        ("i;ascii-numeric", "9" * 10_000, "8" + "9" * 9_999, 1),
    ],
)
def test_comparators(comparator: str, left: str, right: str, order: int):
    """RFC 4790 9, RFC 5051."""
    assert compare(comparator, left, right) == order
    assert compare(comparator, right, left) == -order
