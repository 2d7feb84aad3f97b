"""The accounting of a server's processes, with real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.group import Group, cgroup_mount, descendants, sweep, title_of
from tests.support.needs import need
from tests.support.waiting import wait_until

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {BURN!r}])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["cgroup", "proc"])
def group(request):
    made = Group("test")
    if request.param == "cgroup":
        need(made.folder is not None, "no cgroup v2 that we may write to")
    elif made.folder:
        made.folder.rmdir()
        made.folder = None
    with made:
        yield made


@pytest.fixture
def process(group, tmp_path):
    """PARENT in the group, with one child that has ended and one that lives."""
    said = tmp_path / "said"
    with said.open("wb") as output:
        made = group.start([sys.executable, "-c", PARENT], output=output)
    wait_until(lambda: said.read_bytes() == b"ready\n")
    return made


def test_the_time_of_children_that_have_ended_counts(group, process):
    assert 0.25 < group.cpu_seconds() < 5


def test_memory_is_that_of_all_living_processes(group, process):
    def sizes() -> bool:
        found = group.pss()
        assert len(found) == 2
        return all(size > 100_000 for size in found.values())

    wait_until(sizes, "the child, which has just begun, holds no memory")


def test_leaving_ends_every_process(group, process):
    alive = group.pids()
    assert len(alive) == 2
    group.end()
    assert process.poll() is not None
    wait_until(lambda: all(state(pid) == "Z" for pid in alive))
    assert group.folder is None or not group.folder.exists()


def state(pid):
    """The process's state; "Z" also when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_what_a_killed_run_left_behind_is_swept():
    mount = cgroup_mount()
    need(mount is not None, "no cgroup v2 that we may write to")
    assert mount is not None
    gone = subprocess.Popen(["true"])
    gone.wait()
    folder = mount / f"relay-bench-{gone.pid}-left"
    folder.mkdir()
    left = Group("left", folder)
    process = left.start(["sleep", "60"])
    wait_until(left.pids)
    sweep()
    assert process.wait(5) == -9
    assert not folder.exists()


def test_the_groups_of_running_ones_are_left_alone():
    with Group("mine") as group:
        process = group.start(["sleep", "60"])
        sweep()
        assert process.poll() is None


def test_descendants_begin_with_the_process_itself():
    assert descendants(os.getpid())[0] == os.getpid()
    assert title_of(os.getpid())
    assert not title_of(2**22 + 1)
