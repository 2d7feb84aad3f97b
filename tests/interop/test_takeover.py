"""A Maildir that Dovecot has served is taken over, and programs that remember what they have fetch nothing again."""

from __future__ import annotations

import imaplib
import os
import poplib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers, message
from tests.support.appliance import wait_for
from tests.support.dovecot import Dovecot
from tests.support.needs import need

pytestmark = pytest.mark.timeout(180)

LISTENERS = """
[[listener]]
name = "as before, imap"
kind = "imap"
address = "127.0.0.1"
port = {imap}
plaintext_login = true

[[listener]]
name = "as before, pop3"
kind = "pop3"
address = "127.0.0.1"
port = {pop3}
plaintext_login = true
"""
MBSYNC = """
FSync no

IMAPAccount a
Host 127.0.0.1
Port {imap}
User {user}
Pass {password}
SSLType None

IMAPStore far
Account a

MaildirStore near
Path {home}/near/
Inbox {home}/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
"""
FETCHMAIL = """
set idfile {home}/fetchids
poll 127.0.0.1 service {pop3} protocol pop3 uidl
user "{user}" password "{password}" sslproto "" keep mda "cat >> {home}/fetchmail.out"
"""
GETMAIL = """
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = {pop3}
username = {user}
password = {password}
[destination]
type = MDA_external
path = /usr/bin/tee
arguments = ("-a", "{home}/getmail.out")
allow_root_commands = true
[options]
read_all = false
delete = false
"""


class Person:
    """Somebody with three programs, who is told nothing of the change."""

    def __init__(self, home: Path, imap: int, pop3: int) -> None:
        self.home, self.imap, self.pop3 = home, imap, pop3
        home.mkdir()
        (home / "near").mkdir()
        for name, text in (("mbsyncrc", MBSYNC), ("fetchmailrc", FETCHMAIL), ("getmailrc", GETMAIL)):
            path = home / name
            path.write_text(text.format(home=home, imap=imap, pop3=pop3, user=ADDRESS, password=PASSWORD))
            path.chmod(0o600)

    def fetch(self) -> dict[str, int]:
        """Lets each program fetch; how many messages each has then."""
        self._run("mbsync", "-c", f"{self.home}/mbsyncrc", "-a")
        self._run(
            "fetchmail", "-f", f"{self.home}/fetchmailrc", "--nosyslog", "--pidfile", f"{self.home}/pid", codes=(0, 1)
        )
        self._run("getmail", "-g", str(self.home))
        return {
            "mbsync": sum(1 for part in ("new", "cur") for _ in (self.home / "near").glob(f"**/{part}/*")),
            "fetchmail": (self.home / "fetchmail.out").read_text().count("\nSubject: "),
            "getmail": (self.home / "getmail.out").read_text().count("\nSubject: "),
        }

    def _run(self, *words: str, codes: tuple[int, ...] = (0,)) -> None:
        need(shutil.which(words[0]) is not None, f"{words[0]} is not installed")
        environ = {**os.environ, "HOME": str(self.home), "FETCHMAILHOME": str(self.home)}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environ)
        assert done.returncode in codes, done.stdout + done.stderr

    def sees(self) -> dict[str, list[Any]]:
        """What a mail program can know of the mailboxes: UIDVALIDITY, UIDs, flags, folders, and the UIDLs of POP3."""
        seen: dict[str, list[Any]] = {}
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=60) as client:
            client.login(ADDRESS, PASSWORD)
            for name in ("INBOX", "Work/Old"):
                client.select(name, readonly=True)
                flags = [line for line in client.uid("FETCH", "1:*", "(FLAGS)")[1] if isinstance(line, bytes)]
                seen[name] = [client.response("UIDVALIDITY")[1], *map(marks, flags)]
            seen["subscribed"] = sorted(line.rpartition(b" ")[2].strip(b'"') for line in client.lsub()[1])
        reader = poplib.POP3("127.0.0.1", self.pop3, timeout=60)
        reader.user(ADDRESS)
        reader.pass_(PASSWORD)
        seen["uidl"] = reader.uidl()[1]
        reader.quit()
        return seen


def marks(line: bytes) -> tuple[bytes, ...]:
    """UID and flags of a FETCH response, without \\Recent, which is whoever comes first's."""
    words = line.replace(b"(", b" ").replace(b")", b" ").split()
    return words[words.index(b"UID") + 1], *sorted(
        word for word in words if word != b"\\Recent" and (word[:1] in b"\\$" or word == b"work")
    )


def fill(imap: int) -> None:
    """Messages, some marked and one removed, and a folder."""
    with imaplib.IMAP4("127.0.0.1", imap, timeout=60) as client:
        client.login(ADDRESS, PASSWORD)
        for number, flags in enumerate(("", "\\Seen", "\\Flagged work", "", "$Forwarded \\Answered")):
            assert client.append("INBOX", f"({flags})", None, message(number).replace(b"\n", b"\r\n"))[0] == "OK"
        client.create("Work/Old")
        client.subscribe("Work/Old")
        client.append("Work/Old", "(work)", None, message(9).replace(b"\n", b"\r\n"))
        client.select()
        client.store("2", "+FLAGS", "\\Deleted")
        client.expunge()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others than root can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_who_has_fetched_from_dovecot_fetches_nothing_again(public, tmp_path):
    with Dovecot(public / "dovecot", PASSWORD) as dovecot:
        fill(dovecot.imap_port)
        person = Person(tmp_path / "home", dovecot.imap_port, dovecot.pop3_port)
        fetched = person.fetch()
        assert fetched == {"mbsync": 5, "fetchmail": 4, "getmail": 4}
        seen = person.sees()
    listeners = LISTENERS.format(imap=dovecot.imap_port, pop3=dovecot.pop3_port)
    readers = Readers(tmp_path, more=listeners)
    shutil.copytree(dovecot.mail, readers.maildir)
    with readers:
        found = person.sees()
        added = set(found["subscribed"]) - set(seen["subscribed"])
        assert added == {b"Archive", b"Drafts", b"Junk", b"Sent", b"Trash"}, (
            "what an account has here from its beginning"
        )
        assert found == seen | {"subscribed": found["subscribed"]}
        assert person.fetch() == fetched
        readers.send(ADDRESS, content="From: Zoe <zoe@example.org>\r\nSubject: new\r\n\r\nText\r\n")
        wait_for(lambda: readers.stored(ADDRESS), 30, "not delivered")
        assert person.fetch() == {"mbsync": 6, "fetchmail": 5, "getmail": 5}
