"""Real IMAP clients against a running appliance: imaplib, curl, mutt, mbsync, offlineimap."""

import contextlib
import imaplib
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers, message
from tests.support.needs import need
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def run(*words: str, home: Path, **more) -> subprocess.CompletedProcess[str]:
    """A client program, with its home in a folder of the test."""
    environ = {**os.environ, "HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    return subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, env=environ, **more)


def need_program(name: str) -> None:
    need(shutil.which(name) is not None, f"{name} is not installed")


def answer(result):
    """What an imaplib command brought, when it was OK."""
    kind, data = result
    assert kind == "OK", data
    return data


# ---- imaplib --------------------------------------------------------------------------------------------------------


def test_a_new_account_has_the_mailboxes_that_programs_look_for(tmp_path):
    """RFC 6154."""
    with Readers(tmp_path) as readers:
        client = readers.client()
        found = {line.decode().rpartition('"/" ')[2].strip('"'): line for line in answer(client.list())}
        assert set(found) == {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}
        for use in ("Archive", "Drafts", "Junk", "Sent", "Trash"):
            assert f"\\{use}".encode() in found[use]
        assert len(answer(client.lsub())) == 6
        answer(client.delete("Archive"))
        client.logout()
        client = readers.client()
        assert len(answer(client.list())) == 5, "what its owner removes stays away"
        client.logout()


def test_imaplib_does_what_a_mail_program_does(tmp_path):
    with Readers(tmp_path) as readers:
        readers.send(ADDRESS, content="Subject: by SMTP\r\n\r\nhello\r\n")
        client = readers.client()
        wait_until(lambda: answer(client.select())[0] != b"0", "the message is not there")
        assert b"Subject: by SMTP" in answer(client.fetch("1", "(BODY.PEEK[HEADER])"))[0][1]
        answer(client.create("Kept"))
        answer(client.append("INBOX", "(\\Flagged)", None, b"Subject: appended\r\n\r\n" + b"x" * 70 + b"\r\n"))
        assert answer(client.search(None, "FLAGGED")) == [b"2"]
        assert answer(client.uid("SEARCH", "SUBJECT", "appended")) == [b"2"]
        answer(client.copy("2", "Kept"))
        answer(client.store("2", "+FLAGS", "\\Deleted"))
        assert answer(client.expunge()) == [b"2"]
        assert answer(client.status("Kept", "(MESSAGES)")) == [b'"Kept" (MESSAGES 1)']
        answer(client.select("Kept", readonly=True))
        assert answer(client.fetch("1", "(RFC822.SIZE)"))[0] == b"1 (RFC822.SIZE 93)"
        client.logout()
        lines = wait_until(lambda: [line for line in readers.events() if line["kind"] == "session"], every=0.05)
        assert lines[-1]["account"] == ADDRESS


def test_a_message_of_30_mib_comes_back_as_it_went_in_under_tls(tmp_path):
    content = b"Subject: large\r\n\r\n" + b"".join(b"%075d\r\n" % number for number in range(400_000))
    with Readers(tmp_path) as readers:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = imaplib.IMAP4_SSL("127.0.0.1", readers.imaps_port, ssl_context=context, timeout=120)
        client.login(ADDRESS, PASSWORD)
        answer(client.append("INBOX", None, None, content))
        answer(client.select())
        assert answer(client.fetch("1", "(BODY.PEEK[])"))[0][1] == content
        assert answer(client.fetch("1", "(BODY.PEEK[]<30000000.77>)"))[0][1] == content[30_000_000:30_000_077]
        client.logout()


def test_an_idle_client_is_told_of_mail_and_of_files_that_another_program_changes(tmp_path):
    with Readers(tmp_path) as readers:
        client = readers.client()
        answer(client.select())
        client.send(b"i IDLE\r\n")
        assert client.readline().startswith(b"+")
        readers.send(ADDRESS)
        assert client.readline() == b"* 1 EXISTS\r\n"
        assert client.readline().endswith(b"RECENT\r\n")
        (path,) = [*readers.maildir.glob("cur/*"), *readers.maildir.glob("new/*")]
        path.rename(readers.maildir / "cur" / (path.name.partition(":")[0] + ":2,F"))
        assert b"\\Flagged" in client.readline()
        client.send(b"DONE\r\n")
        assert client.readline().startswith(b"i OK")
        client.logout()


def test_a_drain_says_goodbye_to_who_is_idle(tmp_path):
    with Readers(tmp_path) as readers:
        client = readers.client()
        answer(client.select())
        readers.end()
        assert client.readline().startswith(b"* BYE")
        with contextlib.suppress(OSError):
            client.shutdown()


# ---- programs -------------------------------------------------------------------------------------------------------


def test_curl_reads_a_message_over_tls(tmp_path):
    need_program("curl")
    with Readers(tmp_path) as readers:
        readers.fill(3)
        user = f"{ADDRESS}:{PASSWORD}"
        base = ["curl", "-sSk", "--user", user, "--max-time", "60"]
        url = f"imaps://127.0.0.1:{readers.imaps_port}/INBOX"
        assert "This is message" in run(*base, f"{url};MAILINDEX=2", home=tmp_path).stdout
        assert run(*base, url, "-X", "SEARCH ALL", home=tmp_path).stdout.strip() == "* SEARCH 1 2 3"


def test_mutt_saves_what_it_sends(tmp_path):
    need_program("mutt")
    with Readers(tmp_path) as readers:
        client = readers.client()
        (tmp_path / "muttrc").write_text(
            f'set folder="imap://127.0.0.1:{readers.imap_port}/"\nset imap_user="{ADDRESS}"\n'
            f'set imap_pass="{PASSWORD}"\nset ssl_starttls=no\nset ssl_force_tls=no\n'
            "set confirmcreate=no\nset confirmappend=no\n"
            'set sendmail="/bin/true"\nset copy=yes\nset record="=Sent"\nset from="anna@local.test"\n'
        )
        words = ("timeout", "60", "mutt", "-n", "-F", f"{tmp_path}/muttrc", "-s", "from mutt", "--", "zoe@example.org")
        done = run(*words, home=tmp_path, input="Hello Zoe.\n")
        answer(client.select("Sent"))
        header = answer(client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (Subject)])"))[0][1]
        assert header == b"Subject: from mutt\r\n\r\n", done.stderr + done.stdout
        client.logout()


MBSYNCRC = """
FSync no

IMAPAccount relay
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
SSLType None
Timeout 120

IMAPStore far
Account relay

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


@pytest.mark.slow
def test_mbsync_syncs_10000_messages_both_ways_and_then_finds_nothing_to_do(tmp_path):
    need_program("mbsync")
    count = 10_000
    with Readers(tmp_path) as readers:
        readers.fill(count)
        near = tmp_path / "near"
        near.mkdir()
        (tmp_path / ".mbsyncrc").write_text(
            MBSYNCRC.format(port=readers.imap_port, user=ADDRESS, password=PASSWORD, near=near)
        )
        done = run("mbsync", "-a", home=tmp_path)
        assert done.returncode == 0, done.stderr
        stored = sorted([*(near / "INBOX/new").iterdir(), *(near / "INBOX/cur").iterdir()])
        assert len(stored) == count
        first = {path.name: path.stat().st_ino for path in stored}
        again = run("mbsync", "-a", home=tmp_path)
        assert again.returncode == 0, again.stderr
        kept = [*(near / "INBOX/new").iterdir(), *(near / "INBOX/cur").iterdir()]
        assert {path.name: path.stat().st_ino for path in kept} == first

        # now a change on each side
        (near / "INBOX/cur" / "1.1.near:2,S").write_bytes(message(99_999))
        client = readers.client()
        answer(client.select())
        answer(client.store("1:10", "+FLAGS", "\\Deleted"))
        answer(client.expunge())
        assert run("mbsync", "-a", home=tmp_path).returncode == 0
        assert answer(client.select())[0] == b"%d" % (count - 9)
        kept = [*(near / "INBOX/new").iterdir(), *(near / "INBOX/cur").iterdir()]
        assert len(kept) == count - 9
        client.logout()


OFFLINEIMAPRC = """
[general]
accounts = relay
ui = quiet
[Account relay]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {near}
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = no
starttls = no
"""


def test_offlineimap_syncs(tmp_path):
    need_program("offlineimap")
    with Readers(tmp_path) as readers:
        readers.fill(20)
        near = tmp_path / "near"
        (tmp_path / ".offlineimaprc").write_text(
            OFFLINEIMAPRC.format(port=readers.imap_port, user=ADDRESS, password=PASSWORD, near=near)
        )
        done = run("offlineimap", "-o", home=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        assert len([*near.glob("INBOX/new/*"), *near.glob("INBOX/cur/*")]) == 20
