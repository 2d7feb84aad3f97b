"""OpenSMTPD out of its unpacked Debian package, in a mount namespace of its own."""

from __future__ import annotations

from typing import ClassVar, Final

from benchmarks.servers.private import Unpacked

CONFIG: Final = """\
listen on 127.0.0.1 port {port} hostname mx.opensmtpd.example
smtp max-message-size 50M
smtp limit max-mails 1000000
mta limit max-conn-per-host 50
mta limit max-conn-per-route 50
mta limit max-conn-per-connector 50
mta limit conn-delay-route 0
mta limit conn-delay-relay 0
mta limit session-transaction-delay 0
{more}
{rules}
"""


class OpenSmtpd(Unpacked):
    """OpenSMTPD has no limit of its own on sessions beyond descriptors; its queue process writes one file a message."""

    name: ClassVar[str] = "opensmtpd"
    title: ClassVar[str] = "OpenSMTPD"
    program: ClassVar[str] = "usr/sbin/smtpd"
    debian: ClassVar[tuple[str, ...]] = ("opensmtpd",)
    accounts: ClassVar[tuple[tuple[str, int], ...]] = (("opensmtpd", 64002), ("opensmtpq", 64003))
    inside: ClassVar[str] = "/var/spool/smtpd"
    durability: ClassVar[str] = (
        "message and envelope files written before the 250, not synced (default; see the syncs counted)"
    )
    opening: ClassVar[int] = 4
    dialogues: ClassVar[tuple[str, ...]] = ("lock-step",)
    limits: ClassVar[str] = "it does not offer PIPELINING"
    tuning: ClassVar[tuple[str, ...]] = (
        "smtp limit max-mails 1000000 (default 100 messages a connection)",
        "mta limit: 50 connections to the next hop (default 5), no delay between them (default 2 to 5 s); no DNS",
        "our generator opens 4 connections at a time: its listen queue holds 5, and what does not fit waits long",
    )

    def configuration(self) -> dict[str, str]:
        rules = []
        for number, (domain, port) in enumerate(self.site.destinations.items()):
            rules += [
                f'action "next{number}" relay host smtp://127.0.0.1:{port}',
                f'match from any for domain "{domain}" action "next{number}"',
            ]
        more = "\n".join(f"{key} {value}" for key, value in self.site.settings.items())
        return {"smtpd.conf": CONFIG.format(port=self.port, more=more, rules="\n".join(rules))}

    def start(self) -> None:
        queue = self.root / "queue"
        queue.mkdir()
        (queue / "smtpd.conf").write_text(self.configuration()["smtpd.conf"])
        pause = "" if self.site.delivers else "(sleep 1; exec /usr/sbin/smtpctl pause mta) & "
        run = (
            "mkdir -p /var/spool/smtpd /run/opensmtpd /var/lib/opensmtpd/empty && chmod 711 /var/spool/smtpd && "
            f"{pause}exec /usr/sbin/smtpd -d -f /var/spool/smtpd/smtpd.conf"
        )
        self.start_inside(queue, run)
