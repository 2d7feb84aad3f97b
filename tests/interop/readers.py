"""A running appliance with IMAP listeners and an account, for the tests of real clients."""

from __future__ import annotations

import imaplib
from pathlib import Path

from tests.support.appliance import Appliance, free_port

ADDRESS = "anna@local.test"
PASSWORD = "correct-horse"
LISTENERS = """
[[listener]]
name = "imap"
kind = "imap"
address = "127.0.0.1"
port = {imap}
plaintext_login = true

[[listener]]
name = "imaps"
kind = "imap"
address = "127.0.0.1"
port = {imaps}
tls = "implicit"

[readers]
max_connections_per_client = 1000
"""


class Readers(Appliance):
    """The appliance; ``imap_port`` allows passwords in the clear, ``imaps_port`` begins with TLS."""

    def __init__(self, root: Path, *, more: str = "", **options: object) -> None:
        self.imap_port, self.imaps_port = free_port(), free_port()
        more = LISTENERS.format(imap=self.imap_port, imaps=self.imaps_port) + more
        super().__init__(root, free_port(), smtp_workers=1, more=more, **options)  # type: ignore[arg-type]  # passed on
        self.run("account", "add", ADDRESS, "--password-stdin", text=PASSWORD + "\n")

    def client(self) -> imaplib.IMAP4:
        """A client that has logged in."""
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=60)
        client.login(ADDRESS, PASSWORD)
        return client

    @property
    def maildir(self) -> Path:
        """Where the account's mail is."""
        return self.data / "mail" / "local.test" / "anna"

    def fill(self, count: int) -> None:
        """Puts messages into INBOX as another program does: files in ``new``, not synced."""
        for name in ("cur", "new", "tmp"):
            (self.maildir / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (self.maildir / "new" / f"1700000000.{number:06d}.other").write_bytes(message(number))


def message(number: int) -> bytes:
    """A small message, LF lines."""
    return (
        f"From: Zoe <zoe@example.org>\nTo: {ADDRESS}\nSubject: message {number}\nMessage-ID: <{number}@example.org>\n"
        f"Date: Mon, 02 Nov 2026 10:{number // 60 % 60:02d}:{number % 60:02d} +0000\n\nThis is message {number}.\n"
    ).encode()
