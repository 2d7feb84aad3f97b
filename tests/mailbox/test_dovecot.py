"""A Maildir of Dovecot's is taken over: same UIDVALIDITY, UIDs, flags, keywords, folders, subscriptions, UIDLs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.mailbox import dovecot
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import FIRST_KEYWORD, RECENT, SEEN, How
from tests.support.needs import need

IMAP = Path("/usr/lib/dovecot/imap")
NOBODY = 65534
"""Dovecot does not work for root."""

UIDLIST = """3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
25006 W2345 S1234 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,
25017 PUIDL-of-old :1276533073.M242911P3632.kurkku:2,F
25016 :out-of-order
junk
25018 no colon
25021 :1276533074.M242911P3632.kurkku
"""


def dovecot_imap(folder: Path, *commands: bytes) -> str:
    """What Dovecot's own IMAP says to ``commands`` at the Maildir ``folder``."""
    user = os.getuid() or NOBODY
    config = folder.parent / "dovecot.conf"
    config.write_text(
        f"base_dir = {folder.parent}/base\nmail_location = maildir:{folder}\nlog_path = /dev/stderr\n"
        f"mail_uid = {user}\nmail_gid = {os.getgid() or NOBODY}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"
        "namespace inbox {\n inbox = yes\n separator = /\n}\n"
    )
    (folder.parent / "base").mkdir(exist_ok=True)
    if os.getuid() == 0:
        for path in (folder.parent, *folder.parent.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    done = subprocess.run(
        [IMAP, "-c", config],
        input=b"".join(b"a " + command + b"\r\n" for command in commands) + b"z LOGOUT\r\n",
        capture_output=True,
        env={**os.environ, "HOME": str(folder.parent), "USER": "ann", "USERNAME": "ann"},
        timeout=60,
        check=False,
    )
    assert b"z OK" in done.stdout, done
    return done.stdout.decode()


def append(name: bytes, flags: bytes, octets: bytes) -> bytes:
    return b"APPEND %s (%s) {%d+}\r\n%s" % (name, flags, len(octets), octets)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A Maildir to be that others than root can reach."""
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        yield Path(parent) / "mail"


def test_a_real_dovecot_maildir_is_taken_over_and_can_be_given_back(folder):
    need(IMAP.exists(), "dovecot-imapd is not installed")
    said = dovecot_imap(
        folder,
        append(b"INBOX", b"\\Seen $Work", b"Subject: one\r\n\r\ntext\r\n"),
        append(b"INBOX", b"", b"Subject: two\r\n\r\n"),
        append(b"INBOX", b"\\Flagged later $Work", b"Subject: three\r\n\r\n"),
        b'CREATE "Work/&AMQ-pfel"',
        b'SUBSCRIBE "Work/&AMQ-pfel"',
        append(b'"Work/&AMQ-pfel"', b"", b"Subject: four\r\n\r\n"),
        b"SELECT INBOX",
        b"STORE 2 +FLAGS (\\Deleted)",
        b"EXPUNGE",
        b"STATUS INBOX (UIDVALIDITY UIDNEXT)",
    )
    store = FolderStore(folder)
    view = store.open("INBOX")
    assert f"UIDVALIDITY {view.uidvalidity}" in said
    assert f"UIDNEXT {view.uidnext}" in said
    assert list(view.uids) == [1, 3]
    names = [set(view.flag_names(mask & ~RECENT)) for mask in view.flags]
    assert names == [{"\\Seen", "$Work"}, {"\\Flagged", "later", "$Work"}]
    assert [view.uidl(0), view.uidl(1)] == [f"{uid:08x}{view.uidvalidity:08x}" for uid in (1, 3)]
    (other,) = [each for each in store.list() if each.name == "Work/Äpfel"]
    assert other.exists
    assert other.subscribed
    assert store.status("Work/Äpfel").messages == 1

    view.store_flags([1], How.ADD, ["third", "\\Answered"])
    said = dovecot_imap(folder, b"SELECT INBOX", b"FETCH 1:* (UID FLAGS)")
    assert f"UIDVALIDITY {view.uidvalidity}" in said
    (line,) = [line for line in said.splitlines() if "FETCH (UID 1 " in line]
    assert {"\\Seen", "\\Answered", "$Work", "third"} <= set(line.replace("(", " ").replace(")", " ").split())

    dovecot_imap(folder, b"SELECT INBOX", b"STORE 2 +FLAGS (\\Seen)", b"STORE 1 +FLAGS (\\Deleted)", b"EXPUNGE")
    changes = view.refresh()
    assert list(changes.vanished) == [(1, 1)]
    assert list(changes.changed) == [3]
    assert view.flags[0] & SEEN


def test_lines_of_a_uidlist_that_make_no_sense_are_left_out():
    parsed = dovecot.parse(UIDLIST)
    assert parsed is not None
    assert (parsed.uidvalidity, parsed.uidnext) == (1275660208, 25022)
    assert [(entry.uid, entry.uidl) for entry in parsed.entries] == [(25006, ""), (25017, "UIDL-of-old"), (25021, "")]
    assert parsed.entries[0].base == "1276528487.M364837P9451.kurkku,S=1355,W=1394"


def test_the_first_version_of_a_uidlist_is_read():
    parsed = dovecot.parse("1 1275660208 7\n5 1276528487.M1P1.host:2,S\n")
    assert parsed == (1275660208, 7, [(5, "1276528487.M1P1.host", "")])


@pytest.mark.parametrize("text", ["", "\n", "2 V1 N1", "3 N5", "3 V0 N1", "3 V99999999999 N1", "3 Vx N1", "1"])
def test_what_is_no_uidlist_is_not_taken(text):
    assert dovecot.parse(text) is None


def test_old_files_alone_are_enough(tmp_path):
    """UIDs that are not in the folder any more are never given again, and POP3 keeps the names it knew."""
    for place in ("cur", "new", "tmp"):
        (tmp_path / place).mkdir()
    (tmp_path / "dovecot-uidlist").write_text(UIDLIST)
    (tmp_path / "dovecot-keywords").write_text("0 first\n2 third\n")
    (tmp_path / "cur" / "1276533073.M242911P3632.kurkku:2,Fc").write_text("A: b\n\n")
    (tmp_path / "new" / "1276533074.M242911P3632.kurkku").write_text("A: c\n\n")
    (tmp_path / "new" / "1276533075.M1P1.kurkku").write_text("A: d\n\n")
    view = FolderStore(tmp_path).open("INBOX")
    assert list(view.uids) == [25017, 25021, 25022]
    assert view.uidl(0) == "UIDL-of-old"
    assert list(view.keywords) == ["first", "unknown-1", "third"]
    assert view.flags[0] >> FIRST_KEYWORD == 4
    assert [bool(mask & RECENT) for mask in view.flags] == [False, True, True]
    assert view.highestmodseq > 1_700_000_000


def test_what_dovecot_expunged_is_told_to_a_client_that_remembers_its_modseq(tmp_path):
    """RFC 7162 3.2.5.2: what is longer ago than is remembered is told in full."""
    for place in ("cur", "new", "tmp"):
        (tmp_path / place).mkdir()
    (tmp_path / "dovecot-uidlist").write_text("3 V7 N6\n1 :a\n2 :b\n5 :c\n")
    (tmp_path / "cur" / "b:2,").write_text("A: b\n\n")
    view = FolderStore(tmp_path).open("INBOX")
    assert list(view.vanished_since(17)) == [1, 3, 4, 5]
