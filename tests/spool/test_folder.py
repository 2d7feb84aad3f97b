"""The data directory: one instance, one format, numbers that are never used twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relay.spool import SpoolError, is_owned, is_running, list_logs, lock_data_dir
from relay.spool.files import OS, Files
from relay.spool.folder import all_segments, current_run, make_log, next_number, remove_log_folder
from tests.spool.spools import make_log as filled_log
from tests.spool.spools import make_spool


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    first = lock_data_dir(tmp_path)
    assert is_running(tmp_path)
    with pytest.raises(SpoolError, match="another instance"):
        lock_data_dir(tmp_path)
    first.close()
    assert not is_running(tmp_path)
    lock_data_dir(tmp_path).close()


def test_the_lock_lasts_as_long_as_a_child_that_inherited_it(tmp_path: Path) -> None:
    """A supervisor that was killed may leave workers that still write."""
    code = (
        "import os, sys; from pathlib import Path; from relay.spool import lock_data_dir\n"
        "lock = lock_data_dir(Path(sys.argv[1])); read, write = os.pipe()\n"
        "if os.fork() == 0: os.close(write); print('ready', flush=True); os.read(0, 1); os._exit(0)\n"
        "os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == b"ready\n"
        assert parent.wait() == 0
        assert is_running(tmp_path)
        parent.stdin.close()
        lock_data_dir(tmp_path, wait_seconds=10).close()


def test_runs_are_counted(tmp_path: Path) -> None:
    runs = []
    for _ in range(3):
        lock = lock_data_dir(tmp_path)
        runs.append(lock.run)
        assert current_run(lock.spool_dir) == lock.run
        lock.close()
    assert runs == [1, 2, 3]


def test_lost_and_found_is_tolerated(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "lost+found").mkdir()
    lock_data_dir(tmp_path).close()
    lock_data_dir(tmp_path).close()
    assert list_logs(tmp_path / "spool") == []


@pytest.mark.parametrize(
    ("found", "text"), [(b"relay-spool 2\n", "format version 2"), (b"", "unreadable"), (b"\xff\xfe", "unreadable")]
)
def test_an_unknown_format_is_refused(tmp_path: Path, found: bytes, text: str) -> None:
    spool_dir = make_spool(tmp_path)
    (spool_dir / "FORMAT").write_bytes(found)
    with pytest.raises(SpoolError, match=text):
        lock_data_dir(tmp_path)
    assert not is_running(tmp_path)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "photos").mkdir()
    with pytest.raises(SpoolError, match="not a spool"):
        lock_data_dir(tmp_path)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"a file")
    with pytest.raises(SpoolError, match="cannot be used"):
        lock_data_dir(tmp_path)


def test_log_numbers_are_never_used_twice(tmp_path: Path) -> None:
    """A journal may still speak of a log that is gone: its outcomes must never be taken for those of another."""
    spool_dir = make_spool(tmp_path)
    for expected in (1, 2, 3):
        log, _ = filled_log(spool_dir, [{"m": b"x"}])
        assert log.number == expected
        log.close()
        remove_log_folder(OS, spool_dir / f"log-{log.number:010d}")
    assert list_logs(spool_dir) == []


def test_numbers_jump_far_ahead_when_their_file_is_lost(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    make_log(spool_dir)
    (spool_dir / "numbers").write_bytes(b"garbage")
    assert next_number(spool_dir, "log") > 1_000_000
    assert next_number(spool_dir, "journal") > 1_000_000


def test_a_log_is_owned_until_its_process_lets_go(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    log, _ = filled_log(spool_dir, [])
    assert is_owned(spool_dir, log.number)
    log.close()
    assert not is_owned(spool_dir, log.number)
    assert not is_owned(spool_dir, 77)


def test_leftovers_of_a_crash_are_removed_at_the_start(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    (spool_dir / "log-0000000009.new" / "large").mkdir(parents=True)
    (spool_dir / "log-0000000009.new" / "lock").write_bytes(b"")
    (spool_dir / "journal" / "0000000004.new").write_bytes(b"x")
    lock_data_dir(tmp_path).close()
    assert sorted(path.name for path in spool_dir.iterdir()) == ["FORMAT", "corrupt", "journal", "lock", "numbers"]
    assert list((spool_dir / "journal").iterdir()) == []


def test_segments_are_listed_while_logs_come_and_go(tmp_path: Path) -> None:
    """A delivery worker lists them to compact its journal, while other processes make logs and remove them."""
    spool = make_spool(tmp_path)
    logs = [filled_log(spool, [{"x": b"content"}])[0] for _ in range(2)]
    there, going = [log.number for log in logs]
    for log in logs:
        log.close()
    (spool / "log-0000000099.new").mkdir()  # one that is being made

    class Moving(Files):
        """Between the look at the logs and that at their segments one of them goes."""

        def names(self, path: Path) -> list[str]:
            names = super().names(path)
            if path == spool:
                remove_log_folder(OS, path / f"log-{going:010d}")
            return names

    assert {log for log, _ in all_segments(spool)} == {there, going}
    assert {log for log, _ in all_segments(spool, Moving())} == {there}
