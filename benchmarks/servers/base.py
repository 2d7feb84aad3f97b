"""What the harness needs of a mail server: start it with its own folders and port, stop it, leave nothing behind.

Every server here gets a folder of its own on the same disk, a port of its own on loopback, its default durability
(queue files synced before the reply), and a configuration with the tuning that its own documentation recommends for
many messages to one next hop. The configuration is printed with the results.
"""

from __future__ import annotations

import abc
import contextlib
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from benchmarks.group import Group

DOMAIN = "relay.test"


class ServerError(Exception):
    """A server did not start or did not do what was asked of it."""


@dataclass(frozen=True)
class Site:
    """Where a server stands: its folder, its port, and where its mail goes."""

    root: Path
    port: int
    destinations: dict[str, int]
    """Domain -> port of its next hop on 127.0.0.1. The first one is the usual one."""
    delivers: bool = True
    """False: mail is taken in and kept, no delivery is tried."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What a scenario changes in the configuration, by the server's own names."""


class Server(abc.ABC):
    """One server; a context manager that starts it and ends everything of it."""

    name: ClassVar[str]
    durability: ClassVar[str]
    """What is on disk before the 250, in one sentence."""
    tuning: ClassVar[tuple[str, ...]] = ()
    """How the configuration differs from the package's default, and why."""

    opening: ClassVar[int | None] = None
    """How many connections our generator may be opening at a time; None: its usual count."""
    dialogues: ClassVar[tuple[str, ...]] = ("pipelined", "grouped", "lock-step")
    """What it can be spoken to in, the best first; ``limits`` says why not in all."""
    limits: ClassVar[str] = ""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.root = site.root / self.name
        self.port = site.port
        self.group = Group(self.name)
        self.log = self.root / "output.log"

    @classmethod
    @abc.abstractmethod
    def missing(cls) -> str | None:
        """Why it cannot be measured here; None when it can."""

    @classmethod
    @abc.abstractmethod
    def version(cls) -> str:
        """Name and version, as the program says them."""

    @abc.abstractmethod
    def start(self) -> None:
        """Writes the configuration and starts; returns when it greets."""

    @abc.abstractmethod
    def configuration(self) -> dict[str, str]:
        """File name -> text of what differs from the defaults."""

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.group.end()
            shutil.rmtree(self.root, ignore_errors=True)

    def stop(self, timeout: float = 20) -> None:
        """SIGTERM to the first process; returns when it has ended, or kills all of them after ``timeout`` seconds."""
        first = self.group.first
        if first and first.poll() is None:
            first.terminate()
            try:
                first.wait(timeout)
            except subprocess.TimeoutExpired:
                self.group.kill()

    def wait_greeting(self, timeout: float = 30) -> None:
        """Returns when the port answers with 220."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            first = self.group.first
            if first and first.poll() not in (None, 0):
                break
            if greets(self.port):
                return
            time.sleep(0.02)
        raise ServerError(f"{self.name} does not greet on port {self.port} within {timeout:.0f} s; {self.condition()}")

    def condition(self) -> str:
        """How it is doing, for an error message: its first process, how many there are, and what it said last."""
        first = self.group.first
        code = first.poll() if first else None
        what = "was not started" if first is None else "runs" if code is None else f"ended with {code}"
        said = self.tail() or "it said nothing"
        return f"its first process {what}, {len(self.group.pids())} processes in all:\n{said}"

    def logs(self) -> list[Path]:
        """The files in which it says what is wrong."""
        return [self.log]

    def tail(self, lines: int = 30) -> str:
        """The end of what it said, in each of its logs."""
        texts = [path.read_text("utf-8", "replace") for path in self.logs() if path.exists()]
        return "\n".join(line for text in texts for line in text.splitlines()[-lines:])


def greets(port: int) -> bool:
    """Whether something on this port of loopback says 220 within a second."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
        greeting = peer.recv(512)
        peer.sendall(b"QUIT\r\n")
        peer.recv(512)
        return greeting.startswith(b"220")
    return False


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_line(argv: list[str], fallback: str) -> str:
    """The first line that a command prints, for versions."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return fallback
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else fallback
