"""The processes of one server, taken together: their CPU time, their memory, and the end of all of them.

A mail server is often dozens of processes, some of which live for one message only, and some of which leave their
parent. Only a cgroup sees all of them, so each server runs in a cgroup (v2) of its own where we may make one.
Elsewhere the tree below the first process is counted from /proc: then processes that left their parent are missing
from the CPU time, and ``how`` says so.

Invariant: nothing is ever signalled that was not started here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_MOUNTS: Final = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


def cgroup_mount() -> Path | None:
    """Where cgroup v2 is mounted and may be written to by us."""
    for mount in _MOUNTS:
        if (mount / "cgroup.procs").exists() and (mount / "cgroup.controllers").exists() and os.access(mount, os.W_OK):
            return mount
    return None


class Group:
    """Starts processes into one accounting group. Use as a context manager: leaving it ends every process in it."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """``folder``: a cgroup that is there already."""
        self.name = f"relay-bench-{os.getpid()}-{name}"
        self.first: subprocess.Popen[bytes] | None = None
        self.started: list[subprocess.Popen[bytes]] = []
        self.folder = folder or self._make()

    def _make(self) -> Path | None:
        mount = cgroup_mount()
        if mount is None:
            return None
        try:
            (mount / self.name).mkdir()
        except OSError:
            return None
        return mount / self.name

    @property
    def how(self) -> str:
        """What the CPU time is taken from."""
        return "cgroup v2" if self.folder else "/proc, the tree below the first process"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        output: IO[bytes] | int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Starts a process in the group; all its descendants belong to it. The first one started is the root."""
        words = list(argv)
        if self.folder:
            # The shell moves itself before it becomes the server, so that nothing the server does is missed.
            words = ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *words]
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=environ, start_new_session=True
        )
        if self.first is None:
            self.first = process
        self.started.append(process)
        return process

    def pids(self) -> list[int]:
        """The processes that are alive now."""
        if self.folder:
            try:
                return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
            except FileNotFoundError:  # ended already
                return []
        return descendants(self.first.pid) if self.first and self.first.poll() is None else []

    def cpu_seconds(self) -> float:
        """CPU time used so far by all processes there are and were, in seconds."""
        if self.folder:
            fields = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
            return int(fields["usage_usec"]) / 1e6
        return sum(_tree_times(pid, with_children=True) for pid in self.pids())

    def pss(self) -> dict[int, int]:
        """pid -> proportional set size in octets: private pages, and shared ones divided by those who share them."""
        return {pid: size for pid in self.pids() if (size := pss_of(pid))}

    def settle(self, longest: float = 5.0) -> None:
        """Returns when the group uses less than 3 % of a core, or after ``longest`` seconds."""
        until = time.monotonic() + longest
        before = self.cpu_seconds()
        while time.monotonic() < until:
            time.sleep(0.2)
            now = self.cpu_seconds()
            if now - before < 0.006:
                return
            before = now

    def kill(self) -> None:
        """SIGKILL to all of them; returns when they are gone."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            # One that was started just now may not be in the cgroup yet.
            alive = {*self.pids(), *(process.pid for process in self.started if process.poll() is None)}
            if not alive:
                return
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def end(self) -> None:
        """Kills what is left and removes the cgroup; may be called again."""
        self.kill()
        for process in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        if self.folder and self.folder.exists():
            with contextlib.suppress(OSError):
                self.folder.rmdir()


def sweep() -> None:
    """Ends what a run that was killed itself has left: processes in cgroups of runs whose process is gone."""
    mount = cgroup_mount()
    for folder in mount.glob("relay-bench-*") if mount else ():
        run = folder.name.split("-")[2]
        if run.isdigit() and not Path(f"/proc/{run}").exists():
            Group(folder.name, folder).end()


def descendants(root: int) -> list[int]:
    """``root`` and every process below it.

    By everybody's parent: /proc/PID/task/TID/children is quicker, but may leave some out while others end.
    """
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def _tree_times(pid: int, *, with_children: bool) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if with_children else 13])) * _TICK


def process_cpu(pid: int) -> float:
    """CPU time of one living process, in seconds (clock ticks of 10 ms)."""
    return _tree_times(pid, with_children=False)


def pss_of(pid: int) -> int:
    """Proportional set size of one process in octets; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def title_of(pid: int) -> str:
    """The short name of a process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def found(program: str) -> str | None:
    """The path of a program, sbin included whatever PATH says."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
