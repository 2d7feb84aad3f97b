"""Who the processes are, started as root; and life as PID 1. Needs root, as the container's start does."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.supervisor.privileges import PrivilegeError, identity
from tests.process.running import Running, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter (tmp_path is root's alone)."""
    made = Path(tempfile.mkdtemp(prefix="relay-test-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def privileged_port() -> int:
    for port in range(600, 1024):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip("no free port below 1024")


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


@as_root
def test_root_does_not_serve_unless_told_to(tmp_path):
    appliance = Running(tmp_path, allow_root=False)
    with appliance.begun():
        assert appliance.ends() == 5
    assert "will not serve as root" in appliance.stderr


@as_root
def test_root_that_is_allowed_to_serve_is_warned(tmp_path):
    appliance = Running(tmp_path)
    with appliance.serving():
        assert appliance.events("privileges")[0]["level"] == "warning"


@as_root
def test_the_configured_user_serves_and_has_nothing_else(folder):
    """Also on a port below 1024, and on a new one after a reload."""
    appliance = Running(folder, user="nobody", allow_root=False, listeners={"mx": privileged_port()})
    (folder / "data").mkdir()  # root's and empty, as a fresh volume is
    with appliance.serving():
        for pid in [appliance.process.pid, *appliance.pids().values()]:
            found = status(pid)
            assert found["Uid"] == [str(NOBODY.pw_uid)] * 4
            assert found["Gid"] == [str(NOBODY.pw_gid)] * 4
            assert {*map(int, found["Groups"])} == set(os.getgrouplist("nobody", NOBODY.pw_gid))
            assert found["NoNewPrivs"] == ["1"]
            kept = 1 << 10 if pid == appliance.process.pid else 0
            assert [int(found[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, kept, kept, 0]
        appliance.configure(listeners={"mx": appliance.ports["mx"], "new": privileged_port()}, smtp=4)
        appliance.gets(signal.SIGHUP)
        appliance.serves(2)
        assert (folder / "data" / "spool").stat().st_uid == NOBODY.pw_uid
        assert appliance.stop() == 0


@as_root
def test_workers_die_with_a_supervisor_that_changed_its_user(folder):
    """A change of user clears the parent-death signal: it must be asked for after that."""
    appliance = Running(folder, user="nobody")
    with appliance.serving():
        pids = [*appliance.pids().values()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # cannot see that the control connection ended
        appliance.process.kill()
        appliance.process.wait()
        until("no orphans", lambda: not any(Path(f"/proc/{pid}/fd/0").exists() for pid in pids), 5)


@as_root
def test_an_account_that_does_not_exist_is_told(tmp_path):
    appliance = Running(tmp_path, user="no-such-user")
    with appliance.begun():
        assert appliance.ends() == 5
    assert "'no-such-user': no such account" in appliance.stderr


def test_accounts_are_names_or_numbers():
    nobody = identity("nobody", "")
    assert (nobody.uid, nobody.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert identity(str(NOBODY.pw_uid), "") == nobody
    assert identity("nobody", "0").gid == 0
    assert identity("4242", "4243")[1:] == (4242, 4243, (4243,))
    with pytest.raises(PrivilegeError, match="4242"):
        identity("4242", "")
    with pytest.raises(PrivilegeError, match="no such group"):
        identity("nobody", "no-such-group")


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "false", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs a PID name space")
def test_as_pid_1_it_reaps_strangers_and_honours_sigterm(tmp_path):
    appliance = Running(tmp_path, wrap=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"), smtp=1)
    with appliance.serving():
        wrapper = appliance.process.pid
        supervisor = int(Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text())
        assert status(supervisor)["NSpid"][-1] == "1"
        with appliance.session() as session:
            for _ in range(5):
                session.ask("orphan")
            until("no zombies", lambda: session.ask("zombies") == 0)
        os.kill(supervisor, signal.SIGTERM)
        assert appliance.ends() == 0
        assert appliance.events("stopped")[-1]["code"] == 0
