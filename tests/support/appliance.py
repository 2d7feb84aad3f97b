"""Runs the real ``relay serve`` for a test: own data directory, own ports, own configuration file."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import wait_until


def _candidates() -> Iterator[int]:
    """Ports below the range from which the kernel gives connections theirs, each once before any comes again; every
    worker of pytest-xdist has its own eighth, so that no two tests that run at once are given the same one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    mine = range(10_240 + worker, 32_768, 8)
    start = random.randrange(len(mine))
    return itertools.cycle([*mine[start:], *mine[:start]])


_PORTS = _candidates()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def open_to_all(folder: Path) -> None:
    """Lets programs that give root up pass through ``folder`` and those above it that are the tests' own."""
    for each in (folder, *folder.parents):
        if each == Path(tempfile.gettempdir()):
            break
        each.chmod(0o755)


CONFIG = """\
hostname = "mx.relay.example"
data_dir = "{data}"
trusted_networks = ["127.0.0.0/8"]
drain_timeout = "10s"
{top}

[domains]
local = ["local.test"]

[[listener]]
name = "mx"
kind = "mx"
address = "127.0.0.1"
port = {smtp}

[admin]
address = "127.0.0.1"
port = {admin}

[[relay_domain]]
domain = "relay.test"
next_hop = "smtp://127.0.0.1:{sink}"

[workers]
smtp = {smtp_workers}
delivery = {delivery_workers}

[spool]
segment_size = "{segment_size}"

{more}
"""


CONTENT = "Subject: x\r\n\r\nhello\r\n"
ANYTHING = ("anything",)
SMALL = '\n[smtp]\nlarge_content = "1MiB"\n'
"""What goes with segments of 2 MiB: a segment has room for two contents that are not large."""


class Appliance:
    """One appliance below ``root``; use as a context manager, which ends it whatever happened.

    A test fails when the log holds an event of level ``error`` that is not among ``expects``, or a stack trace.
    """

    def __init__(
        self,
        root: Path,
        sink_port: int,
        *,
        smtp_workers: int = 2,
        delivery_workers: int = 1,
        segment_size: str = "4MiB",
        top: str = "",
        more: str = "",
        wrap: tuple[str, ...] = (),
        data: Path | None = None,
        expects: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.data = data or root / "data"
        self.smtp_port, self.admin_port, self.sink_port = free_port(), free_port(), sink_port
        self.settings = {
            "smtp_workers": smtp_workers,
            "delivery_workers": delivery_workers,
            "segment_size": segment_size,
            "more": more,
            "top": top,
        }
        self.wrap = wrap
        self.expects = expects
        self.config = root / "relay.toml"
        self.log = root / "relay.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.write_config()

    def write_config(self, **changes: object) -> None:
        """Writes the configuration file, with some settings changed."""
        self.settings.update(changes)
        settings = dict(self.settings)
        if settings["segment_size"] == "2MiB" and "[smtp]" not in str(settings["more"]):
            settings["more"] = f"{settings['more']}{SMALL}"
        self.config.write_text(
            CONFIG.format(data=self.data, smtp=self.smtp_port, admin=self.admin_port, sink=self.sink_port, **settings)
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end()
        if kind is None and self.expects != ANYTHING:
            faults = [
                line for line in self.events() if line.get("level") == "error" and line["event"] not in self.expects
            ]
            assert not faults, faults
            assert "Traceback" not in self.log.read_text("utf-8", "replace"), self.tail()

    def end(self) -> None:
        """Stops it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def command(self, *words: str) -> list[str]:
        """The words that run ``relay`` with this appliance's configuration."""
        return [sys.executable, "-m", "relay.cli", *words, "--config", str(self.config)]

    def run(self, *words: str, check: bool = True, text: str | None = None) -> str:
        """Standard output of ``relay WORDS``; raises CalledProcessError on another exit code than 0."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, check=False, input=text)
        if check and done.returncode:
            raise AssertionError(f"{words} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def result(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What ``relay WORDS`` printed and its exit code."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, check=False)

    def queue(self, *words: str) -> list[dict[str, Any]]:
        """``relay queue list --json WORDS``."""
        return [json.loads(line) for line in self.run("queue", "list", "--json", *words, check=False).splitlines()]

    def waiting(self) -> list[dict[str, Any]]:
        """``queue`` in one order, without the place of the record."""
        entries = [{key: value for key, value in each.items() if key != "record"} for each in self.queue()]
        return sorted(entries, key=lambda each: (each["queue_id"], each["recipients"]))

    def send(
        self,
        *recipients: str,
        sender: str = "a@source.test",
        content: str | bytes = CONTENT,
        options: tuple[str, ...] = (),
    ) -> str:
        """Sends a message in a session of its own; the queue id that the 250 names."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=20) as client:
            client.ehlo("source.test")
            client.mail(sender, options)
            for recipient in recipients:
                code, text = client.rcpt(recipient)
                assert code == 250, text
            code, text = client.data(content)
        assert code == 250, text
        return text.decode().rsplit(" ", 1)[1]

    def stored(self, account: str) -> list[bytes]:
        """Every message in the account's Maildir; a mailbox worker may just be moving them from ``new`` to ``cur``."""
        local, _, domain = account.partition("@")
        folder = self.data / "mail" / domain / local
        found: dict[str, bytes] = {}
        for kind in ("new", "cur"):
            for path in list(folder.glob(f"{kind}/*")):
                with contextlib.suppress(FileNotFoundError):
                    found[path.name.partition(":")[0]] = path.read_bytes()
        return [found[name] for name in sorted(found)]

    def add_account(self, address: str) -> None:
        """Makes an account with some password."""
        self.run("account", "add", address, "--password-stdin", text="correct horse battery\n")

    def start(self, *, wait: bool = True) -> None:
        """Starts the appliance; returns when /readyz is green."""
        environ = dict(os.environ, RELAY_ALLOW_ROOT="true")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, *self.command("serve")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self.root,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = 30) -> None:
        why = [""]

        def is_ready() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"relay exited {self.process.returncode}:\n{self.tail()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError as fault:
                why[0] = fault.read().decode("utf-8", "replace")
            except OSError as fault:
                why[0] = str(fault)
            return False

        wait_until(is_ready, lambda: f"not ready: {why[0]}\n{self.tail()}", timeout=timeout, every=0.02)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:]) if self.log.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        """Every JSON line logged so far, but for one that is still being written, and those that kill -9 has torn: they
        have no end, or another line follows on the same one."""
        lines = self.log.read_text("utf-8", "replace").rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and not is_torn(line)]

    def metrics(self) -> dict[str, float]:
        """/metrics by sample name with its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line and not line.startswith("#")
        }

    def serves(self, generation: int) -> bool:
        """Whether this generation of the configuration serves."""
        return self.metrics()["relay_supervisor_generation"] == generation

    def deliveries(self, recipient: str) -> list[dict[str, Any]]:
        """The log's delivery lines that name ``recipient``."""
        return [
            line for line in self.events() if line.get("kind") == "delivery" and recipient in line.get("recipients", ())
        ]

    def workers(self) -> dict[int, str]:
        """pid -> process title of the supervisor's children."""
        assert self.process is not None
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        titles = {}
        for child in children:
            try:
                titles[int(child)] = Path(f"/proc/{child}/comm").read_text().strip()
            except OSError:
                continue
        return titles

    @property
    def pid(self) -> int:
        """The supervisor's pid, also when it runs below a wrapper such as strace."""
        assert self.process is not None
        if not self.wrap:
            return self.process.pid
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def terminate(self, timeout: float = 20) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to the supervisor; returns when it and its workers are gone."""
        assert self.process is not None
        children = list(self.workers())
        self.process.kill()
        self.process.wait(10)
        wait_until(lambda: all(is_gone(child) for child in children), "a worker outlives its supervisor", timeout=10)


def is_torn(line: str) -> bool:
    """Whether the writer of a log line died in the middle of it."""
    return not line.endswith("}") or '{"time":"' in line[1:]


def is_gone(pid: int) -> bool:
    """Whether a process is over, be it that nobody has reaped it yet: it holds no lock and no file any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition: Callable[[], object], timeout: float, what: str | Callable[[], str]) -> None:
    """Polls ``condition()`` until it is true; AssertionError naming ``what`` after ``timeout`` seconds."""
    wait_until(condition, what, timeout=timeout)
