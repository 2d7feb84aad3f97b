"""Start, drain and stop of a real supervisor with real workers."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.process.running import Running, is_alive, until


def test_it_starts_serves_drains_and_exits_with_0(tmp_path):
    appliance = Running(tmp_path, smtp=2, delivery=2)
    with appliance.serving():
        assert set(appliance.pids()) == {"smtp-0", "smtp-1", "delivery-0", "delivery-1", "admin-0"}
        with appliance.session() as session:
            assert session.greeting["pid"] in appliance.pids().values()
            assert len(os.listdir(f"/proc/{appliance.process.pid}/task")) == 1, "threads do not survive a fork"
            pids = appliance.pids()
            assert appliance.stop() == 0
        assert not any(is_alive(pid) for pid in pids.values())
        assert appliance.refuses()
        assert appliance.events("stopped")[-1]["code"] == 0
        assert appliance.events("worker lost") == []


def test_the_listeners_refuse_as_soon_as_the_drain_begins(tmp_path):
    """A client that is refused goes to the next MX; one that waits in a backlog nobody reads does not."""
    appliance = Running(tmp_path, toy="does not drain", drain_timeout=2.0)
    with appliance.serving():
        appliance.gets(signal.SIGTERM)
        until("refusal", appliance.refuses)
        assert appliance.process.poll() is None
        assert appliance.ends() == 6


def test_a_second_sigterm_stops_now(tmp_path):
    appliance = Running(tmp_path, toy="does not drain", drain_timeout=600.0)
    with appliance.serving():
        appliance.gets(signal.SIGTERM)
        appliance.sees("stopping", signal="SIGTERM")
        appliance.gets(signal.SIGTERM)
        assert appliance.ends(10) == 6


def test_sigint_to_the_whole_group_drains(tmp_path):
    """Ctrl-C at a terminal reaches the workers as well; only the supervisor acts on it."""
    appliance = Running(tmp_path, wrap=("setsid",))
    with appliance.serving():
        os.killpg(appliance.process.pid, signal.SIGINT)
        assert appliance.ends() == 0
        assert {event["code"] for event in appliance.events("worker gone")} == {0}


def test_sigterm_during_the_start_ends_it(tmp_path):
    appliance = Running(tmp_path, toy="starts slowly")
    with appliance.begun():
        appliance.sees("starting")
        appliance.gets(signal.SIGTERM)
        assert appliance.ends() == 0
        assert appliance.events("serving") == []


def test_a_first_configuration_that_does_not_work_ends_with_the_reason(tmp_path):
    appliance = Running(tmp_path, toy="cannot start")
    with appliance.begun():
        assert appliance.ends() == 5
        assert appliance.events("worker cannot start")[0]["reason"] == "the toy was told not to"


def test_a_second_instance_on_the_same_data_is_refused(tmp_path, monkeypatch):
    appliance = Running(tmp_path)
    with appliance.serving():
        other = Running(tmp_path)
        with other.begun():
            assert other.ends() == 5
        assert "another instance" in other.stderr
        assert appliance.process.poll() is None


def test_a_port_that_another_program_has_is_refused_even_when_it_shares(tmp_path):
    """SO_REUSEPORT would join in without a word."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        appliance = Running(tmp_path, listeners={"mx": port})
        with appliance.begun():
            assert appliance.ends() == 5
        assert f"mx on 127.0.0.1:{port}: Address already in use" in appliance.stderr


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path):
    """Not even one whose loop hangs."""
    appliance = Running(tmp_path, smtp=2)
    with appliance.serving(), appliance.session() as session:
        pids = appliance.pids()
        assert len(pids) == 4
        session.tell("hang")
        appliance.process.kill()
        appliance.process.wait()
        until("no orphans", lambda: not any(is_alive(pid) for pid in pids.values()), 5)


def test_a_killed_supervisor_can_be_started_again_at_once(tmp_path):
    appliance = Running(tmp_path)
    with appliance.serving():
        appliance.process.kill()
        again = Running(tmp_path, listeners=appliance.ports)
        with again.serving():
            assert again.ask("page")["restarts"] == 0
            assert again.stop() == 0


def test_a_worker_has_no_descriptors_but_its_own(tmp_path):
    appliance = Running(tmp_path, smtp=2, delivery=2, listeners={"mx": 0, "submission": 0})
    with appliance.serving():

        def files(pid: int) -> set[str]:
            """What its descriptors above stderr lead to."""
            folder = Path(f"/proc/{pid}/fd")
            links = {os.readlink(folder / fd) for fd in os.listdir(folder) if int(fd) > 2}
            return {link for link in links if not link.startswith(("anon_inode:", "/dev/null"))}

        pids = appliance.pids()
        lock = str(tmp_path / "data" / "spool" / "lock")
        parents = files(appliance.process.pid)
        listening: set[str] = set()
        for name, pid in pids.items():
            mine = (files(pid) & parents) - {lock}
            assert len(mine) == (2 if name.startswith("smtp") else 0), name
            assert not mine & listening, "a listener of another slot"
            listening |= mine
            for other in set(pids.values()) - {pid}:
                assert (files(pid) & files(other)) == {lock}
        assert len(listening) == 4


def test_the_shared_page_tells_who_there_is(tmp_path):
    appliance = Running(tmp_path, smtp=1)
    with appliance.serving():
        until("all ready", lambda: {p["state"] for p in appliance.ask("page")["processes"]} == {"ready"})
        page = appliance.ask("page")
        names = {(p["role"], p["slot"], p["generation"], p["pid"]) for p in page["processes"]}
        pids = appliance.pids()
        assert names == {("supervisor", 0, 1, appliance.process.pid)} | {
            (role, 0, 1, pids[f"{role}-0"]) for role in ("smtp", "delivery", "admin")
        }
        assert all(p["beat"] > 0 for p in page["processes"] if p["role"] != "supervisor")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager's end of sd_notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        monkeypatch.chdir(tmp_path)
        ear.bind("notify")
        ear.settimeout(15)
        yield ear


def test_the_service_manager_hears_of_it_all(tmp_path, manager):
    def hears(wanted: str) -> Any:
        while not (text := manager.recv(4096).decode()).startswith(wanted):
            assert text == "WATCHDOG=1", text
        return text

    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    appliance = Running(tmp_path, env=env)
    with appliance.serving():
        hears("READY=1")
        hears("WATCHDOG=1")
        hears("WATCHDOG=1")
        appliance.gets(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hears("RELOADING=1")
        assert "generation 2" in hears("READY=1")
        appliance.file.write_text("{")
        appliance.gets(signal.SIGHUP)
        hears("RELOADING=1")
        assert "refused" in hears("READY=1")
        appliance.gets(signal.SIGTERM)
        hears("STOPPING=1")
        assert appliance.ends() == 0
        environment = Path(f"/proc/{os.getpid()}/environ").read_bytes()
        assert b"WATCHDOG_USEC" not in environment
