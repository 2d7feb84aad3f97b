"""relay/net/shares.py: fair turns, and no more than a share."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from relay.net.shares import Shares


def drained(shares: Shares[str]) -> list[str]:
    found = []
    while (job := shares.take()) is not None:
        found.append(job)
    return found


def test_keys_take_turns_however_many_jobs_one_of_them_has() -> None:
    shares: Shares[str] = Shares(100)
    for number in range(50):
        shares.put("mallory", f"m{number}")
    shares.put("alice", "a0")
    shares.put("bob", "b0")
    assert drained(shares)[:4] == ["m0", "a0", "b0", "m1"]


def test_a_key_never_has_more_than_its_share_and_goes_on_when_one_is_done() -> None:
    shares: Shares[str] = Shares(2)
    for number in range(4):
        shares.put("mallory", f"m{number}")
    shares.put("alice", "a0")
    assert drained(shares) == ["m0", "a0", "m1"]
    assert (shares.busy("mallory"), len(shares)) == (2, 2)
    shares.done("mallory")
    assert drained(shares) == ["m2"]
    shares.done("alice")
    assert drained(shares) == []


def test_a_job_that_is_dropped_never_comes() -> None:
    shares: Shares[str] = Shares(1)
    shares.put("alice", "a0")
    shares.put("alice", "a1")
    assert shares.take() == "a0"
    assert shares.drop("alice", "a1")
    assert not shares.drop("alice", "a1")
    assert not shares.drop("alice", "a0"), "it does not wait any more"
    shares.done("alice")
    assert shares.take() is None
    assert not shares._queues
    assert not shares._busy
    assert not shares._ring


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Shares(0)


def test_whatever_happens_every_job_comes_once_and_in_the_order_of_its_key() -> None:
    """Against a slow model, on random input."""
    draw = random.Random(7)
    for _ in range(200):
        shares: Shares[tuple[str, int]] = Shares(draw.randint(1, 3))
        waiting: dict[str, list[int]] = {}
        busy: Counter[str] = Counter()
        count = 0
        for _ in range(200):
            key = draw.choice("abcd")
            what = draw.random()
            if what < 0.5:
                shares.put(key, (key, count))
                waiting.setdefault(key, []).append(count)
                count += 1
            elif what < 0.8:
                job = shares.take()
                may = [each for each, jobs in waiting.items() if jobs and busy[each] < shares.share]
                assert (job is None) == (not may)
                if job is not None:
                    assert job[0] in may
                    assert waiting[job[0]].pop(0) == job[1]
                    busy[job[0]] += 1
            elif what < 0.9 and busy[key]:
                shares.done(key)
                busy[key] -= 1
            elif waiting.get(key):
                gone = draw.choice(waiting[key])
                waiting[key].remove(gone)
                assert shares.drop(key, (key, gone))
            assert len(shares) == sum(map(len, waiting.values()))
