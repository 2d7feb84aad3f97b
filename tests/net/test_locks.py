"""relay/net/locks.py: a lock that somebody keeps is waited for, and not for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.mailbox.account_root import Root
from relay.mailbox.maildir import make_maildir
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.store import FolderStore
from relay.net import locks, stopping
from relay.net.stopping import GONE, JobStopped, Mark

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks.Patience.__init__, "__defaults__", (0.05,))
    monkeypatch.setattr(locks.lock, "__defaults__", (0.05,))


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT if not path.is_dir() else os.O_RDONLY)


def test_a_lock_that_is_given_back_is_taken(tmp_path: Path) -> None:
    holder, waiter = opened(tmp_path / "x"), opened(tmp_path / "x")
    fcntl.flock(holder, fcntl.LOCK_EX)
    timer = threading.Timer(0.02, fcntl.flock, (holder, fcntl.LOCK_UN))
    timer.start()
    locks.lock(waiter, 20.0)
    timer.join()


def test_whoever_waits_for_a_lock_is_told_that_nobody_waits_for_him(tmp_path: Path) -> None:
    holder, waiter = opened(tmp_path / "x"), opened(tmp_path / "x")
    fcntl.flock(holder, fcntl.LOCK_EX)
    mark = Mark()
    mark.cause = GONE
    stopping.enter(mark)
    try:
        with pytest.raises(JobStopped):
            locks.lock(waiter, 20.0)
    finally:
        stopping.enter(Mark())


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("relay-uids", lambda folder: FolderStore(folder).open("INBOX").close()),
        ("", lambda folder: Root(folder).next_uidvalidity()),
        ("", lambda folder: FolderStore(folder).create("Other")),
        ("sieve/memory", lambda folder: Memory(folder).add("vacation", "x", 10.0, 1.0)),
    ],
)
def test_no_lock_of_the_store_is_waited_for_without_an_end(
    tmp_path: Path, path: str, use: Callable[[Path], object]
) -> None:
    make_maildir(tmp_path)
    FolderStore(tmp_path).open("INBOX").close()
    Memory(tmp_path).add("vacation", "y", 10.0, 1.0)
    holder = opened(tmp_path / path)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="somebody else holds the lock") as raised:
        use(tmp_path)
    assert raised.value.errno == errno.ETIMEDOUT
    fcntl.flock(holder, fcntl.LOCK_UN)
    use(tmp_path)


def test_nothing_else_takes_a_lock_by_waiting_for_it() -> None:
    """But for the spool's own folders, and what a test or a command line does."""
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "relay").rglob("*.py")
        if "LOCK_EX)" in path.read_text(encoding="utf-8")
    }
    assert found <= {"relay/spool/files.py", "relay/telemetry/sink.py"}
