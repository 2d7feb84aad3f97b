"""Thunderbird against a running appliance: it sets itself up, reads over IMAP and POP3, and sends.

One Thunderbird is used by all tests of this file; each has messages of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers
from tests.interop.thunderbird import READ, SEND, SET_UP, Thunderbird
from tests.support.appliance import free_port, wait_for

pytestmark = pytest.mark.timeout(180)

MORE = """
[[listener]]
name = "pop3s"
kind = "pop3"
address = "127.0.0.1"
port = {pop3s}
tls = "implicit"

[[listener]]
name = "submission"
kind = "submission"
address = "127.0.0.1"
port = {submission}

[autoconfig]
address = "127.0.0.1"
port = {web}
"""
HOST = "mx.relay.example"
ZOE = "zoe@local.test"
SSL, STARTTLS, PASSWORD_ITSELF = 3, 2, 3
"""Thunderbird's numbers for them (nsMsgSocketType, nsMsgAuthMethod)."""
PARTS = (
    "From: Zoe <zoe@example.org>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "Sch=C3=B6n!\r\n"
    "--b\r\nContent-Type: application/pdf; name=plan.pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8gV29ybGQ=\r\n--b--\r\n"
)


class Desk:
    """A Thunderbird that has set itself up for the account, and the appliance."""

    def __init__(self, readers: Readers, thunderbird: Thunderbird, ports: dict[str, int]) -> None:
        self.readers, self.thunderbird, self.ports = readers, thunderbird, ports
        certificate = ssl.get_server_certificate(("127.0.0.1", readers.imaps_port))
        thunderbird.trust(certificate, readers.imaps_port, ports["submission"], ports["pop3s"])
        self.settings = self.set_up("imap")
        self.shows("INBOX")
        # It makes this one when it comes for the first time, and then knows all folders.
        wait_for((readers.maildir / ".Trash").exists, 30, "it has not come")
        self.shows("Trash")

    def set_up(self, kind: str) -> Any:
        """Lets Thunderbird ask for the settings and make the account; what it was told."""
        return self.thunderbird.do(SET_UP, address=ADDRESS, password=PASSWORD, type=kind)

    def deliver(self, *contents: str) -> None:
        """New messages in INBOX; returns when they are there.

        Thunderbird overlooks an EXISTS in the answer of a FETCH until it asks again, so it must not come while it does.
        """
        before = self.held()
        for content in contents:
            self.readers.send(ADDRESS, content=content)
        wait_for(lambda: self.held() >= before + len(contents), 30, "not delivered")

    def held(self) -> int:
        """How many messages the Maildir has in INBOX."""
        return sum(1 for part in ("new", "cur") for _ in (self.readers.maildir / part).glob("*"))

    def receive(self, *subjects: str) -> None:
        """New messages that Thunderbird has seen."""
        self.deliver(*(f"From: Zoe <{ZOE}>\r\nSubject: {subject}\r\n\r\nText\r\n" for subject in subjects))
        self.shows("INBOX", *subjects)

    def shows(self, folder: str, *subjects: str) -> None:
        """Waits until Thunderbird shows messages of these subjects in the folder."""
        self.thunderbird.open(folder)
        wait_for(lambda: set(subjects) <= set(self.thunderbird.subjects(folder)), 30, lambda: f"{subjects} in {folder}")


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("thunderbird")
    ports = {name: free_port() for name in ("pop3s", "submission", "web")}
    thunderbird = Thunderbird(root / "thunderbird", host=HOST, domain="local.test", web=ports["web"])
    readers = Readers(root, more=MORE.format(**ports))
    readers.add_account(ZOE)
    with readers, thunderbird:
        yield Desk(readers, thunderbird, ports)


def test_thunderbird_sets_itself_up_from_the_autoconfiguration(desk):
    assert desk.settings == [
        ["imap", HOST, desk.readers.imaps_port, SSL, PASSWORD_ITSELF, ADDRESS],
        ["smtp", HOST, desk.ports["submission"], STARTTLS, PASSWORD_ITSELF, ADDRESS],
    ]


def test_it_reads_text_and_attachments(desk):
    desk.deliver(PARTS)
    desk.shows("INBOX", "grüße")
    assert desk.thunderbird.do(READ, name="INBOX", subject="grüße") == {
        "from": "Zoe <zoe@example.org>",
        "text": "Schön!",
        "attachments": [["plan.pdf", "application/pdf", 11]],
    }


def test_what_it_marks_is_marked_for_everybody_and_what_others_mark_is_seen(desk):
    desk.receive("mark me")
    desk.thunderbird.do(
        "const folder = folderOf('INBOX');\n"
        "const messages = [messageOf(folder, 'mark me')];\n"
        "folder.markMessagesRead(messages, true);\n"
        "folder.markMessagesFlagged(messages, true);\n"
        "folder.addKeywordsToMessages(messages, '$label1');"
    )
    with desk.readers.client() as other:
        other.select()
        wanted = ["SUBJECT", '"mark me"', "SEEN", "FLAGGED", "KEYWORD", "$label1"]
        wait_for(lambda: other.noop() and other.uid("SEARCH", *wanted)[1] != [b""], 30, "the marks are not seen")
        uid = other.uid("SEARCH", *wanted)[1][0].decode()
        other.uid("STORE", uid, "-FLAGS", "(\\Seen \\Flagged)")
    wait_for(lambda: ["mark me", False, False] in desk.thunderbird.messages("INBOX"), 30, "still marked")


def test_it_makes_a_folder_and_moves_and_deletes_messages(desk):
    desk.receive("move me", "delete me")
    folder, name = "Büro & Büro", '"B&APw-ro &- B&APw-ro"'
    desk.thunderbird.do("rootOf('imap').createSubfolder(name, null);", name=folder)
    wait_for(lambda: desk.thunderbird.messages(folder) == [], 30, "the folder is not made")
    desk.thunderbird.do(
        "const from = folderOf('INBOX');\n"
        "const messages = [messageOf(from, 'move me')];\n"
        "await done(end => MailServices.copy.copyMessages(from, messages, folderOf(folder), true, end, null, false));\n"
        "await done(end => from.deleteMessages([messageOf(from, 'delete me')], null, false, true, end, false));",
        folder=folder,
    )
    desk.shows(folder, "move me")
    desk.shows("Trash", "delete me")
    with desk.readers.client() as other:
        assert other.status(name, "(MESSAGES)")[1] == [name.encode() + b" (MESSAGES 1)"]
        assert other.status("Trash", "(MESSAGES)")[1] == [b'"Trash" (MESSAGES 1)']
        other.select()
        assert other.search(None, "OR", "SUBJECT", '"move me"', "SUBJECT", '"delete me"')[1] == [b""]


def test_new_mail_is_shown_though_it_does_not_ask(desk):
    """It waits in IDLE (RFC 2177) two seconds after its last command; by the clock it would ask after ten minutes."""
    desk.receive("before")
    numbers = itertools.count()

    def is_shown() -> bool:
        desk.deliver(f"Subject: pushed {next(numbers)}\r\n\r\nText\r\n")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: "pushed 0" in desk.thunderbird.subjects("INBOX"), 4, "not yet in IDLE")
            return True
        return False

    wait_for(is_shown, 30, "nothing is shown")


def test_it_sends_with_login_and_keeps_a_copy(desk, tmp_path):
    path = tmp_path / "täglich.csv"
    path.write_text("a,b\n" * 100)
    desk.thunderbird.do(SEND, to=ZOE, subject="Hallo – Zoe", text="Hello\n.dot\n", path=str(path))
    wait_for(lambda: desk.readers.stored(ZOE), 30, "nothing has come")
    (content,) = desk.readers.stored(ZOE)
    assert f"Return-Path: <{ADDRESS}>".encode() in content
    assert b"with ESMTPSA (TLSv1.3 " in content
    assert b"\n.dot\n" in content
    desk.shows("Sent", "Hallo – Zoe")
    assert desk.thunderbird.do(READ, name="Sent", subject="Hallo – Zoe") == {
        "from": f"Anna <{ADDRESS}>",
        "text": "Hello\n.dot",
        "attachments": [["täglich.csv", "text/csv", 400]],
    }


def test_after_a_restart_it_catches_up_with_what_others_have_done(desk):
    desk.receive("stays", "goes", "changes")
    desk.thunderbird.stop()
    with desk.readers.client() as other:
        other.select()
        for subject, flag in (("goes", "\\Deleted"), ("changes", "\\Flagged")):
            other.store(other.search(None, "SUBJECT", subject)[1][0].decode(), "+FLAGS", flag)
        other.expunge()
    desk.deliver("Subject: comes\r\n\r\nText\r\n")
    desk.thunderbird.start()
    desk.shows("INBOX", "stays", "changes", "comes")
    wait_for(lambda: "goes" not in desk.thunderbird.subjects("INBOX"), 30, "what was expunged is shown")
    wait_for(lambda: ["changes", False, True] in desk.thunderbird.messages("INBOX"), 30, "the flag is not shown")


def test_it_fetches_over_pop3_and_knows_what_it_has(desk):
    desk.receive("by POP3")
    settings = desk.set_up("pop3")
    assert settings[0] == ["pop3", HOST, desk.ports["pop3s"], SSL, PASSWORD_ITSELF, ADDRESS]
    fetch = (
        "const server = accountOf('pop3').incomingServer;\n"
        "server.setBoolValue('leave_on_server', true);\n"
        "await done(end => MailServices.pop3.GetNewMail(null, end, folderOf('Inbox', 'pop3'), server));"
    )
    desk.thunderbird.do(fetch)
    first = desk.thunderbird.subjects("Inbox", "pop3")
    assert first == desk.thunderbird.subjects("INBOX")
    desk.thunderbird.do(fetch)
    assert desk.thunderbird.subjects("Inbox", "pop3") == first
