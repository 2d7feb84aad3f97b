"""The layout below data_dir/spool: its lock, its format version, and the numbers that are never used twice.

    FORMAT               one line: relay-spool 1
    lock                 flock: held by the supervisor and inherited by the workers
    numbers              the last log, journal and run number given out
    log-0000000012/      one log: lock (flock by its process, and the log's mark), *.seg, large/
    journal/             outcomes (relay/spool/journal.py)
    corrupt/             what was found damaged

Theory: the lock is a flock, so it cannot be left behind by a crash, and it lasts as long as any process that has
inherited it. A log is made under another name and gets its own only when it is locked and its mark is synced: nobody
can see a log that looks abandoned because it is not finished yet. Numbers are counted in a file, not guessed from the
folders, because a journal may still speak of a log that is gone.

Not here: what is in a log or a journal.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Final

import google_crc32c

from relay.spool import record
from relay.spool.errors import SpoolError
from relay.spool.files import CREATE, KEEP, OS, READ, WRITE, Files, publish, write_all

FORMAT_VERSION: Final = 1
_FORMAT: Final = f"relay-spool {FORMAT_VERSION}\n".encode()
_LOG: Final = re.compile(r"log-(\d{10})\Z")
_SEGMENT: Final = re.compile(r"(\d{10})\.seg\Z")
_JOURNAL: Final = re.compile(r"(\d{10})\.jnl\Z")
_LOG_LOCK: Final = re.compile(rb"relay-log (\d+)\nmark ([0-9a-f]{16})\n")
_NUMBERS: Final = re.compile(rb"(log (\d+) journal (\d+) run (\d+)) crc ([0-9a-f]{8})\n")
_JUMP: Final = 1_000_000
_KINDS: Final = ("log", "journal", "run")


def log_folder(spool_dir: Path, log: int) -> Path:
    """Where log ``log`` lives."""
    return spool_dir / f"log-{log:010d}"


def segment_name(segment: int) -> str:
    """The file name of a segment."""
    return f"{segment:010d}.seg"


def journal_name(journal: int) -> str:
    """The file name of a journal."""
    return f"{journal:010d}.jnl"


def _numbered(files: Files, folder: Path, pattern: re.Pattern[str]) -> list[int]:
    return [int(match[1]) for name in files.names(folder) if (match := pattern.match(name))]


def list_logs(spool_dir: Path, files: Files = OS) -> list[int]:
    """Numbers of the logs there are, oldest first."""
    return _numbered(files, spool_dir, _LOG)


def list_segments(spool_dir: Path, log: int, files: Files = OS) -> list[int]:
    """Numbers of a log's segment files, oldest first; some may hold nothing yet."""
    return _numbered(files, log_folder(spool_dir, log), _SEGMENT)


def all_segments(spool_dir: Path, files: Files = OS) -> list[tuple[int, int]]:
    """Log and number of every segment file; a log that goes while it is looked at has none."""
    return [(log, segment) for log in list_logs(spool_dir, files) for segment in list_segments(spool_dir, log, files)]


def list_journals(spool_dir: Path, files: Files = OS) -> list[int]:
    """Numbers of the journals, oldest first."""
    return _numbered(files, spool_dir / "journal", _JOURNAL)


class DataLock:
    """Held for the life of the appliance; inherited by workers, so that it lasts as long as any of them."""

    def __init__(self, spool_dir: Path, fd: int, run: int, files: Files = OS) -> None:
        self.spool_dir = spool_dir
        self.run = run
        """Counts the starts of the appliance on this data directory."""
        self._fd = fd
        self._files = files

    def close(self) -> None:
        """Gives the lock up (as far as this process is concerned)."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


def lock_data_dir(data_dir: Path, wait_seconds: float = 0.0, files: Files = OS) -> DataLock:
    """Makes or checks data_dir/spool and locks it; waits up to ``wait_seconds`` for another instance to end.

    SpoolError, fit for an operator, for a second instance, an unknown format version, or a folder that holds
    something else than a spool. A foreign ``lost+found`` is tolerated.
    """
    spool_dir = data_dir / "spool"
    try:
        files.make_folder(spool_dir)
        fd = files.open(spool_dir / "lock", KEEP)
    except OSError as fault:
        raise SpoolError.of(f"{spool_dir}: cannot be used", fault) from fault
    try:
        _take(files, fd, spool_dir, wait_seconds)
        _check_format(files, spool_dir)
        for name in ("journal", "corrupt"):
            files.make_folder(spool_dir / name)
        _remove_unfinished(files, spool_dir)
        run = next_number(spool_dir, "run", files)
        files.sync_folder(spool_dir)
        files.sync_folder(data_dir)
        return DataLock(spool_dir, fd, run, files)
    except OSError as fault:
        files.close(fd)
        raise SpoolError.of(f"{spool_dir}: cannot be prepared", fault) from fault
    except SpoolError:
        files.close(fd)
        raise


def is_running(data_dir: Path) -> bool:
    """Whether an appliance holds the lock; changes nothing on disk."""
    try:
        fd = OS.open(data_dir / "spool" / "lock", READ)
    except OSError:
        return False
    try:
        return not OS.lock(fd, shared=True)
    finally:
        OS.close(fd)


def _take(files: Files, fd: int, spool_dir: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while not files.lock(fd):
        if time.monotonic() >= deadline:
            raise SpoolError(f"{spool_dir}: another instance is using this data directory (lock is held)")
        time.sleep(0.02)


def _check_format(files: Files, spool_dir: Path) -> None:
    path = spool_dir / "FORMAT"
    if (found := _content(files, path)) is None:
        foreign = [n for n in files.names(spool_dir) if n not in ("lock", "FORMAT.new", "lost+found")]
        if foreign:
            raise SpoolError(f"{spool_dir}: not a spool (no FORMAT file, but {', '.join(foreign[:3])})")
        publish(files, path, _FORMAT)
    else:
        check_format_line(spool_dir, found)


def check_format_line(spool_dir: Path, found: bytes) -> None:
    """SpoolError unless ``found``, the content of FORMAT, is the version that this program knows."""
    if found != _FORMAT:
        match = re.match(rb"relay-spool (\d+)\s*\Z", found)
        what = f"format version {match[1].decode()}" if match else "an unreadable FORMAT file"
        raise SpoolError(f"{spool_dir}: has {what}; this program knows version {FORMAT_VERSION} only")


def read_format(spool_dir: Path, files: Files = OS) -> bytes | None:
    """The content of FORMAT; None when there is none."""
    return _content(files, spool_dir / "FORMAT")


def _content(files: Files, path: Path) -> bytes | None:
    try:
        fd = files.open(path, READ)
    except FileNotFoundError:
        return None
    try:
        return files.read(fd, 4096, 0)
    finally:
        files.close(fd)


def _remove_unfinished(files: Files, spool_dir: Path) -> None:
    """What a crash left under a name that says it is not complete."""
    for name in files.names(spool_dir):
        if name.startswith("log-") and name.endswith(".new"):
            remove_log_folder(files, spool_dir / name)
    for folder in ("journal", "corrupt"):
        for name in files.names(spool_dir / folder):
            if name.endswith(".new"):
                files.unlink(spool_dir / folder / name)


def remove_log_folder(files: Files, folder: Path) -> None:
    """Removes a log's folder with all that is in it; under a name that no reader takes for a log. OSError."""
    gone = folder.with_name(folder.name.removesuffix(".new") + ".new")
    if gone != folder:
        files.rename(folder, gone)
    large = files.names(gone / "large")
    for name in large:
        files.unlink(gone / "large" / name)
    for name in files.names(gone):
        if name == "large":
            files.remove_folder(gone / name)
        else:
            files.unlink(gone / name)
    files.remove_folder(gone)
    files.sync_folder(folder.parent)


def next_number(spool_dir: Path, kind: str, files: Files = OS) -> int:
    """A number of its ``kind`` (log, journal, run) that was never given out before; synced. OSError."""
    fd = files.open(spool_dir / "numbers", KEEP)
    try:
        files.wait_lock(fd)
        numbers = _parse_numbers(files.read(fd, 4096, 0))
        if numbers is None:
            numbers = _guess_numbers(files, spool_dir)
        numbers[kind] += 1
        text = " ".join(f"{name} {numbers[name]}" for name in _KINDS).encode()
        line = b"%s crc %08x\n" % (text, google_crc32c.value(text))
        write_all(files, fd, [line.ljust(128)], 0)
        files.sync(fd)
        return numbers[kind]
    finally:
        files.close(fd)


def current_run(spool_dir: Path, files: Files = OS) -> int:
    """The run number that lock_data_dir gave out last; 0 when there was none."""
    numbers = _parse_numbers(_content(files, spool_dir / "numbers") or b"")
    return numbers["run"] if numbers else 0


def _parse_numbers(octets: bytes) -> dict[str, int] | None:
    match = _NUMBERS.match(octets)
    if match is None or int(match[5], 16) != google_crc32c.value(match[1]):
        return None
    return dict(zip(_KINDS, (int(match[2]), int(match[3]), int(match[4])), strict=True))


def _guess_numbers(files: Files, spool_dir: Path) -> dict[str, int]:
    """After the loss of the file: far beyond all that there is, since what there was before is not known."""
    logs, journals = list_logs(spool_dir, files), list_journals(spool_dir, files)
    if not logs and not journals:
        return dict.fromkeys(_KINDS, 0)
    return {"log": max(logs, default=0) + _JUMP, "journal": max(journals, default=0) + _JUMP, "run": _JUMP}


def make_log(spool_dir: Path, files: Files = OS) -> tuple[int, bytes, int]:
    """A new empty log, published and locked: its number, its mark, and the descriptor that holds the lock. OSError."""
    number = next_number(spool_dir, "log", files)
    mark = record.new_mark()
    folder = log_folder(spool_dir, number)
    unborn = folder.with_name(folder.name + ".new")
    files.make_folder(unborn)
    files.make_folder(unborn / "large")
    fd = files.open(unborn / "lock", CREATE)
    try:
        files.lock(fd)
        write_all(files, fd, [f"relay-log {number}\nmark {mark.hex()}\npid {os.getpid()}\n".encode()], 0)
        files.sync(fd)
        files.sync_folder(unborn)
        files.rename(unborn, folder)
        files.sync_folder(spool_dir)
    except OSError:
        files.close(fd)
        raise
    return number, mark, fd


def own_log(spool_dir: Path, log: int, files: Files = OS) -> int | None:
    """Locks an existing log; the descriptor, or None when somebody owns it or it is gone."""
    path = log_folder(spool_dir, log) / "lock"
    try:
        fd = files.open(path, WRITE)
    except FileNotFoundError:
        return None
    for _ in range(5):  # is_owned() of another process may hold it for a moment
        if files.lock(fd):
            if files.is_at(fd, path):
                return fd
            break
        time.sleep(0.001)
    files.close(fd)
    return None


def is_owned(spool_dir: Path, log: int, files: Files = OS) -> bool:
    """Whether a living process writes, or has adopted, this log."""
    try:
        fd = files.open(log_folder(spool_dir, log) / "lock", READ)
    except FileNotFoundError:
        return False
    try:
        return not files.lock(fd, shared=True)
    finally:
        files.close(fd)


def log_mark(spool_dir: Path, log: int, files: Files = OS) -> bytes | None:
    """The log's mark: from its lock file, or else from the first segment whose head is good; None without either."""
    folder = log_folder(spool_dir, log)
    if match := _LOG_LOCK.match(_content(files, folder / "lock") or b""):
        return bytes.fromhex(match[2].decode())
    for segment in list_segments(spool_dir, log, files):
        octets = _content(files, folder / segment_name(segment)) or b""
        if head := record.unpack_segment_head(octets, log, segment):
            return head.mark
    return None
