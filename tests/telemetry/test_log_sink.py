"""The sink: never in the way, never more than its bound, nothing lost that could be kept."""

import asyncio
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.telemetry import bridge, metrics, sink
from relay.telemetry.metrics import index
from relay.telemetry.sink import LogSink, write_whole_lines
from tests.support.waiting import pause, wait_until


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe whose writing end is what ``stdout`` means."""
    reading, writing = os.pipe()
    monkeypatch.setitem(sink._STREAMS, "stdout", writing)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


def until(condition) -> None:
    """Waits for another thread."""
    wait_until(condition, "nothing happened", every=0.002)


def objects(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_everything_appended_before_the_close_is_in_the_file_in_order(tmp_path):
    log = LogSink(tmp_path / "log")
    for number in range(20_000):
        log.append(b"%d\n" % number)
    assert log.finish()
    assert (tmp_path / "log").read_bytes() == b"".join(b"%d\n" % number for number in range(20_000))
    assert log.lost == log.buffered == 0


def test_nothing_is_lost_when_the_close_follows_a_line_at_once(tmp_path):
    """The thread once looked whether it should end after it had taken the last lines: what came between was lost."""
    for number in range(200):
        path = tmp_path / f"log{number}"
        log = LogSink(path)
        log.append(b"a\n")
        if number % 2:
            pause(number / 10_000)  # not for timing: moves the close along the thread's way
        log.append(b"b\n")
        assert log.finish()
        assert path.read_bytes() == b"a\nb\n"


def test_a_first_line_from_another_thread_is_written_when_the_close_comes_before_its_thread(tmp_path):
    entered, goes_on = threading.Event(), threading.Event()

    class Late(LogSink):
        def _start(self) -> None:
            if threading.current_thread() is other:
                entered.set()
                assert goes_on.wait(10)
            super()._start()

    log = Late(tmp_path / "log")
    other = threading.Thread(target=log.append, args=(b"a\n",))
    other.start()
    assert entered.wait(10)
    assert log.finish()
    assert (tmp_path / "log").read_bytes() == b"a\n"
    goes_on.set()
    other.join()
    assert log.lost == log.buffered == 0


def test_without_a_thread_to_be_had_lines_wait_and_are_lost_only_at_the_close(tmp_path, monkeypatch):
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    logs = [LogSink(tmp_path / name) for name in ("never", "again")]
    with monkeypatch.context() as patches:
        patches.setattr(threading.Thread, "start", no_thread)
        for log in logs:
            log.append(b"a\nb\n")
            assert log.buffered == 4
        assert not logs[0].finish()
        assert (logs[0].lost, logs[0].buffered) == (2, 0)
    assert logs[1].finish()
    assert (tmp_path / "never").read_bytes() == b""
    assert (tmp_path / "again").read_bytes() == b"a\nb\n"


def test_close_waits_without_holding_the_loop(tmp_path):
    async def main() -> bool:
        log = LogSink(tmp_path / "log")
        log.append(b"x\n")
        return await log.close()

    assert asyncio.run(main())
    assert (tmp_path / "log").read_bytes() == b"x\n"


def test_a_line_without_its_end_gets_one(tmp_path):
    log = LogSink(tmp_path / "log")
    log.append(b"a")
    log.append(b"b\n")
    log.finish()
    assert (tmp_path / "log").read_bytes() == b"a\nb\n"


def test_a_sink_without_lines_has_no_thread_and_closes(tmp_path):
    log = LogSink(tmp_path / "log")
    assert log._thread is None
    assert log.finish()


def test_a_stopped_reader_costs_lines_but_no_time_and_no_memory(pipe):
    """I5, I10: what waits is bounded, what is above is counted."""
    row = memoryview(bytearray(metrics.ROW_CELLS * 8)).cast("Q")
    log = LogSink("stdout", 100_000, row=row)
    began = time.monotonic()
    for _ in range(5_000):
        log.append(b"x" * 99 + b"\n")
    assert time.monotonic() - began < 5
    assert log.buffered <= 100_000
    assert log.lost >= 5_000 - (100_000 + 65_536 + sink.CHUNK) // 100
    assert row[index("relay_log_lines_lost_total")] == log.lost
    assert not log.finish(within=0.05)
    # Its thread must be done before the descriptor's number is used again by another test.
    drain = threading.Thread(target=lambda: list(iter(lambda: len(os.read(pipe[0], 1 << 16)), 0)))
    drain.start()
    assert log.finish()
    os.close(pipe[1])
    drain.join()


def test_lines_appended_together_are_lost_one_by_one(tmp_path):
    log = LogSink(tmp_path / "log", 10)
    log.append(b"a\nb\nc\nd\ne\nf\n")
    assert log.lost == 6
    assert log.finish()


def test_when_lines_flow_again_the_log_says_how_many_are_missing(tmp_path):
    path = tmp_path / "log"
    log = LogSink(path, 1_000, identity={"role": "smtp"})
    holder = os.open(path, os.O_WRONLY)
    child = hold_lock(holder)
    for _ in range(100):
        log.append(b'{"a":"' + b"x" * 91 + b'"}\n')
    lost = log.lost
    assert lost >= 90
    child.release()
    until(lambda: b"log lines lost" in path.read_bytes())
    log.finish()
    told = [line for line in objects(path) if line.get("event") == "log lines lost"]
    assert [line["count"] for line in told] == [lost]
    assert told[0]["role"] == "smtp"


def test_a_reader_that_is_gone_does_not_end_us(pipe):
    reading, _ = pipe
    row = memoryview(bytearray(metrics.ROW_CELLS * 8)).cast("Q")
    log = LogSink("stdout", row=row)
    os.close(reading)
    log.append(b"a\n")
    log.append(b"b\n")
    until(lambda: log.lost == 2)
    log.append(b"c\n")
    assert log.finish()
    assert log.lost == 3
    assert row[index("relay_log_write_failures_total")] >= 1
    assert log.buffered == 0


def test_a_full_disk_keeps_lines_until_there_is_room(tmp_path, monkeypatch):
    """And leaves whole lines only: what was half written is taken back."""
    path = tmp_path / "log"
    monkeypatch.setattr(sink, "BACK_OFF_SECONDS", (0.01,))
    room = 25
    real_write = os.write

    def write(fd: int, octets) -> int:
        if room - path.stat().st_size <= 0:
            raise OSError(errno.ENOSPC, "full")
        return real_write(fd, bytes(octets[: room - path.stat().st_size]))

    monkeypatch.setattr(os, "write", write)
    log = LogSink(path)
    for number in range(10):
        log.append(b"line %d...\n" % number)
    until(lambda: path.stat().st_size == 20)
    assert path.read_bytes() == b"line 0...\nline 1...\n"
    room = 10_000
    until(lambda: log.buffered == 0)
    assert path.read_bytes() == b"".join(b"line %d...\n" % number for number in range(10))
    assert log.finish()
    assert log.lost == 0


def test_a_disk_that_stays_full_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "BACK_OFF_SECONDS", (0.01, 0.01))
    log = LogSink("/dev/full")
    log.append(b"x\n")
    assert log.finish()
    assert log.lost == 1


def test_no_line_is_taken_back_from_behind_another_writer(tmp_path):
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"ours\nhalf")
    path.write_bytes(path.read_bytes() + b"theirs\n")
    assert not sink._take_back(fd, 4)
    assert path.read_bytes() == b"ours\nhalftheirs\n"


@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
def test_lines_of_several_processes_never_mix(kind, tmp_path, monkeypatch):
    """Descriptors inherited by fork, lines longer than PIPE_BUF."""
    path = tmp_path / "log"
    if kind == "file":
        reading, writing = -1, os.open(path, os.O_WRONLY | os.O_CREAT)  # as a shell's > leaves it: no O_APPEND
    elif kind == "pipe":
        reading, writing = os.pipe()
    else:
        ends = socket.socketpair()
        reading, writing = (end.detach() for end in ends)
    monkeypatch.setitem(sink._STREAMS, "stdout", writing)
    children = []
    for code in b"abcd":
        child = os.fork()
        if child == 0:
            log = LogSink("stdout", 1 << 30)
            for number in range(150):
                log.append(b"%d " % number + bytes([code]) * (number * 67 % 9_000) + b"\n")
                if number % 50 == 0:
                    pause(0.03)
            os._exit(0 if log.finish(30) and log.lost == 0 else 1)
        children.append(child)
    os.close(writing)
    octets = path.read_bytes if kind == "file" else lambda: b"".join(iter(lambda: os.read(reading, 1 << 16), b""))
    found = b"" if kind == "file" else octets()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    found = found or octets()
    seen: dict[int, list[int]] = {letter: [] for letter in b"abcd"}
    for line in found.splitlines():
        text, _, letters = line.partition(b" ")
        number = int(text)
        assert len(set(letters)) <= 1
        assert len(letters) == number * 67 % 9_000
        if letters:
            seen[letters[0]].append(number)
    expected = [number for number in range(150) if number * 67 % 9_000]
    assert all(numbers == expected for numbers in seen.values())


def test_a_file_is_opened_anew_after_it_was_moved(tmp_path):
    path = tmp_path / "log"
    log = LogSink(path)
    log.append(b"before\n")
    until(lambda: path.read_bytes() == b"before\n")
    path.rename(tmp_path / "log.1")
    log.reopen()
    until(path.exists)
    log.append(b"after\n")
    log.finish()
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "log.1").read_bytes() == b"before\n"


def test_when_a_file_cannot_be_opened_anew_the_old_one_goes_on(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    log = LogSink(folder / "log")
    log.append(b'{"event":"before"}\n')
    until(lambda: log.buffered == 0)
    folder.rename(tmp_path / "moved")
    log.reopen()
    until(lambda: b"log not reopened" in (tmp_path / "moved/log").read_bytes())
    log.append(b'{"event":"after"}\n')
    assert log.finish()
    assert [line["event"] for line in objects(tmp_path / "moved/log")] == ["before", "log not reopened", "after"]


def test_a_file_that_cannot_be_opened_is_an_error_at_start(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        LogSink(tmp_path / "nowhere" / "log")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="fifo"):
        LogSink(tmp_path / "fifo")


def test_a_nonblocking_pipe_is_waited_for(pipe):
    reading, writing = pipe
    os.set_blocking(writing, False)
    octets = b"".join(b"%06d\n" % number for number in range(40_000))
    result = []
    thread = threading.Thread(target=lambda: result.append(write_whole_lines(writing, octets)))
    thread.start()
    got = b""
    while len(got) < len(octets):
        got += os.read(reading, 1 << 16)
    thread.join()
    assert got == octets
    assert result == [(len(octets), None)]


def test_events_come_from_any_thread_and_name_the_process(tmp_path):
    log = LogSink(tmp_path / "log", identity={"role": "smtp", "slot": 1, "generation": 2})

    def tell(thread: int) -> None:
        for turn in range(200):
            log.event("info", "turn", thread=thread, turn=turn)

    threads = [threading.Thread(target=tell, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.finish()
    found = objects(tmp_path / "log")
    assert len(found) == 800
    assert {(line["thread"], line["turn"]) for line in found} == {(n, i) for n in range(4) for i in range(200)}
    assert {(line["role"], line["slot"], line["generation"], line["pid"]) for line in found} == {
        ("smtp", 1, 2, os.getpid())
    }


def test_what_is_written_is_counted(tmp_path):
    row = memoryview(bytearray(metrics.ROW_CELLS * 8)).cast("Q")
    log = LogSink(tmp_path / "log", row=row)
    for _ in range(10):
        log.append(b"12345\n")
    log.finish()
    assert row[index("relay_log_lines_total")] == 10
    assert row[index("relay_log_written_bytes_total")] == 60
    assert row[index("relay_log_buffered_bytes")] == 0


def test_a_line_after_the_close_is_counted_as_lost(tmp_path):
    log = LogSink(tmp_path / "log")
    log.append(b"a\n")
    log.finish()
    log.append(b"b\n")
    assert log.lost == 1
    assert log.finish()


def test_a_file_system_without_locks_does_not_stop_the_log(tmp_path, monkeypatch):
    def no_locks(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    log = LogSink(tmp_path / "log")
    log.append(b"a\n")
    assert log.finish()
    assert (tmp_path / "log").read_bytes() == b"a\n"


def test_what_libraries_log_becomes_events(tmp_path):
    log = LogSink(tmp_path / "log")
    handler = bridge.SinkHandler(log)
    logger = logging.getLogger("relay.tests.library")
    logger.propagate = False
    logger.handlers = [handler]
    logger.info("not this")
    logger.warning("look: %s", "here\n")
    logger.warning("wrong %d", "argument")
    try:
        int("deep")
    except ValueError:
        logger.exception("failed")
    log.finish()
    first, second, third = objects(tmp_path / "log")
    assert (first["level"], first["logger"], first["text"]) == ("warning", "relay.tests.library", "look: here\n")
    assert second["text"] == "wrong %d"
    assert third["level"] == "error"
    assert "ValueError: invalid literal" in str(third["trace"])


class hold_lock:  # noqa: N801 - reads as what it does
    """Another process that holds the record lock of a file until it is told to let go."""

    def __init__(self, fd: int) -> None:
        told, self._tell = os.pipe()
        ready, say = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            os.write(say, b"x")
            os.read(told, 1)
            os._exit(0)
        os.read(ready, 1)

    def release(self) -> None:
        os.write(self._tell, b"x")
        os.waitpid(self._pid, 0)
