"""Strange messages and names, read over IMAP from the running appliance."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.mailbox.maildir import make_maildir
from relay.mailbox.names import encode_utf7
from tests.interop.readers import ADDRESS, PASSWORD, Readers

SPLIT = b"""From: sender@example.org (Anna Real)
Subject: three spellings of a long name
Content-Type: multipart/mixed; boundary*0=ou; boundary*1=ter

--outer
Content-Type: application/pdf; name*1="report.pdf"; name*0="yearly "
Content-Disposition: attachment; filename*0="yearly "; filename*1="report.pdf"

--outer
Content-Disposition: attachment; filename*0*=utf-8''Pr%C3%BCf;
 filename*1*=ung%20; filename*2="2026.pdf"

--outer--
"""
NUL = b"Subject: a\0b\n\nc\0d\n"
FOLDS = b"Subject: x\n" + b" y\n" * 500_000 + b"\n"
CHAIN = b"References: " + b" ".join(b"<%d@x>" % each for each in range(5000)) + b"\n\n"
FOLDER = unicodedata.normalize("NFD", "Entwürfe")


class Client:
    """Lines sent, and what comes back."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rb")
        self.stream.readline()

    def command(self, words: str) -> bytes:
        """All that is said, with the tagged response."""
        self.socket.sendall(b"a " + words.encode() + b"\r\n")
        said = b""
        while not said.rpartition(b"\r\n")[2].startswith(b"a "):
            line = self.stream.readline()
            assert line, said
            said = said + line if not line.startswith(b"a ") else said + line.rstrip()
        return said


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    relay = Readers(tmp_path)
    make_maildir(relay.maildir)
    make_maildir(relay.maildir / f".{encode_utf7(FOLDER)}")
    for number, octets in enumerate((SPLIT, NUL, FOLDS, CHAIN), 1):
        (relay.maildir / "new" / f"170000000{number}.strange.other").write_bytes(octets)
    with relay:
        client = Client(relay.imap_port)
        client.command(f'LOGIN {ADDRESS} "{PASSWORD}"')
        yield client
        client.stream.close()
        client.socket.close()


def test_strange_mail_is_read(client: Client) -> None:
    assert b"* 4 EXISTS" in client.command("SELECT INBOX")
    said = client.command("FETCH 1 (BODYSTRUCTURE MODSEQ)")
    assert said.startswith(b"* OK [HIGHESTMODSEQ ")
    assert b'("NAME" "yearly report.pdf")' in said
    assert b'("ATTACHMENT" ("FILENAME" "yearly report.pdf"))' in said
    assert b'("ATTACHMENT" ("FILENAME*" "utf-8\'\'Pr%C3%BCfung%202026.pdf"))' in said
    assert b'"MIXED" ("BOUNDARY" "outer")' in said
    for item in ("BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"):
        said = client.command(f"FETCH 2 {item}")
        assert b"Subject: a\x80b\r\n" in said
        assert b"\0" not in said
    assert b"BINARY[1] ~{5}\r\nc\0d\r\n" in client.command("FETCH 2 BINARY.PEEK[1]")
    assert b"* SEARCH 1\r\n" in client.command("SEARCH FROM real")
    assert b"* SEARCH 3\r\n" in client.command("SEARCH SUBJECT x")
    assert b"* SEARCH\r\n" in client.command("SEARCH SUBJECT ~x")
    assert b"a OK" in client.command("THREAD REFERENCES UTF-8 ALL")
    said = client.command("STORE 4 +FLAGS (new)")
    assert 0 <= said.find(b"* FLAGS (") < said.find(b"* 4 FETCH (")
    assert b"a NO" in client.command("SELECT ~foo")
    assert b"a OK" in client.command("ENABLE UTF8=ACCEPT")
    for name in ("Entwürfe", FOLDER):
        assert b"a OK" in client.command(f'SELECT "{name}"')
    assert '"/" "Entwürfe"'.encode() in client.command('LIST "" *')
    assert b"a NO [ALREADYEXISTS]" in client.command(f'CREATE "{FOLDER}"')
