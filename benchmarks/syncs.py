"""How often a server asks the disk to make something durable, counted in the kernel on a run of its own.

``perf`` counts fsync, fdatasync, sync_file_range and the pwritev2 calls with RWF_SYNC or RWF_DSYNC of one cgroup, at
next to no cost. Where there is no perf or no cgroup, strace follows the processes; it slows them down, so that
fewer messages share one sync than at full speed: ``how`` says which it was.

Not counted: writes through file descriptors opened with O_SYNC or O_DSYNC (none of the servers here does that).
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from benchmarks.group import Group, found

_EVENTS: Final = ("fsync", "fdatasync", "sync_file_range", "sync", "syncfs", "pwritev2")
_RWF_DSYNC_OR_SYNC: Final = 0x2 | 0x4
_SYNC_LINE: Final = re.compile(r"\b(fsync|fdatasync|sync_file_range|syncfs|sync)\(|pwritev2\(.*RWF_D?SYNC")


class SyncCount:
    """Counts between start and stop; ``count`` is None when neither perf nor strace is there."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.how = "not measured: neither perf nor strace"
        self.count: int | None = None

    def __enter__(self) -> Self:
        self._output = Path(tempfile.mkstemp(prefix="relay-bench-syncs-")[1])
        self._process = self._perf() or self._strace()
        time.sleep(0.5)  # both attach in the background and say nothing when they have
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            text = self._output.read_text("utf-8", "replace")
            self.count = _perf_total(text) if "perf" in self.how else len(_SYNC_LINE.findall(text))
        self._output.unlink()

    def _perf(self) -> subprocess.Popen[bytes] | None:
        perf = found("perf")
        if not perf or not self.group.folder:
            return None
        words = [perf, "stat", "-x,", "-a", "-o", str(self._output)]
        for event in _EVENTS:
            words += ["-e", f"syscalls:sys_enter_{event}"]
        words += ["--filter", f"flags & {_RWF_DSYNC_OR_SYNC}", "-G", ",".join([self.group.name] * len(_EVENTS))]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        if process.poll() is not None:  # no tracefs, or no permission
            return None
        self.how = "perf stat, system calls of the server's cgroup"
        return process

    def _strace(self) -> subprocess.Popen[bytes] | None:
        strace = found("strace")
        if not strace:
            return None
        words = [strace, "-f", "-qq", "-o", str(self._output), "-e", f"trace={','.join(_EVENTS)}"]
        for pid in self.group.pids():
            words += ["-p", str(pid)]
        self.how = "strace -f, which slows the server"
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _perf_total(text: str) -> int:
    """The sum of the counts of ``perf stat -x,``: the first field of each line."""
    counts = [line.split(",")[0] for line in text.splitlines() if line and not line.startswith("#")]
    return sum(int(count) for count in counts if count.isdigit())
