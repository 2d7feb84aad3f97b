"""A real process whose system calls fail (strace -e inject): what it was told is what is on the disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.spool import Damage, Tail, list_logs, lock_data_dir

MESSAGES = 20

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def run(data_dir: Path, inject: str) -> tuple[set[str], set[str], subprocess.CompletedProcess[str]]:
    """The names that were spooled and refused under ``inject``."""
    calls = inject.split(":", 1)[0]
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", str(data_dir / "trace"), "-e", f"trace={calls}", "-e", f"inject={inject}"),
            *(sys.executable, "-m", "tests.crash.layer.driver", str(data_dir), str(MESSAGES)),
        ],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("ptrace is not permitted here")
    told = [line.split()[:2] for line in done.stdout.splitlines()]
    spooled = {name for answer, name in told if answer == "spooled"}
    return spooled, {name for answer, name in told if answer == "refused"}, done


def found(data_dir: Path) -> tuple[list[str], list[Damage]]:
    lock = lock_data_dir(data_dir)
    damages: list[Damage] = []
    names = [
        record.envelope.queue_id
        for log in list_logs(lock.spool_dir)
        for records in Tail(lock.spool_dir, log, damages.append).rest()
        for record in records
    ]
    lock.close()
    return names, [damage for damage in damages if not damage.is_torn]


def test_nothing_fails_when_nothing_is_injected(tmp_path: Path) -> None:
    spooled, refused, done = run(tmp_path, "sync_file_range:error=EIO")
    assert (len(spooled), refused, done.returncode) == (MESSAGES, set(), 0)


@pytest.mark.parametrize(
    "inject",
    [
        "pwritev2:error=EIO:when=12",
        "pwritev2:error=EIO:when=12..14",
        "pwritev2:error=ENOSPC:when=9+6",
        "fdatasync:error=EIO:when=8..9",
        "fdatasync:error=EIO:when=6+3",
        "fsync:error=EIO:when=9..10",
        "fsync:error=EIO:when=8+2",
    ],
)
def test_what_was_told_is_true_when_system_calls_fail(tmp_path: Path, inject: str) -> None:
    """DESIGN 4: a failed sync is never taken for a good one; no acknowledged message is lost, no refused one kept."""
    spooled, refused, done = run(tmp_path, inject)
    assert done.returncode == 0, done.stderr
    assert len(spooled | refused) == MESSAGES
    assert len(spooled) > 3
    assert refused or not inject.startswith("pwritev2")
    names, damages = found(tmp_path)
    assert sorted(names) == sorted(spooled)
    assert damages == []


@pytest.mark.parametrize("call", ["pwritev2", "fdatasync", "fsync", "ftruncate"])
def test_a_disk_that_stays_broken_refuses_all_and_loses_nothing(tmp_path: Path, call: str) -> None:
    spooled, refused, done = run(tmp_path, f"{call}:error=EIO:when=14+")
    assert done.returncode == 0, done.stderr
    assert len(spooled | refused) == MESSAGES
    names, damages = found(tmp_path)
    assert spooled <= set(names)
    assert damages == []


@pytest.mark.parametrize("call", ["pwritev2", "fdatasync", "fsync", "rename"])
def test_a_process_that_is_killed_at_a_system_call(tmp_path: Path, call: str) -> None:
    for number in (2, 5, 9, 13):
        folder = tmp_path / str(number)
        folder.mkdir()
        spooled, _, _ = run(folder, f"{call}:signal=KILL:when={number}")
        names, damages = found(folder)
        assert spooled <= set(names)
        assert len(names) <= len(spooled) + 1
        assert damages == []
