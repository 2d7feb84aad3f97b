"""Relay as it comes: default configuration apart from ports, folders and domains; log lines go to a file, metrics are
on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from benchmarks.machine import ROOT
from benchmarks.servers.base import Server, ServerError, Site, free_port

CONFIG = """\
hostname = "mx.relay.example"
data_dir = "{data}"
allow_root = {root}
trusted_networks = ["127.0.0.0/8"]

[[listener]]
name = "mx"
kind = "mx"
address = "127.0.0.1"
port = {port}

[admin]
address = "127.0.0.1"
port = {admin}
"""
DESTINATION = """
[[relay_domain]]
domain = "{domain}"
next_hop = "smtp://127.0.0.1:{port}"
"""


class Relay(Server):
    """``settings``: section -> keys, as TOML lines."""

    name: ClassVar[str] = "relay"
    durability: ClassVar[str] = "record synced (RWF_DSYNC) before the 250; many sessions share one sync"
    tuning: ClassVar[tuple[str, ...]] = ("none: default configuration, metrics and log lines on",)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.admin_port = free_port()
        self.config = self.root / "relay.toml"

    @classmethod
    def missing(cls) -> str | None:
        return None if find_spec("relay.smtp._session") else "not compiled: make"

    @classmethod
    def version(cls) -> str:
        with (ROOT / "pyproject.toml").open("rb") as file:
            return f"Relay {tomllib.load(file)['project']['version']}"

    def configuration(self) -> dict[str, str]:
        text = CONFIG.format(
            data=self.root / "data", root=str(os.geteuid() == 0).lower(), port=self.port, admin=self.admin_port
        )
        targets = self.site.destinations if self.site.delivers else dict.fromkeys(self.site.destinations, closed_port())
        for domain, port in targets.items():
            text += DESTINATION.format(domain=domain, port=port)
        for section, keys in self.site.settings.items():
            text += f"\n[{section}]\n{keys}\n"
        return {"relay.toml": text}

    def start(self) -> None:
        self.config.write_text(self.configuration()["relay.toml"])
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Starts the supervisor; does not wait."""
        self.group.first = None
        with self.log.open("ab") as log:
            self.group.start(self.words("serve"), cwd=self.root, environ=self._environ(), output=log)

    def words(self, *words: str) -> list[str]:
        """The command line of ``relay WORDS`` for this configuration."""
        return [sys.executable, "-m", "relay.cli", *words, "--config", str(self.config)]

    def command(self, *words: str) -> str:
        """Standard output of ``relay WORDS``."""
        done = subprocess.run(
            self.words(*words), capture_output=True, text=True, timeout=600, check=False, env=self._environ()
        )
        if done.returncode:
            raise ServerError(f"relay {' '.join(words)} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def _environ(self) -> dict[str, str]:
        return dict(os.environ, PYTHONPATH=str(ROOT))

    def wait_ready(self, timeout: float = 120) -> None:
        """Returns when /readyz is green."""
        until = time.monotonic() + timeout
        why = ""
        while time.monotonic() < until:
            first = self.group.first
            if first and first.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as fault:
                why = fault.read().decode("utf-8", "replace")
            except OSError as fault:
                why = str(fault)
            time.sleep(0.02)
        raise ServerError(f"Relay is not ready: {why}\n{self.tail()}")

    def metrics(self) -> dict[str, float]:
        """/metrics by sample name with its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line and not line.startswith("#")
        }

    def waiting(self) -> dict[str, int]:
        """Entries in the queue by state."""
        prefix = 'relay_queue_entries{state="'
        return {key[len(prefix) : -2]: int(value) for key, value in self.metrics().items() if key.startswith(prefix)}

    def pss_by_role(self) -> dict[str, int]:
        """Role -> PSS in octets of its workers together."""
        roles: dict[str, int] = {}
        for pid, size in self.group.pss().items():
            role = Path(f"/proc/{pid}/comm").read_text().split("@")[0].split("-")[0].strip()
            roles[role] = roles.get(role, 0) + size
        return roles


def closed_port() -> int:
    """A port that refuses connections: the discard service, which nobody runs on loopback."""
    return 9
