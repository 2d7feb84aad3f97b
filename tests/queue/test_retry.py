"""When a deferred recipient is tried again (RFC 5321 4.5.4.1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.queue.world import BEGIN, DAY, HOUR, MINUTE, policy


def test_waits_grow_to_the_longest_and_stay_there():
    retry = policy(retry_first=60.0, retry_factor=2.0, retry_max=14_400.0, jitter=0.0)
    assert [retry.wait(n, 0.5) // MINUTE for n in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]


def test_jitter_spreads_what_failed_together():
    retry = policy(retry_first=100.0, jitter=0.2)
    assert retry.wait(1, 0.0) == 80_000_000
    assert retry.wait(1, 0.5) == 100_000_000
    assert 119_000_000 < retry.wait(1, 0.9999) <= 120_000_000


def test_the_last_attempt_falls_on_the_end_of_the_lifetime():
    retry = policy(lifetime=5 * 86_400.0)
    assert retry.next(50, BEGIN, BEGIN + 5 * DAY - MINUTE, 0.5) == BEGIN + 5 * DAY
    assert retry.next(51, BEGIN, BEGIN + 5 * DAY, 0.5) is None


@given(st.integers(1, 65_535), st.integers(0, 10 * DAY), st.floats(0, 1, exclude_max=True))
def test_the_next_attempt_is_later_and_within_the_lifetime(attempts: int, age: int, draw: float):
    due_at = policy().next(attempts, BEGIN, BEGIN + age, draw)
    if age >= 5 * DAY:
        assert due_at is None
    else:
        assert due_at is not None
        assert BEGIN + age < due_at <= BEGIN + min(age + 5 * HOUR, 5 * DAY)
