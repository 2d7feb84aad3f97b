"""Servers with mailboxes that people read, side by side on copies of the same Maildirs.

Each has ports for IMAP, POP3 and deliveries, and accounts that are the same for all: ``addresses()``. The mail is
copied below the server's own folder before it starts; it takes the Maildirs over as they are.

Not here: what is in the Maildirs (benchmarks/maildirs.py), the work (benchmarks/scenarios/mailbox.py).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.servers.base import DOMAIN, Server, ServerError, Site, free_port
from benchmarks.servers.relay import CONFIG, Relay

READER: Final = "reader"
"""Whose INBOX is the big one."""
ARCHIVIST: Final = "archivist"
"""Whose INBOX is huge; its messages are hard links, in the server's copy, too."""
DOWNLOADER: Final = "downloader"
"""Whose INBOX is fetched with POP3."""
RECIPIENTS: Final = 16
"""Accounts that mail is delivered to, and that sit idle."""
PASSWORD: Final = "correct-horse"
MAIL: Final = "mail"
"""In ``site.settings``: the folder with a Maildir for each account that has mail already, by its local part."""


def recipients() -> list[str]:
    """The local parts of the accounts that mail is delivered to."""
    return [f"recipient{number}" for number in range(RECIPIENTS)]


def addresses() -> list[str]:
    """All accounts."""
    return [f"{local}@{DOMAIN}" for local in (READER, ARCHIVIST, DOWNLOADER, *recipients())]


class MailboxServer(Server):
    """``port`` takes deliveries, one recipient a message; ``greeting`` is what its clients say first there."""

    greeting: ClassVar[bytes]

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.imap_port, self.pop3_port = free_port(), free_port()

    @property
    def mail(self) -> Path:
        """The folder that has ``DOMAIN/local`` for every account."""
        return self.root / "mail"

    def maildir(self, local: str) -> Path:
        """The Maildir of an account, which is its INBOX."""
        return self.mail / DOMAIN / local

    def take_mail(self) -> None:
        """Copies the Maildirs that there are to where this server keeps them."""
        if source := self.site.settings.get(MAIL):
            self.mail.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, self.mail / DOMAIN, copy_function=_taken)

    def wait_readers(self, timeout: float = 30) -> None:
        """Returns when IMAP, POP3 and deliveries greet."""
        until = time.monotonic() + timeout
        waiting = {self.imap_port: b"* OK", self.pop3_port: b"+OK", self.port: b"220"}
        while waiting:
            waiting = {port: words for port, words in waiting.items() if not _says(port, words)}
            first = self.group.first
            if time.monotonic() > until or (first and first.poll() is not None):
                raise ServerError(f"{self.name} does not greet on {list(waiting)}; {self.condition()}")
            time.sleep(0.02)


def _taken(source: str, target: str) -> None:
    if f"/{ARCHIVIST}/" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _says(port: int, words: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            return peer.recv(512).startswith(words)
    except OSError:
        return False


class RelayMailboxes(MailboxServer, Relay):
    """Relay with listeners for readers, and accounts; otherwise as it comes."""

    name: ClassVar[str] = "relay"
    durability: ClassVar[str] = "message file and folder fsynced before the reply; on delivery, after the spool's 250"
    tuning: ClassVar[tuple[str, ...]] = (
        "none: default configuration but for limits of connections; mail is delivered over SMTP, through the spool",
    )
    greeting: ClassVar[bytes] = b"EHLO bench.test\r\n"

    @property
    def mail(self) -> Path:
        return self.root / "data" / "mail"

    def configuration(self) -> dict[str, str]:
        text = CONFIG.format(
            data=self.root / "data", root=str(os.geteuid() == 0).lower(), port=self.port, admin=self.admin_port
        )
        for kind, port in (("imap", self.imap_port), ("pop3", self.pop3_port)):
            text += f'\n[[listener]]\nname = "{kind}"\nkind = "{kind}"\naddress = "127.0.0.1"\nport = {port}\n'
            text += 'tls = "none"\nplaintext_login = true\n'
        text += f'\n[domains]\nlocal = ["{DOMAIN}"]\n\n[readers]\nmax_connections_per_client = 20000\n'
        return {"relay.toml": text}

    def start(self) -> None:
        self.config.write_text(self.configuration()["relay.toml"])
        first, *others = addresses()
        subprocess.run(
            self.words("account", "add", first, "--password-stdin"),
            input=f"{PASSWORD}\n", text=True, check=True, capture_output=True, timeout=120, env=self._environ(),
        )  # fmt: skip
        # The others get the same line: the hash knows no address, and making one takes long on purpose.
        accounts = self.root / "data" / "accounts"
        line = next(line for line in accounts.read_text().splitlines() if line.startswith(first))
        with accounts.open("a") as file:
            file.writelines(f"{line.replace(first, other)}\n" for other in others)
        self.take_mail()
        self.launch()
        self.wait_ready()
        self.wait_readers()
