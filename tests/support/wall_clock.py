"""A wall clock that a test may set, for programs that run on the real one: nothing of the machine is changed.

A small library, made with the C compiler that Relay needs anyway, stands in front of the C library and adds a number
of seconds from a file to CLOCK_REALTIME, and to nothing else. It reaches what asks through the C library: Python and
Relay's compiled modules do.
"""

from __future__ import annotations

import mmap
import subprocess
import sysconfig
from pathlib import Path
from typing import Self

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *ahead;

static long seconds(void) {
    if (!ahead) {
        int fd = open(getenv("WALL_CLOCK_AHEAD"), O_RDONLY | O_CLOEXEC);
        ahead = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    return *ahead;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, which, now);
    if (!result && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds();
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


class WallClock:
    """``wrap`` is what stands before a command so that it runs on this clock."""

    def __init__(self, folder: Path) -> None:
        self._ahead = folder / "ahead"
        self._ahead.write_bytes(bytes(mmap.PAGESIZE))
        library = folder / "wall_clock.so"
        source = folder / "wall_clock.c"
        source.write_text(_SOURCE)
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.wrap = ("env", f"LD_PRELOAD={library}", f"WALL_CLOCK_AHEAD={self._ahead}")
        self._file = self._ahead.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()
        self._file.close()

    def set_ahead(self, seconds: int) -> None:
        """From now on it is ``seconds`` ahead of the machine's (or behind)."""
        self._map[:8] = seconds.to_bytes(8, "little", signed=True)
