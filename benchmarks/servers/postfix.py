"""Postfix from its package, as an instance of its own: own configuration, queue and data folders, started by master -d.

The system's own Postfix, running or not, is not touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks.group import found
from benchmarks.servers.base import Server, ServerError, first_line

MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/lib
mail_owner = postfix
myhostname = mx.postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = {domains}
transport_maps = inline:{{ {transports} }}
maillog_file = {root}/log/mail.log
maillog_file_prefixes = {root}
alias_maps =
alias_database =
smtpd_tls_security_level = none
smtp_tls_security_level = none
# Tuning for many messages from few clients to one next hop
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
in_flow_delay = 0
default_process_limit = 200
smtp_destination_concurrency_limit = 50
initial_destination_concurrency = 20
smtp_destination_recipient_limit = 100
smtp_connection_cache_destinations = 127.0.0.1
smtp_connection_cache_time_limit = 5s
smtp_connection_reuse_count_limit = 1000
{more}
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """``settings``: lines of main.cf, by name."""

    name: ClassVar[str] = "postfix"
    durability: ClassVar[str] = "queue file fsynced before the 250 (default)"
    tuning: ClassVar[tuple[str, ...]] = (
        "no chroot, logging through postlogd to a file on the same disk",
        "in_flow_delay = 0, default_process_limit = 200: intake is not slowed and not short of processes",
        "connections to the next hop cached and reused, 20 to 50 at a time; 100 recipients a delivery",
        "no DNS and no client name look-ups, no anvil counts",
    )

    @classmethod
    def missing(cls) -> str | None:
        if not found("postfix") or not cls._daemons():
            return "not installed (Debian: apt install postfix)"
        return None if os.geteuid() == 0 else "Postfix must be started by root"

    @staticmethod
    def _daemons() -> Path | None:
        return next(
            (path for path in map(Path, ("/usr/lib/postfix/sbin", "/usr/libexec/postfix")) if path.is_dir()), None
        )

    @classmethod
    def version(cls) -> str:
        version = first_line([found("postconf") or "postconf", "-d", "-h", "mail_version"], "unknown")
        return f"Postfix {version}"

    def configuration(self) -> dict[str, str]:
        transports = ", ".join(
            f"{{ {domain} = smtp:[127.0.0.1]:{port} }}" for domain, port in self.site.destinations.items()
        )
        more = [f"{key} = {value}" for key, value in self.site.settings.items()]
        if not self.site.delivers:
            more.append("defer_transports = smtp")
        main = MAIN.format(
            root=self.root, domains=" ".join(self.site.destinations), transports=transports, more="\n".join(more)
        )
        return {"main.cf": main, "master.cf": MASTER.format(port=self.port)}

    def logs(self) -> list[Path]:
        return [self.log, self.root / "log" / "mail.log"]

    def start(self) -> None:
        folder = self.root / "etc"
        for name in ("etc", "queue", "lib", "log"):
            (self.root / name).mkdir(exist_ok=True)
        shutil.chown(self.root / "lib", "postfix", "postfix")
        for name, text in self.configuration().items():
            (folder / name).write_text(text)
        daemons = self._daemons()
        check = [found("postfix") or "postfix", "-c", str(folder), "check"]
        done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or daemons is None:
            raise ServerError(f"postfix check: {done.stdout}{done.stderr}")
        with self.log.open("ab") as log:
            self.group.start([str(daemons / "master"), "-c", str(folder), "-d"], cwd=self.root, output=log)
        self.wait_greeting()
