"""Exim out of its unpacked Debian package (daemon-light), in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.servers.private import Unpacked

CONFIG: Final = """\
primary_hostname = mx.exim.example
spool_directory = /var/spool/exim4
log_file_path = /var/spool/exim4/log/%slog
pid_file_path = /var/spool/exim4/exim.pid
tls_advertise_hosts =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
domainlist relay_domains = {domains}
hostlist relay_from = 127.0.0.1
acl_smtp_rcpt = acl_rcpt
# Tuning for many messages from few clients to one next hop
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 600
smtp_connect_backlog = 600
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
split_spool_directory = true
{more}
begin acl
acl_rcpt:
  accept hosts = +relay_from
         domains = +relay_domains
  deny

begin routers
next_hop:
  driver = manualroute
  domains = +relay_domains
  transport = smtp
  self = send
  route_list = {routes}
  hosts_randomize = false

begin transports
smtp:
  driver = smtp
  hosts_try_fastopen =
  hosts_avoid_tls = *
  max_rcpt = 100
  connection_max_messages = 1000

begin retry
* * F,2h,1m
"""


class Exim(Unpacked):
    """Each message is delivered by a process of its own as soon as it is in: that is how Exim works by default."""

    name: ClassVar[str] = "exim"
    title: ClassVar[str] = "Exim"
    program: ClassVar[str] = "usr/sbin/exim4"
    debian: ClassVar[tuple[str, ...]] = ("exim4-daemon-light", "exim4-base", "libidn12")
    accounts: ClassVar[tuple[tuple[str, int], ...]] = (("Debian-exim", 64001),)
    inside: ClassVar[str] = "/var/spool/exim4"
    durability: ClassVar[str] = "-H and -D spool files fsynced before the 250 (default)"
    tuning: ClassVar[tuple[str, ...]] = (
        "smtp_accept_queue_per_connection = 0 (default 10 leaves later messages to the queue runner)",
        "smtp_accept_max = 600, smtp_connect_backlog = 600, smtp_accept_max_per_connection = 0, split_spool_directory",
        "no DNS, no ident, no client name look-ups; 100 recipients a delivery",
    )

    def configuration(self) -> dict[str, str]:
        more = "" if self.site.delivers else "queue_only = true\n"
        more += "".join(f"{key} = {value}\n" for key, value in self.site.settings.items())
        routes = " ; ".join(f"{domain} 127.0.0.1::{port}" for domain, port in self.site.destinations.items())
        domains = " : ".join(self.site.destinations)
        return {"exim4.conf": CONFIG.format(port=self.port, domains=domains, routes=routes, more=more)}

    def logs(self) -> list[Path]:
        return [self.log, *(self.root / "queue" / "log" / f"{name}log" for name in ("main", "panic"))]

    def start(self) -> None:
        queue = self.root / "queue"
        queue.mkdir()
        for _, number in self.accounts:
            subprocess.run(["chown", f"{number}:{number}", str(queue)], check=True)
        (queue / "exim4.conf").write_text(self.configuration()["exim4.conf"])
        # The configuration must stand where the program has it compiled in, or it gives root up on the way.
        runner = " -q10s" if self.site.delivers else ""
        run = f"mkdir -p /etc/exim4 && cp /var/spool/exim4/exim4.conf /etc/exim4/ && exec /usr/sbin/exim4 -bdf{runner}"
        self.start_inside(queue, run)
