"""Starts the program of appliance.py for a test, watches its log, and talks to its workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import wait_until

PROGRAM = Path(__file__).with_name("appliance.py")
TREE = PROGRAM.parents[2]


def until(what: str, condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Waits for ``condition``; fails with ``what`` when it does not come true."""
    return wait_until(condition, what, timeout=seconds)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Session:
    """A connection to a toy worker."""

    def __init__(self, port: int) -> None:
        """ConnectionRefusedError when nobody listens, EOFError when nobody greets."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.lines = self.socket.makefile("rb")
        try:
            greeting = self.lines.readline()
        except BaseException:
            self.close()
            raise
        if not greeting:
            self.close()
            raise EOFError
        self.greeting: dict[str, Any] = json.loads(greeting)

    def tell(self, what: str) -> None:
        self.socket.sendall(what.encode() + b"\n")

    def ask(self, what: str) -> Any:
        """Its answer; None when it hangs up."""
        self.tell(what)
        line = self.lines.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self.lines.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Running:
    """One appliance and its files below ``folder``."""

    def __init__(self, folder: Path, *, wrap: tuple[str, ...] = (), env: dict[str, str] | None = None, **settings: Any):
        self.settings: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "log": str(folder / "log"),
            "listeners": {"mx": 0},
            **settings,
        }
        self.folder, self.wrap, self.env = folder, wrap, env or {}
        self.file = folder / "settings.json"
        self.configure()
        self.ports: dict[str, int] = {}

    def configure(self, **changes: Any) -> None:
        """Writes the configuration file anew."""
        self.settings.update(changes)
        self.file.write_text(json.dumps(self.settings))

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Inside, it has been started, and perhaps serves."""
        with (self.folder / "stderr").open("w") as stderr:
            self.process = subprocess.Popen(
                [*self.wrap, sys.executable, str(PROGRAM), str(self.file)],
                cwd=TREE,
                env={**os.environ, "PYTHONPATH": str(TREE), **self.env},
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        try:
            yield
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Inside, the first generation serves."""
        with self.begun():
            self.is_serving()
            yield

    def is_serving(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.stderr
        self.ports = {name: port for name, (_, port) in json.loads(line).items()}

    # ---- what it does ----

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The event lines so far."""
        try:
            lines = Path(self.settings["log"]).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in map(json.loads, lines) if not name or line["event"] == name]

    def sees(self, event: str, count: int = 1, **fields: Any) -> Any:
        """Waits for the ``count``-th event of that name with these fields."""

        def found() -> list[dict[str, Any]]:
            return [
                line for line in self.events(event) if all(line.get(name) == value for name, value in fields.items())
            ]

        return until(f"{count} × {event} {fields} in {self.events()}", lambda: found()[count - 1 :])[0]

    def serves(self, generation: int) -> None:
        self.sees("serving", generation=generation)

    def gets(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, seconds: float = 15.0) -> int:
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.gets(signal.SIGTERM)
        return self.ends()

    # ---- its workers ----

    def session(self, name: str = "mx") -> Session:
        """A connection to a toy."""
        return Session(self.ports[name])

    def ask(self, what: str) -> Any:
        with self.session() as session:
            return session.ask(what)

    def pids(self) -> dict[str, int]:
        """By name, e.g. ``smtp-0``: the processes as ``ps`` shows them."""
        named: dict[str, int] = {}
        for pid in self.every_pid():
            with contextlib.suppress(OSError):
                named[Path(f"/proc/{pid}/comm").read_text().strip().partition("@")[0]] = pid
        return named

    def runs(self, wanted: set[str]) -> None:
        """Waits until there are these workers and no others."""
        until(f"workers {wanted}", lambda: set(self.pids()) == wanted and len(self.every_pid()) == len(wanted))

    def refuses(self, name: str = "mx") -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports[name]), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            return False  # just closing
        return False

    def every_pid(self) -> list[int]:
        """The supervisor's children, also two of one name."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in Path(children).read_text().split()]

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports["mx"]), timeout=15)
