"""What the figures were measured on: facts that a reader needs in order to compare."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sysconfig
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_LOOP: Final = 1_000_000
_WRITES: Final = 50_000
_TRIES: Final = 5
ROOT = Path(__file__).resolve().parent.parent


def facts(folder: Path) -> dict[str, Any]:
    """Processor, memory, kernel, the disk below ``folder``, versions, and what else ran at that time."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "virtual": "hypervisor" in _cpuinfo("flags").split(),
        "disk": disk(folder),
        "python": platform.python_version(),
        "python_build": python_build(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "revision": revision(),
    }


def pace() -> dict[str, float]:
    """How fast the machine is now, by two fixed pieces of work, medians: a virtual machine may be twice as slow an hour
    later, and every absolute figure with it.

    ``loop_ms``: a million turns of a loop in Python. ``pipe_us``: writing 1 KiB to a pipe and reading it back.
    """
    reader, writer = os.pipe()
    octets = bytes(1024)

    def loop() -> None:
        for _ in range(_LOOP):
            pass

    def pipe() -> None:
        for _ in range(_WRITES):
            os.write(writer, octets)
            os.read(reader, 1024)

    try:
        return {
            "loop_ms": round(_median_seconds(loop) * 1e3, 2),
            "pipe_us": round(_median_seconds(pipe) / _WRITES * 1e6, 3),
        }
    finally:
        os.close(reader)
        os.close(writer)


def _median_seconds(work: Callable[[], None]) -> float:
    times = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def python_build() -> str:
    """How this CPython was compiled: one that is not optimised by a profile needs a tenth more."""
    if "deb_system" in sysconfig.get_scheme_names():
        return "by Debian, with a profile"  # its rules make profile-opt, which the configuration does not tell
    words = str(sysconfig.get_config_var("CONFIG_ARGS") or "").replace("'", "").split()
    return "with --enable-optimizations" if "--enable-optimizations" in words else "without --enable-optimizations"


def _cpuinfo(key: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def disk(folder: Path) -> dict[str, str]:
    """The file system that holds ``folder``, and the write cache of its device."""
    best = ("", "", "", "")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, mount, kind, options = line.split()[:4]
        inside = mount == "/" or str(folder).startswith(mount + "/") or str(folder) == mount
        if inside and len(mount) >= len(best[1]):
            best = (device, mount, kind, options)
    device, _, kind, options = best
    cache = Path(f"/sys/class/block/{Path(device).name}/queue/write_cache")
    return {
        "device": device,
        "file_system": kind,
        "options": options,
        "write_cache": cache.read_text().strip() if cache.exists() else "unknown",
    }


def revision() -> str:
    """The commit that is measured, with ``-dirty`` when the tree differs from it; what runs write does not count."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!benchmarks/RESULTS.md")
    return commit if commit == "unknown" or not changed else f"{commit}-dirty"


def _git(*words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def as_text(facts: dict[str, Any]) -> list[str]:
    """The facts as lines for the results page."""
    disk, memory = facts["disk"], facts["memory_bytes"] / 2**30
    kind = ", virtual machine" if facts["virtual"] else ""
    build = f", built {facts['python_build']}" if "python_build" in facts else ""
    return [
        f"{facts['processor']}, {facts['cores']} cores, {memory:.0f} GiB{kind}",
        f"{facts['kernel']}, Python {facts['python']}{build}",
        f"{disk['file_system']} on {disk['device']} ({disk['options']}), write cache: {disk['write_cache']}",
        f"Relay {facts['revision']}, {facts['at']}, load average before: {facts['load_average_before']}",
        *_pace_text(facts),
    ]


def _pace_text(facts: dict[str, Any]) -> list[str]:
    """Nothing in figures that are older than the pace."""
    if "pace_after" not in facts:
        return []
    before, after = facts["pace_before"], facts["pace_after"]
    loops = f"{before['loop_ms']:.0f} and {after['loop_ms']:.0f} ms"
    pipes = f"{before['pipe_us']:.1f} and {after['pipe_us']:.1f} µs"
    return [f"pace, before and after: a million turns of a Python loop {loops}, 1 KiB through a pipe {pipes}"]
