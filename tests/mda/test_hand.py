"""relay/mda/hand.py: what was in hand when a worker died, and what is suspected, outlives it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from relay.mda.hand import SLOTS, STRIKES, SUSPECTS, Hand, key_of

ONE, TWO = key_of(7, b"ann@local.test"), key_of(7, b"bob@local.test")


def test_what_a_killed_process_had_in_hand_is_suspected_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "in-hand-0"
    pid = os.fork()
    if not pid:
        hand = Hand(path)
        done, busy = hand.slot(), hand.slot()
        hand.take(done, TWO)
        hand.put_down(done)
        hand.take(busy, ONE)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    hand = Hand(path)
    assert hand.suspects == {ONE: 1}
    assert hand.deadly == {ONE}
    assert hand.died == [ONE]
    assert hand.suspects[ONE] < STRIKES


def test_a_second_death_counts_and_a_delivery_forgives(tmp_path: Path) -> None:
    first = Hand(tmp_path / "x")
    first.take(first.slot(), ONE)
    second = Hand(tmp_path / "x")
    second.take(second.slot(), ONE)
    third = Hand(tmp_path / "x")
    assert third.suspects == {ONE: STRIKES}
    third.set_aside(ONE)
    assert Hand(tmp_path / "x").suspects == {ONE: STRIKES - 1}, "released, it has one more try"
    third.forgive(ONE)
    assert not third.deadly
    assert not Hand(tmp_path / "x").suspects


def test_strikes_without_a_death_are_kept_and_not_deadly(tmp_path: Path) -> None:
    hand = Hand(tmp_path / "x")
    assert hand.strike(ONE) == 1
    assert hand.strike(TWO) == 1
    assert hand.strike(ONE) == 2
    after = Hand(tmp_path / "x")
    assert after.suspects == {ONE: 2, TWO: 1}
    assert not after.deadly


def test_it_is_bounded(tmp_path: Path) -> None:
    hand = Hand(tmp_path / "x")
    for number in range(SUSPECTS + 10):
        hand.strike((number + 1, 1))
    assert len(hand.suspects) == SUSPECTS
    assert (1, 1) not in hand.suspects
    assert Hand(tmp_path / "x").suspects == hand.suspects
    slots = [hand.slot() for _ in range(SLOTS + 2)]
    assert slots[-2:] == [-1, -1]
    hand.take(-1, ONE)
    hand.put_down(-1)
    for slot in slots:
        hand.free(slot)
    assert len({hand.slot() for _ in range(SLOTS)}) == SLOTS


def test_a_file_that_cannot_be_had_or_is_not_ours_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(os.urandom(100_000))
    assert not Hand(tmp_path / "garbage").suspects
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "fifo", "link", "missing/x"):
        hand = Hand(tmp_path / name)
        assert not hand.suspects
        hand.take(hand.slot(), ONE)
        assert hand.strike(ONE) == 1
    assert not (tmp_path / "elsewhere").exists()
