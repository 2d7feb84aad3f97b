"""Files in a mailbox that the running appliance cannot use: one unreadable message, a folder of somebody else's, a pipe
where a script should be. The appliance serves as another user than root, so what is root's alone is unreadable."""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers
from tests.support.appliance import free_port, wait_for
from tests.support.readable import for_everybody

POP3 = """
[[listener]]
name = "pop3"
kind = "pop3"
address = "127.0.0.1"
port = {port}
plaintext_login = true
"""
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
BAD = "1700000003.bad.host:2,"


@pytest.fixture(scope="module")
def relay() -> Iterator[Readers]:
    folder = Path(tempfile.mkdtemp(prefix="relay-test-"))
    folder.chmod(0o777)
    port = free_port()
    readers = Readers(
        folder,
        top='user = "nobody"',
        more=POP3.format(port=port) + '\n[queue]\nretry_first = "1s"\nretry_max = "1s"\n',
        wrap=for_everybody(folder) if os.geteuid() == 0 else (),
    )
    readers.pop3_port = port  # type: ignore[attr-defined]
    own(readers.data)
    with readers:
        yield readers
    shutil.rmtree(folder)


def own(folder: Path) -> None:
    """Makes all of it nobody's."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "nobody")


@pytest.fixture
def imap(relay) -> Iterator[imaplib.IMAP4]:
    """INBOX holds three good messages and nothing else."""
    client = relay.client()
    client.select()
    client.uid("STORE", "1:*", "+FLAGS.SILENT", "(\\Deleted)")
    client.expunge()
    for number in range(3):
        client.append("INBOX", "", "", b"Subject: good %d\r\n\r\nfindme\r\n" % number)
    yield client
    with contextlib.suppress(imaplib.IMAP4.error, OSError):
        client.logout()


def told(relay, path: Path) -> list[dict]:
    return [each for each in relay.events() if each.get("file") == str(path)]


@NEEDS_ROOT
@pytest.mark.parametrize("kind", ["root", "folder", "fifo", "link"])
def test_one_bad_file_costs_the_others_nothing(relay, imap, kind):
    path = relay.maildir / "cur" / f"{kind}{BAD}"
    is_message = kind == "root"
    match kind:
        case "root":
            path.write_bytes(b"Subject: bad\n\nfindme\n")
            path.chmod(0o600)
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/etc/passwd")
    try:
        wait_for(lambda: imap.select()[1][0] == (b"4" if is_message else b"3"), 30, "the number of messages")
        for items in ("(UID RFC822.SIZE)", "(UID ENVELOPE)", "(BODY.PEEK[TEXT])", "(UID FLAGS)"):
            imap.untagged_responses.clear()
            done, _ = imap.fetch("1:*", items)
            needs_content = "ENVELOPE" in items or "TEXT" in items
            assert done == ("NO" if is_message and needs_content else "OK")
        assert len(imap.search(None, "BODY", "findme")[1][0].split()) == 3
        assert len(imap.search(None, "SUBJECT", "good")[1][0].split()) == 3
        assert len(imap.sort("(SUBJECT)", "UTF-8", "ALL")[1][0].split()) == 3
        pop3 = poplib.POP3("127.0.0.1", relay.pop3_port, timeout=30)
        pop3.user(ADDRESS)
        pop3.pass_(PASSWORD)
        assert pop3.stat()[0] == 3 + is_message
        for number in range(1, 4 + is_message):
            with contextlib.ExitStack() as stack:
                if is_message and number == 4:
                    stack.enter_context(pytest.raises(poplib.error_proto, match="SYS/PERM"))
                assert b"findme" in pop3.retr(number)[1]
        pop3.quit()
        wait_for(lambda: told(relay, path), 30, "the log names it")
        assert len(told(relay, path)) == 1, "once an hour"
        found = relay.result("mailbox", "fsck", ADDRESS)
        assert found.returncode != 0
        assert str(path) in found.stdout
    finally:
        path.rmdir() if kind == "folder" else path.unlink()


@NEEDS_ROOT
def test_a_mailbox_that_is_somebody_elses_is_told_to_client_and_operator(relay):
    folder = relay.data / "mail" / "local.test" / "bert"
    relay.run("account", "add", "bert@local.test", "--password-stdin", text=PASSWORD + "\n")
    folder.mkdir(mode=0o700)
    wait_for(lambda: logs_in(relay, "bert@local.test"), 30, "the login is answered by UNAVAILABLE")
    pop3 = poplib.POP3("127.0.0.1", relay.pop3_port, timeout=30)
    pop3.user("bert@local.test")
    with pytest.raises(poplib.error_proto, match="SYS/PERM"):
        pop3.pass_(PASSWORD)
    pop3.close()
    wait_for(lambda: any(str(folder) in str(each.get("file")) for each in relay.events()), 30, "the log names it")
    wait_for(lambda: accepts(relay, "bert@local.test"), 30, "the account is known")
    wait_for(lambda: relay.deliveries("bert@local.test"), 30, "an attempt")
    (first, *_) = relay.deliveries("bert@local.test")
    assert first["outcome"] == "deferred"
    assert str(folder) not in first["text"]
    own(folder)
    wait_for(lambda: relay.stored("bert@local.test"), 30, "it is delivered when the owner is right")


def logs_in(relay, address: str) -> bool:
    """Whether the login is refused as it should be: not at the password."""
    client = imaplib.IMAP4("127.0.0.1", relay.imap_port, timeout=30)
    try:
        client.login(address, PASSWORD)
    except imaplib.IMAP4.error as fault:
        return "UNAVAILABLE" in str(fault)
    finally:
        client.shutdown()
    return False


@NEEDS_ROOT
@pytest.mark.parametrize("kind", ["fifo", "root", "folder", "link"])
def test_a_script_that_cannot_be_read_keeps_the_message(relay, kind):
    """It goes to INBOX, with a notice to the owner; no thread waits for a pipe."""
    address = f"script-{kind}@local.test"
    relay.run("account", "add", address, "--password-stdin", text=PASSWORD + "\n")
    maildir = relay.data / "mail" / "local.test" / f"script-{kind}"
    (maildir / "sieve").mkdir(parents=True)
    path = maildir / "sieve" / "main.sieve"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "root":
            path.write_text("discard;")
        case "folder":
            path.mkdir()
        case "link":
            (maildir / "other").write_text("discard;")
            path.symlink_to(maildir / "other")
    (maildir / "sieve" / "active").symlink_to("main.sieve")
    for each in (maildir, maildir / "sieve"):
        shutil.chown(each, "nobody")
    if kind == "root":
        path.chmod(0o600)
    wait_for(lambda: accepts(relay, address), 30, "the account is known")
    wait_for(lambda: len(relay.stored(address)) >= 2, 30, lambda: f"message and notice: {relay.deliveries(address)}")
    wait_for(lambda: told(relay, path), 30, "the log names it")


def accepts(relay, address: str) -> bool:
    try:
        relay.send(address)
    except AssertionError:
        return False
    return True


@NEEDS_ROOT
def test_a_mailbox_whose_new_is_a_link_defers_and_says_no_path(relay):
    address = "linked@local.test"
    relay.run("account", "add", address, "--password-stdin", text=PASSWORD + "\n")
    folder = relay.data / "mail" / "local.test" / "linked"
    (folder / "cur").mkdir(parents=True)
    (folder / "tmp").mkdir()
    (relay.data / "elsewhere").mkdir(exist_ok=True)
    (folder / "new").symlink_to(relay.data / "elsewhere")
    own(folder / "cur")
    own(folder / "tmp")
    shutil.chown(folder, "nobody")
    shutil.chown(relay.data / "elsewhere", "nobody")
    wait_for(lambda: accepts(relay, address), 30, "the account is known")
    wait_for(lambda: relay.deliveries(address), 30, "an attempt")
    assert relay.deliveries(address)[0]["outcome"] == "deferred"
    assert "elsewhere" not in relay.deliveries(address)[0]["text"]
    assert str(relay.data) not in relay.deliveries(address)[0]["text"]
    wait_for(lambda: told(relay, folder / "new"), 30, "the log names it")
    assert os.listdir(relay.data / "elsewhere") == []
    (folder / "new").unlink()
    wait_for(lambda: relay.stored(address), 30, "it is delivered")
