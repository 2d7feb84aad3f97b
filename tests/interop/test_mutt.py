"""mutt at a terminal: reading over IMAP and POP3, and changing the Maildir itself while others have it open."""

from __future__ import annotations

import fcntl
import os
import poplib
import pty
import select
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers
from tests.support.appliance import free_port, wait_for
from tests.support.needs import need

pytestmark = pytest.mark.timeout(180)

POP3 = """
[[listener]]
name = "pop3"
kind = "pop3"
address = "127.0.0.1"
port = {port}
plaintext_login = true
"""
SETTINGS = """\
set folder="{home}"
set imap_user="{user}" imap_pass="{password}" pop_user="{user}" pop_pass="{password}"
set ssl_starttls=no ssl_force_tls=no delete=yes quit=yes mark_old=no wait_key=no confirmappend=no confirmcreate=no
set timeout=1 mail_check=1 imap_poll_timeout=0 sort=subject pop_checkinterval=1 move=no
set index_format="%S %s"
"""
REDRAW = b"\x0c"


class Mutt:
    """It shows a mailbox at a terminal of its own; use as a context manager, which quits it."""

    def __init__(self, home: Path, mailbox: str | Path) -> None:
        need(shutil.which("mutt") is not None, "mutt is not installed")
        settings = home / "muttrc"
        settings.write_text(SETTINGS.format(home=home, user=ADDRESS, password=PASSWORD))
        self._terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            ["mutt", "-n", "-F", str(settings), "-f", str(mailbox)],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**os.environ, "HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.press("q")
            self._read()
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._terminal)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._terminal, keys.encode())

    def shows(self, text: str) -> None:
        """Waits until ``text``, which has no spaces, is on the screen."""
        seen = b""

        def is_there() -> bool:
            nonlocal seen
            os.write(self._terminal, REDRAW)
            seen = self._read()
            return text.encode() in seen

        wait_for(is_there, 20, lambda: f"{text} is not on the screen: {seen!r}")

    def _read(self) -> bytes:
        """What comes until nothing has come for a while."""
        octets = b""
        while select.select([self._terminal], [], [], 0.3)[0]:
            try:
                octets += os.read(self._terminal, 65536)
            except OSError:  # it has ended
                break
        return octets


class Both(Readers):
    """With a listener for POP3, too."""

    def __init__(self, root: Path, port: int) -> None:
        self.pop3_port = port
        super().__init__(root, more=POP3.format(port=port))


@pytest.fixture
def readers(tmp_path) -> Iterator[Both]:
    port = free_port()
    with Both(tmp_path, port) as readers:
        for number in range(4):
            deliver(readers, number)
            wait_for(partial(is_stored, readers, f"body-{number}".encode()), 30, "not delivered")
        yield readers


def deliver(readers: Readers, number: int) -> None:
    readers.send(ADDRESS, content=f"From: Zoe <zoe@example.org>\r\nSubject: subject-{number}\r\n\r\nbody-{number}\r\n")


def is_stored(readers: Readers, text: bytes) -> bool:
    return any(text in content for content in readers.stored(ADDRESS))


def state(readers):
    """Subject and flags of each message in INBOX, by IMAP."""
    with readers.client() as client:
        client.select(readonly=True)
        found = {}
        for number in client.search(None, "ALL")[1][0].split():
            _, ((line, field), *rest) = client.fetch(number.decode(), "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            flags = (line + b"".join(rest)).decode()
            subject = field.decode().removeprefix("Subject: ").strip()
            found[subject] = {name for name in ("Seen", "Flagged", "Answered", "Deleted") if f"\\{name}" in flags}
    return found


def test_mutt_reads_marks_and_deletes_over_imap(readers, tmp_path):
    with Mutt(tmp_path, f"imap://127.0.0.1:{readers.imap_port}/INBOX") as mutt:
        mutt.shows("subject-3")
        mutt.press("1\r\r")
        mutt.shows("body-0")
        mutt.press("i2\rF3\rd$")
        wanted = {"subject-0": {"Seen"}, "subject-1": {"Flagged"}, "subject-3": set()}
        wait_for(lambda: state(readers) == wanted, 30, lambda: str(state(readers)))
        deliver(readers, 4)
        mutt.shows("subject-4")


def test_mutt_reads_and_deletes_over_pop3(readers, tmp_path):
    with Mutt(tmp_path, f"pop://127.0.0.1:{readers.pop3_port}") as mutt:
        mutt.shows("subject-3")
        mutt.press("2\r\r")
        mutt.shows("body-1")
        mutt.press("i3\rd$")
        mutt.shows("subject-1")
    wait_for(lambda: set(state(readers)) == {"subject-0", "subject-1", "subject-3"}, 30, lambda: str(state(readers)))


def test_what_mutt_and_a_shell_change_in_the_maildir_is_seen_by_who_has_it_open(readers, tmp_path):
    """IMAP tells of it at once; a POP3 session goes on with the maildrop that it began with (RFC 1939 8)."""
    client = readers.client()
    client.select()
    pop3 = poplib.POP3("127.0.0.1", readers.pop3_port, timeout=60)
    pop3.user(ADDRESS)
    pop3.pass_(PASSWORD)
    uidls = pop3.uidl()[1]
    uids = client.uid("SEARCH", "ALL")[1]
    with Mutt(tmp_path, readers.maildir) as mutt:
        mutt.shows("subject-3")
        mutt.press("1\r\r")
        mutt.shows("body-0")
        mutt.press("i2\rF3\rd$")
        wait_for(lambda: len(told(client, "ALL")) == 3, 30, "what mutt removed is still told")
        assert told(client, "SEEN") == told(client, "SUBJECT", "subject-0") == [b"1"]
        assert told(client, "FLAGGED") == told(client, "SUBJECT", "subject-1") == [b"2"]
        shell(readers, "mv new/* cur/ 2>/dev/null; f=$(grep -l subject-3 cur/*); mv $f ${f%:2,*}:2,RS")
        shell(readers, "printf 'Subject: subject-9\\n\\nby hand\\n' > tmp/9.9.hand && mv tmp/9.9.hand new/")
        mutt.shows("subject-9")
    wait_for(lambda: told(client, "ANSWERED", "SEEN"), 30, "what the shell marked is not told")
    assert told(client, "SUBJECT", "subject-9") == [b"4"]
    assert client.uid("SEARCH", "1:3")[1][0].split() == [uid for uid in uids[0].split() if uid != b"3"]
    assert pop3.uidl()[1] == uidls
    assert pop3.retr(4)[1][-1] == b"body-3"
    with pytest.raises(poplib.error_proto):
        pop3.retr(3)
    pop3.quit()
    client.logout()


def told(client, *criteria):
    """Sequence numbers, after what is new has been told."""
    client.noop()
    return client.search(None, *criteria)[1][0].split()


def shell(readers: Readers, script: str) -> None:
    subprocess.run(["sh", "-c", script], cwd=readers.maildir, check=True, timeout=30)
