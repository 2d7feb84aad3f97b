"""The supervisor's lines: never waited for, never mixed, bounded."""

import dataclasses
import fcntl
import json
import os
import signal
from pathlib import Path

import pytest

from relay.config import demo
from relay.config.model import Config, LogSettings
from relay.supervisor.event_log import MAX_WAITING, EventLog
from relay.telemetry import metrics
from relay.telemetry.page import CountersPage


@pytest.fixture
def row():
    return CountersPage(rows=1).supervisor


def to(path: Path) -> Config:
    return dataclasses.replace(demo(path.parent), log=LogSettings(destination=str(path)))


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def test_events_go_to_the_file_and_after_rotation_to_the_new_one(tmp_path, row):
    log = EventLog(row)
    log.open(to(tmp_path / "log"))
    log.event("info", "one")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.open(to(tmp_path / "log"))
    log.event("info", "two")
    log.close()
    assert events(tmp_path / "log.1") == ["one"]
    assert events(tmp_path / "log") == ["two"]
    assert row[metrics.index("relay_log_lines_total")] == 2


def test_a_file_that_cannot_be_opened_leaves_the_lines_where_they_went(tmp_path, row):
    log = EventLog(row)
    log.open(to(tmp_path / "log"))
    log.open(to(tmp_path / "nowhere" / "log"))
    log.event("info", "still here")
    log.close()
    assert events(tmp_path / "log") == ["log not opened", "still here"]


def test_a_reader_that_stands_still_is_not_waited_for_and_costs_a_bounded_number_of_lines(tmp_path, row):
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    log = EventLog(row)
    log.open(to(tmp_path / "log"))
    for number in range(2000):
        log.event("info", str(number))
    lost = row[metrics.index("relay_log_lines_lost_total")]
    assert 0 < lost <= 2000 - MAX_WAITING
    arrived = b""
    while True:
        log.flush()
        try:
            arrived += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
    os.close(reader)
    log.close()
    assert [json.loads(line)["event"] for line in arrived.splitlines()][-1] == "1999"
    assert len(arrived.splitlines()) == 2000 - lost


def test_a_line_waits_while_another_process_holds_the_lock(tmp_path, row):
    log = EventLog(row)
    log.open(to(tmp_path / "log"))
    ready, told = os.pipe()
    if (child := os.fork()) == 0:
        with (tmp_path / "log").open("a") as other:
            fcntl.lockf(other, fcntl.LOCK_EX)
            os.write(told, b"x")
            signal.pause()
    os.read(ready, 1)
    log.event("info", "waits")
    assert events(tmp_path / "log") == []
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    log.flush()
    assert events(tmp_path / "log") == ["waits"]
    log.close()
    os.close(ready)
    os.close(told)
