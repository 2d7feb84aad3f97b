"""Which session is given out, and how many are kept (RFC 8446 C.4, I5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.net.session_cache import SessionCache


def test_a_session_is_given_out_once_and_the_newest_first():
    cache: SessionCache[str, int] = SessionCache(10)
    for number in (1, 2):
        cache.put("a", number, 100.0)
    assert [cache.take("a", 0.0) for _ in range(3)] == [2, 1, None]
    assert len(cache) == 0


def test_a_session_of_another_key_is_never_given_out():
    cache: SessionCache[str, int] = SessionCache(10)
    cache.put("a", 1, 100.0)
    assert cache.take("b", 0.0) is None
    assert cache.take("a", 0.0) == 1


def test_what_is_out_of_date_is_forgotten():
    cache: SessionCache[str, int] = SessionCache(10)
    cache.put("a", 1, 20.0)
    cache.put("a", 2, 10.0)
    assert cache.take("a", 10.0) == 1
    cache.put("a", 3, 10.0)
    assert cache.take("a", 10.0) is None
    assert len(cache) == 0


def test_a_key_has_no_more_than_its_share_and_the_newest_stay():
    cache: SessionCache[str, int] = SessionCache(100, per_key=3)
    for number in range(10):
        cache.put("a", number, 100.0)
    assert len(cache) == 3
    assert [cache.take("a", 0.0) for _ in range(4)] == [9, 8, 7, None]


def test_the_key_that_has_waited_longest_gives_way():
    cache: SessionCache[str, int] = SessionCache(3)
    for key in "abc":
        cache.put(key, 1, 100.0)
    cache.put("a", 2, 100.0)
    assert cache.take("b", 0.0) is None
    assert [cache.take(key, 0.0) for key in "aac"] == [2, 1, 1]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 20)), max_size=200))
def test_it_says_what_a_list_of_all_sessions_says(steps: list[tuple[str, bool, int]]):
    """Against the slow, obvious way: one list, searched from its end."""
    cache: SessionCache[str, int] = SessionCache(1000, per_key=1000)
    plain: list[tuple[str, int, int]] = []
    for now, (key, is_put, seconds) in enumerate(steps):
        if is_put:
            cache.put(key, now, float(now + seconds))
            plain.append((key, now, now + seconds))
            continue
        plain = [each for each in plain if each[0] != key or each[2] > now]
        found = next((each for each in reversed(plain) if each[0] == key), None)
        if found is not None:
            plain.remove(found)
        assert cache.take(key, float(now)) == (found[1] if found else None)
        assert len(cache) == len(plain)


@given(st.lists(st.sampled_from("abcdef"), max_size=100), st.integers(1, 5), st.integers(1, 3))
def test_the_bounds_hold_whatever_comes(keys: list[str], most: int, per_key: int):
    cache: SessionCache[str, int] = SessionCache(most, per_key)
    for number, key in enumerate(keys):
        cache.put(key, number, 1000.0)
        assert len(cache) <= most
        assert sum(map(len, cache._kept.values())) == len(cache)
        assert all(len(kept) <= per_key for kept in cache._kept.values())
