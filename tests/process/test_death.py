"""Workers that die, hang or crash again and again; real processes."""

import random
import signal

from tests.process.running import Running, is_alive, until
from tests.process.test_reload import Clients
from tests.support.waiting import pause


def test_a_killed_worker_is_replaced_in_its_slot_and_its_backlog_waits(tmp_path):
    appliance = Running(tmp_path, smtp=1)
    with appliance.serving():
        pid = appliance.pids()["smtp-0"]
        appliance.kill(pid, signal.SIGSTOP)
        waiting = appliance.connection()  # in the backlog: nobody accepts it
        appliance.kill(pid)
        with waiting, waiting.makefile("rb") as lines:
            assert b'"slot": 0' in lines.readline()
        assert appliance.sees("worker lost")["meaning"] == "SIGKILL"
        assert appliance.ask("page")["restarts"] == 1


def test_workers_killed_at_random_refuse_nobody(tmp_path):
    appliance = Running(tmp_path, smtp=2, delivery=2)
    chance = random.Random(7)
    with appliance.serving(), Clients(appliance.ports["mx"]) as clients:
        for _ in range(12):
            appliance.kill(chance.choice(list(appliance.pids().values())))
            pause(0.03)
        clients.are_served(50)
        until("all are back", lambda: len(appliance.pids()) == 5)
        assert clients.refused == 0
        assert appliance.stop() == 0


def test_a_hung_loop_is_found_shown_and_replaced(tmp_path):
    appliance = Running(tmp_path, smtp=1, beat_timeout=0.5)
    with appliance.serving():
        hung = appliance.pids()["smtp-0"]
        with appliance.session() as session:
            session.tell("hang")
            assert appliance.sees("worker hung")["worker"] == "smtp-0"
            until("its end", lambda: not is_alive(hung))
        assert appliance.sees("worker lost")["cause"] == "hung"
        assert "in data_received" in appliance.stderr, "where it hung is on stderr"
        assert appliance.ask("page")["restarts"] == 1


def test_a_hung_loop_that_survives_sigabrt_is_killed(tmp_path):
    appliance = Running(tmp_path, smtp=1, beat_timeout=0.5)
    with appliance.serving(), appliance.session() as session:
        session.tell("hang for good")
        assert appliance.sees("worker lost")["meaning"] == "SIGKILL"


def test_a_stopped_supervisor_does_not_take_its_workers_for_hung(tmp_path):
    """A frozen container: supervisor and workers stand still together."""
    appliance = Running(tmp_path, smtp=1, beat_timeout=0.5)
    with appliance.serving():
        pids = [*appliance.pids().values()]
        appliance.gets(signal.SIGSTOP)
        for pid in pids:
            appliance.kill(pid, signal.SIGSTOP)
        pause(3.5)
        appliance.gets(signal.SIGCONT)
        pause(0.1)
        for pid in pids:
            appliance.kill(pid, signal.SIGCONT)
        pause(0.3)
        assert appliance.events("worker hung") == []
        assert [*appliance.pids().values()] == pids


def test_a_crash_loop_is_throttled_and_shown(tmp_path):
    appliance = Running(tmp_path, smtp=2)
    with appliance.serving():
        for count in range(1, 6):
            with appliance.session() as session:
                while session.greeting["slot"] != 0:
                    session.close()
                    session = appliance.session()  # noqa: PLW2901
                session.tell("fail")
            assert appliance.sees("worker lost", count)["code"] == 3
            session.close()
        restarts = [event["restart_in"] for event in appliance.events("worker lost")]
        assert restarts == [0, 0, 0, 0.2, 0.4]
        until("the new worker", lambda: "smtp-0" in appliance.pids())
        assert appliance.ask("page")["throttled"] == 1
        assert appliance.stop() == 0


def test_sigterm_to_one_worker_lets_it_finish_and_replaces_it(tmp_path):
    appliance = Running(tmp_path, smtp=1)
    with appliance.serving():
        appliance.kill(appliance.pids()["smtp-0"], signal.SIGTERM)
        assert appliance.sees("worker lost")["meaning"] == "drained"
        assert appliance.ask("page")["restarts"] == 1
