"""Submissions to a running appliance: whose they may be, and what is left of them when they arrive."""

import smtplib
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.explained import bare

ANNA, BERT = "anna@local.test", "bert@local.test"
PASSWORD = "correct horse battery"
LISTENER = """
[[listener]]
name = "submission"
kind = "submission"
address = "127.0.0.1"
port = {port}
plaintext_login = true
"""
RESENT = (
    f"Resent-From: Anna <{ANNA}>\r\nResent-To: {BERT}\r\nResent-Date: Tue, 01 Dec 2026 08:00:00 +0000\r\n"
    "Resent-Message-ID: <again.1@local.test>\r\nFrom: Friend <friend@elsewhere.example>\r\n"
    f"To: {ANNA}\r\nDate: Mon, 30 Nov 2026 08:00:00 +0000\r\nMessage-ID: <first.1@elsewhere.example>\r\n"
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    port = free_port()
    more = LISTENER.format(port=port) + '\n[smtp]\nlarge_content = "1MiB"\n'
    appliance = Appliance(tmp_path_factory.mktemp("submission"), free_port(), more=more, smtp_workers=1)
    for address in (ANNA, BERT):
        appliance.add_account(address)
    with appliance as running:
        running.submission_port = port  # type: ignore[attr-defined]
        yield running


def submit(relay: Appliance, content: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", relay.submission_port, timeout=60) as client:  # type: ignore[attr-defined]
        client.login(ANNA, PASSWORD)
        client.mail(ANNA)
        client.rcpt(BERT)
        return client.data(content)


def newest(relay: Appliance, marker: bytes) -> bytes:
    """The message with ``marker`` in bert's mailbox."""
    folder: Path = relay.data / "mail" / "local.test" / "bert" / "new"

    def found() -> list[bytes]:
        return [content for path in folder.glob("*") if marker in (content := path.read_bytes())]

    wait_for(found, 30, "not delivered")
    return found()[0]


@pytest.mark.parametrize("lines", [1, 40_000], ids=["small", "large"])
def test_blind_recipients_and_missing_fields(relay, lines):
    content = f"Bcc: eve@x.example,\r\n\t{BERT}\r\nSubject: {lines} lines\r\nResent-Bcc: a@x.example\r\n\r\n" + (
        "Bcc: stays in the body, which is long enough for a file of its own.\r\n" * lines
    )
    assert submit(relay, content)[0] == 250
    header, _, body = newest(relay, b"Subject: %d lines" % lines).partition(b"\n\n")
    assert b"cc:" not in header
    assert b"eve@" not in header
    assert f"\nFrom: <{ANNA}>\n".encode() in header
    assert b"\nDate: " in header
    assert b"\nMessage-ID: " in header
    assert body.count(b"Bcc: stays") == lines


@pytest.mark.parametrize("lines", [1, 60_000], ids=["small", "large"])
def test_what_stands_behind_a_broken_line_is_nobodys_author(relay, lines):
    body = "\r\nThe body of a message that is long enough for a file.\r\n" * lines
    code, text = submit(relay, "Subject: a\r\nno field\r\nFrom: ceo@bank.test\r\n" + body)
    assert (code, bare(text)) == (554, b"5.6.0 Header section cannot be read (RFC 5322 2.2): line 2 is no field")
    assert submit(relay, "Subject: a\r\nFrom: ceo@bank.test\r\n" + body)[0] == 550


def test_a_message_that_is_sent_again_arrives_as_it_was(relay):
    content = RESENT + "Subject: please have a look\r\n\r\ntext\r\n"
    assert submit(relay, content)[0] == 250
    arrived = newest(relay, b"please have a look")
    assert arrived.endswith(content.replace("\r\n", "\n").encode())


@pytest.mark.parametrize(("sender", "code"), [(f"{ANNA}.", 250), (f"{BERT}.", 550), (ANNA.replace("@", ".@"), 550)])
def test_an_account_may_write_its_domain_with_the_dot_of_the_root(relay, sender, code):
    with smtplib.SMTP("127.0.0.1", relay.submission_port, timeout=60) as client:
        client.login(ANNA, PASSWORD)
        assert client.mail(sender)[0] == code
        if code == 250:
            client.rcpt(f"{BERT}.")
            assert client.data("Subject: rooted\r\n\r\nx\r\n")[0] == 250
            content = newest(relay, b"Subject: rooted")
            assert f"\nFrom: <{ANNA}>\n".encode() in content
            assert f"\nDelivered-To: {BERT}\n".encode() in content


def test_a_client_whose_name_is_utf8_sends_ascii_mail(relay):
    """Our Received field never makes a header section an internationalized one (RFC 6531 3.2)."""
    with smtplib.SMTP("127.0.0.1", relay.submission_port, timeout=60) as client:
        assert client.sock is not None
        client.sock.sendall("EHLO käse\r\n".encode())
        assert client.getreply()[0] == 250
        client.ehlo_resp, client.esmtp_features = b"", {"auth": "PLAIN"}
        client.auth("PLAIN", lambda challenge=None: f"\0{ANNA}\0{PASSWORD}")
        client.mail(ANNA)
        client.rcpt(BERT)
        assert client.data("Subject: name\r\n\r\nx\r\n")[0] == 250
    content = newest(relay, b"Subject: name\n")
    assert content.isascii()
    assert b"(HELO k??se)" in content
