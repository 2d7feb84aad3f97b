"""The two ends of every run: what sends and what receives.

Two kinds: our own generator and sink (``benchmarks.load``), and Postfix' smtp-source and smtp-sink, which everybody
has and which speak lock-step only. A sink stays up for a whole series of runs and is set to zero before each; what
arrived at it decides what a server has done.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, Self

from benchmarks.group import found, process_cpu
from benchmarks.machine import ROOT
from benchmarks.servers.base import DOMAIN, greets

_COUNTER: Final = re.compile(rb"mesg=(\d+)")


class ToolError(Exception):
    """The generator or the sink did not do its part."""


class StalledError(ToolError):
    """Messages stopped coming in before all were there."""


@dataclass(frozen=True)
class Load:
    """What is sent."""

    tool: str = "own"
    """``own`` or ``postfix`` (smtp-source, smtp-sink)."""
    dialogue: str = "pipelined"
    """``new-connection`` (one message each), ``lock-step``, ``grouped``, ``pipelined``, ``streamed``; smtp-source
    knows the first two."""
    size: int = 1024
    sessions: int = 50
    recipients: int = 1
    more: tuple[str, ...] = ()
    """Further options of our own generator."""

    def argv(self, port: int, count: int, domain: str = DOMAIN) -> list[str]:
        """The command that sends ``count`` messages to ``port``."""
        if self.tool == "postfix":
            words = [found("smtp-source") or "smtp-source", "-4", *(["-d"] if self.dialogue == "lock-step" else [])]
            words += ["-s", str(self.sessions), "-m", str(count), "-l", str(self.size), "-r", str(self.recipients)]
            return [*words, "-f", "load@source.test", "-t", f"someone@{domain}", f"127.0.0.1:{port}"]
        words = [sys.executable, "-m", "benchmarks.load", "generate", "--server", f"127.0.0.1:{port}", "--json"]
        words += ["--messages", str(count), "--sessions", str(self.sessions), "--size", str(self.size)]
        words += ["--recipients", str(self.recipients), "--recipient", f"r{{r}}@{domain}"]
        if self.dialogue == "new-connection":
            words += ["--dialogue", "lock-step", "--messages-per-connection", "1"]
        else:
            words += ["--dialogue", self.dialogue]
        return [*words, *self.more]


@dataclass(frozen=True)
class Sent:
    """What a generator did."""

    argv: list[str]
    started_at: float
    ended_at: float
    accepted: int
    cpu_seconds: float
    result: dict[str, Any] = field(default_factory=dict)
    """The JSON of our own generator; empty for smtp-source."""


def missing(tool: str) -> str | None:
    """Why the tools of this kind cannot be used; None when they can."""
    if tool == "postfix":
        return None if found("smtp-source") and found("smtp-sink") else "smtp-source and smtp-sink are not installed"
    return None if find_spec("benchmarks.load.__main__") else "benchmarks.load is not there"


def start_sending(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """A generator in the background; end it with ``finish_sending``."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def send(load: Load, port: int, count: int, domain: str = DOMAIN, timeout: float = 900) -> Sent:
    """Runs a generator to its end. Raises ToolError when it sent nothing."""
    argv = load.argv(port, count, domain)
    started = time.time()
    return finish_sending(start_sending(argv), argv, count, started, timeout)


def finish_sending(
    process: subprocess.Popen[bytes], argv: list[str], count: int, started: float, timeout: float = 900
) -> Sent:
    """Waits for a generator. ``count`` is what smtp-source has sent when its exit code is 0: it does not say itself."""
    before = _children_cpu()
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ToolError(f"{argv[0]} did not end in {timeout} s") from None
    ended = time.time()
    cpu = _children_cpu() - before
    if b'"kind"' in output:
        result = json.loads(output.splitlines()[-1])
        # The interpreter's start is not part of the load: our own generator says when it began and what it used.
        cpu = sum(result["cpu_seconds"].values())
        begun = result["started_at"]
        elapsed = result["elapsed_seconds"]
        return Sent(argv, begun, begun + elapsed, result["messages"]["accepted"], cpu, result)
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip().splitlines() or ["nothing said"]
        raise ToolError(f"the generator: {said[-1][-300:]}")
    return Sent(argv, started, ended, count, cpu)


def _children_cpu() -> float:
    """CPU seconds of all children that have been waited for."""
    times = os.times()
    return times.children_user + times.children_system


class Sink(ABC):
    """Something that takes mail on a port of loopback and counts it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def argv(self) -> list[str]:
        """Its command."""

    @abstractmethod
    def start(self) -> None:
        """Returns when it listens."""

    @abstractmethod
    def reset(self) -> None:
        """Counts from zero again."""

    @abstractmethod
    def received(self) -> tuple[int, int, float]:
        """Messages and recipients since the last reset, and when the last of them came (seconds since the epoch)."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> dict[str, Any]:
        """Ends it; its totals, if it says any."""
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
        return {}

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        return process_cpu(self.process.pid) if self.process else 0.0

    def wait(self, recipients: int, longest_silence: float = 30.0) -> float:
        """Returns when so many recipients have come, with the time of the last; StalledError after a silence."""
        seen, since = -1, time.monotonic()
        while True:
            _, now, last_at = self.received()
            if now >= recipients:
                return last_at
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > longest_silence:
                raise StalledError(f"{now} of {recipients} arrived, then nothing for {longest_silence:.0f} s")
            time.sleep(0.01)


class PostfixSink(Sink):
    """smtp-sink; ``-c`` makes it write a counter after each message, into a file in memory here."""

    def __init__(self, port: int, recipients: int = 1, *options: str) -> None:
        super().__init__(port)
        self.recipients = recipients
        self.options = options
        self.base = 0
        self.counter: IO[bytes] | None = None

    @property
    def argv(self) -> list[str]:
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        options = ["-4", *account, "-c", "-m", "2000", *self.options]
        return [found("smtp-sink") or "smtp-sink", *options, f"127.0.0.1:{self.port}", "4096"]

    def start(self) -> None:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.counter = tempfile.TemporaryFile(dir=memory)  # noqa: SIM115 - open as long as the sink
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.counter)
        wait_listening(self.port)

    def stop(self) -> dict[str, Any]:
        if self.counter:
            self.counter.close()
        return super().stop()

    def _messages(self) -> int:
        assert self.counter is not None
        size = os.fstat(self.counter.fileno()).st_size
        counts = _COUNTER.findall(os.pread(self.counter.fileno(), 200, max(size - 200, 0)))
        return int(counts[-1]) if counts else 0

    def reset(self) -> None:
        self.base = self._messages()

    def received(self) -> tuple[int, int, float]:
        messages = self._messages() - self.base
        return messages, messages * self.recipients, time.time()


class OwnSink(Sink):
    """``benchmarks.load sink``; asked and reset over its control socket."""

    def __init__(self, port: int, *options: str) -> None:
        super().__init__(port)
        self.options = options
        self.control = ("127.0.0.1", 0)
        self.pid = 0

    @property
    def argv(self) -> list[str]:
        words = [sys.executable, "-m", "benchmarks.load", "sink", "--listen", f"127.0.0.1:{self.port}"]
        return [*words, "--control", "127.0.0.1:0", "--time-limit", "86400", *self.options]

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        first = self.process.stdout.readline()
        if not first:
            raise ToolError(f"the sink did not start: {self.process.stderr.read().decode('utf-8', 'replace')[-500:]}")
        said = json.loads(first)
        self.port = int(said["listen"].rpartition(":")[2])
        host, _, port = said["control"].rpartition(":")
        self.control, self.pid = (host, int(port)), said["pid"]

    def ask(self, command: str) -> dict[str, Any]:
        """The answer on the control socket."""
        with socket.create_connection(self.control, timeout=30) as peer:
            peer.sendall(command.encode() + b"\n")
            octets = b"".join(iter(lambda: peer.recv(65536), b""))
        answer: dict[str, Any] = json.loads(octets)
        return answer

    def reset(self) -> None:
        self.ask("reset")

    def received(self) -> tuple[int, int, float]:
        totals = self.ask("totals")
        return totals["messages"], totals["recipients"], totals["last_at"] or time.time()

    def cpu_seconds(self) -> float:
        return process_cpu(self.pid)

    def stop(self) -> dict[str, Any]:
        totals: dict[str, Any] = {}
        if self.process and self.process.poll() is None:
            try:
                totals = self.ask("stop")
                self.process.wait(10)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                pass  # it is killed below
        super().stop()
        return totals


def sink_for(load: Load, port: int, *options: str) -> Sink:
    """The sink that goes with the generator; ``options`` are those of our own."""
    return PostfixSink(port, load.recipients) if load.tool == "postfix" else OwnSink(port, *options)


def wait_listening(port: int, timeout: float = 10) -> None:
    """Returns when something greets on the port."""
    until = time.monotonic() + timeout
    while not greets(port):
        if time.monotonic() > until:
            raise ToolError(f"nothing greets on port {port}")
        time.sleep(0.02)
