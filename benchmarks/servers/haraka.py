"""Haraka from npm, unpacked below build/servers, with its own configuration folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.group import found
from benchmarks.machine import ROOT
from benchmarks.servers import private
from benchmarks.servers.base import Server

PACKAGE: Final = ROOT / "build" / "servers" / "haraka"
PLUGIN: Final = """\
exports.register = function () {
  this.register_hook('rcpt', 'take');
  this.register_hook('get_mx', 'next_hop');
};
exports.take = function (next, connection) {
  connection.relaying = true;
  next(OK);
};
exports.next_hop = function (next, hmail, domain) {
  const ports = %s;
  next(OK, { exchange: '127.0.0.1', port: ports[domain], priority: 0 });
};
"""
FILES: Final = {
    "smtp.ini": "listen=127.0.0.1:{port}\nnodes=2\n[main]\nsmtputf8=true\n",
    "plugins": "bench\n",
    "outbound.ini": "concurrency_max=50\nenable_tls=false\nalways_split=false\nlocal_mx_ok=true\n",
    "log.ini": "level=INFO\n",
    "me": "mx.haraka.example\n",
    "host_list": "",
}


class Haraka(Server):
    """Two worker processes on two cores; mail is queued on disk and sent by its outbound part."""

    name: ClassVar[str] = "haraka"
    durability: ClassVar[str] = "queue file fsynced before the 250 (default)"
    dialogues: ClassVar[tuple[str, ...]] = ("grouped", "lock-step")
    limits: ClassVar[str] = "it answers 503 to a MAIL that comes behind a content (RFC 2920 3.1 allows that)"
    tuning: ClassVar[tuple[str, ...]] = (
        "nodes=2 (cluster), outbound concurrency_max=50, no plugins besides accepting and routing; no DNS",
    )

    @classmethod
    def missing(cls) -> str | None:
        if not found("node"):
            return "Node.js is missing"
        return None if cls._program().exists() else "not there: python -m benchmarks fetch haraka"

    @staticmethod
    def _program() -> Path:
        return PACKAGE / "node_modules" / "Haraka" / "bin" / "haraka"

    @classmethod
    def version(cls) -> str:
        package = json.loads((PACKAGE / "node_modules" / "Haraka" / "package.json").read_text())
        return f"Haraka {package['version']}"

    @classmethod
    def fetch(cls) -> Path:
        """Installs it with npm below build/servers."""
        PACKAGE.mkdir(parents=True, exist_ok=True)
        words = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--prefix", str(PACKAGE), "Haraka"]
        subprocess.run(words, check=True)
        return PACKAGE

    def configuration(self) -> dict[str, str]:
        files = {f"config/{name}": text.format(port=self.port) for name, text in FILES.items()}
        files["config/queue_dir"] = f"{self.root}/queue\n"
        files["plugins/bench.js"] = PLUGIN % json.dumps(self.site.destinations)
        return files

    def start(self) -> None:
        # What "haraka -i" does: the package's configuration, then ours over it.
        shutil.copytree(PACKAGE / "node_modules" / "Haraka" / "config", self.root / "config")
        for name in ("plugins", "queue"):
            (self.root / name).mkdir()
        for name, text in self.configuration().items():
            (self.root / name).write_text(text)
        with self.log.open("ab") as log:
            node = found("node") or "node"
            words = private.without_dns(self.root, [node, str(self._program()), "-c", str(self.root)])
            self.group.start(words, cwd=self.root, output=log, environ=dict(os.environ, NODE_CLUSTER_SCHED_POLICY="rr"))
        self.wait_greeting()
