"""The spool is stopped, or its disk fails, at the N-th file operation, for every N."""

from __future__ import annotations

import contextlib
import errno
import random

import pytest

from relay.spool.errors import SpoolError
from relay.spool.folder import list_logs
from relay.spool.verify import DAMAGE, verify
from tests.crash.layer.disk import Crash, Disk
from tests.crash.layer.life import SPOOL, Found, Life, finish_everything


def total_operations() -> int:
    life = Life(Disk(), "A")
    life.story()
    return life.disk.operations


TOTAL = total_operations()


def live(disk: Disk, name: str = "A") -> Life:
    """A life that ends with its story or with a crash."""
    life = Life(disk, name)
    with contextlib.suppress(Crash):
        life.story()
    return life


def check(lives: list[Life], disk: Disk) -> None:
    """I1 and I2, as far as the spool can answer for them."""
    found = Found(disk)
    assert [damage for damage in found.damages if not damage.is_torn] == []
    attempted: dict[str, bytes] = {}
    for life in lives:
        attempted |= life.attempted
        for name in life.acknowledged.keys() - life.finished:
            assert name in found.contents, f"{name} was acknowledged and is gone"
        for entry in life.synced:
            assert entry in found.entries, f"{entry} was synced and is gone"
    for name, content in found.contents.items():
        assert content == attempted[name]
    assert not found.twice
    if list_logs(SPOOL, disk):
        assert [finding for finding in verify(SPOOL, disk) if finding.level == DAMAGE] == []


def test_the_story_without_a_crash() -> None:
    life = Life(Disk(), "A")
    done: set[str] = set()

    def note(_number: int, name: str) -> int:
        done.add(name)
        return 0

    life.disk.fail = note
    life.story()
    assert {"allocate", "write", "write_synced", "sync", "rename", "sync_folder", "unlink"} <= done
    check([life], life.disk)
    found = Found(life.disk)
    assert found.damages == []
    assert found.contents.keys() == life.acknowledged.keys() - life.finished
    assert len(life.finished) > 5
    assert not life.refused


@pytest.mark.parametrize("lost", [0.0, 0.5, 1.0])
def test_power_fails_at_every_operation(lost: float) -> None:
    for number in range(1, TOTAL + 1):
        disk = Disk()
        disk.crash_at = number
        life = live(disk)
        assert disk.is_crashed
        check([life], disk.after_power_failure(random.Random(number), lost))


def test_the_process_is_killed_at_every_operation() -> None:
    for number in range(1, TOTAL + 1):
        disk = Disk()
        disk.crash_at = number
        life = live(disk)
        check([life], disk.after_kill())


def test_power_fails_again_in_the_next_life() -> None:
    """The second life recovers, works and is stopped too; the third finishes everything."""
    rng = random.Random(7)
    for number in range(1, TOTAL + 1, 2):
        disk = Disk()
        disk.crash_at = number
        first = live(disk)
        disk = disk.after_power_failure(rng, 0.4)
        disk.crash_at = rng.randrange(1, TOTAL)
        try:
            Found(disk)
            second = live(disk, "B")
        except Crash:  # while damaged pieces were being kept
            second = Life(disk, "B")
        disk = disk.after_power_failure(rng, 0.4)
        check([first, second], disk)
        third = live(disk, "C")
        check([first, second, third], disk)
        finish_everything(disk)
        assert list_logs(SPOOL, disk) == []


def test_power_fails_while_a_dead_log_is_removed() -> None:
    total = 0
    number = 1
    while not total:
        disk = Disk()
        life = live(disk)
        disk = disk.after_kill()
        disk.crash_at = number
        try:
            finish_everything(disk)
            total = number
        except Crash:
            disk = disk.after_power_failure(random.Random(number), 0.5)
            found = Found(disk)
            assert [damage for damage in found.damages if not damage.is_torn] == []
            for name, content in found.contents.items():
                assert content == life.attempted[name]
            finish_everything(disk)
            assert list_logs(SPOOL, disk) == []
        number += 1
    assert total > 5


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_one_operation_fails_for_every_operation(code: int) -> None:
    """A failed write or sync is never taken for a good one, and what was refused is not delivered."""
    refused = 0
    for number in range(1, TOTAL + 1):
        disk = Disk()
        disk.fail = lambda operation, _name, at=number: code if operation == at else 0  # type: ignore[misc]
        life = Life(disk, "A")
        with contextlib.suppress(SpoolError, OSError, IndexError):  # the story cannot go on: the worker has ended
            life.story()
        refused += len(life.refused)
        after = disk.after_power_failure(random.Random(number), 0.5)
        check([life], after)
        delivered_and_refused = Found(after).contents.keys() & life.refused
        if delivered_and_refused:  # only when the cut failed as well, and nothing was written after it
            assert life.log.is_failing
    assert refused > 5


def test_the_disk_fails_for_good_and_comes_back() -> None:
    disk = Disk()
    life = Life(disk, "A")
    life.start()
    life.batch(500, 600)
    before = set(life.acknowledged)
    disk.fail = lambda _number, name: errno.EIO if name in ("write", "write_synced", "sync") else 0
    for _ in range(4):
        life.batch(700)
    assert life.log.is_failing
    assert not life.log.probe()
    assert set(life.acknowledged) == before
    disk.fail = lambda _number, _name: 0
    life.batch(800)
    assert len(life.refused) == 5, "nothing is written before a probe has succeeded"
    assert life.log.probe()
    life.batch(900)
    assert len(life.acknowledged) == 3
    found = Found(disk.after_power_failure(random.Random(3), 0.5))
    assert found.contents.keys() == life.acknowledged.keys()
    assert found.damages == []
