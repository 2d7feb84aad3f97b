"""Every command on a disk that has room for so many blocks more, for every small number of them, and for so many
files. What makes room works in any case, what only reads does; and no command is said to have failed that was done."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.delivery._delivery import Delivery
from relay.mail.outcome import DELIVERED, Outcome
from relay.mailbox.maildir import folder_of
from relay.mailbox.store import FolderStore
from relay.mda.local import LocalJob, deliver_local
from tests.mailbox import changing
from tests.mailbox.changing import ACCOUNT, CHANGES, COMMANDS, READS, REMOVES
from tests.mailbox.test_contract import put
from tests.support.needs import need

BLOCK = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Path]:
    """A file system of 2 MiB and 400 files."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=400", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    need(done.returncode == 0, f"cannot mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("original")
    changing.make(folder)
    return folder


@contextlib.contextmanager
def room(disk: Path, blocks: int | None, files: int | None) -> Iterator[None]:
    """There is no more than that."""
    filler = disk / "filler"
    filler.mkdir()
    try:
        if blocks is not None:
            with open(filler / "blocks", "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(BLOCK))
            os.truncate(filler / "blocks", (filler / "blocks").stat().st_size - blocks * BLOCK)
        if files is not None:
            made = []
            with contextlib.suppress(OSError):
                for number in range(1000):
                    (filler / f"{number}").touch()
                    made.append(filler / f"{number}")
            for each in made[len(made) - files :] if files else []:
                each.unlink()
        yield
    finally:
        for each in filler.iterdir():
            each.unlink()
        filler.rmdir()


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_said_is_so_at_every_amount_of_room(disk, original, command):
    changing.copied(original, disk)
    before = changing.state(disk)
    assert changing.carry_out(disk, command, lambda: None)
    after = changing.state(disk)
    assert before != after or command in READS
    for blocks, files in [(number, None) for number in range(7)] + [(None, number) for number in range(7)]:
        folder = changing.copied(original, disk)
        meant = changing.uids(folder)
        with contextlib.ExitStack() as stack:
            is_done = changing.carry_out(
                folder,
                command,
                lambda: stack.enter_context(room(disk, blocks, files)),  # noqa: B023 - called here
            )
            if command in READS + REMOVES:
                assert is_done, (blocks, files)
        assert changing.state(folder) == (after if is_done else before), (blocks, files, is_done)
        for name, found in changing.uids(folder).items():
            for uid, octets in found.items():
                assert meant.get(name, {}).get(uid, octets) == octets, "a UID means another message"


@pytest.mark.parametrize("command", REMOVES)
def test_much_can_be_removed_one_by_one(disk, original, command):
    """On a disk without any room, however often; also what somebody else has delivered before it was full."""
    if command in {"DELETE Work", "CLOSE", "POP3", "EXPUNGE"}:
        return
    folder = changing.copied(original, disk)
    store = FolderStore(folder / ACCOUNT)
    put(store, *[b"Subject: more\r\n\r\n"] * 20)
    peer = changing.session(folder)
    with room(disk, 0, 0):
        for number in range(10):
            step = command.replace(" 1:2 ", f" {number + 1} ").replace("MOVE 1", f"MOVE {number + 5}")
            said = peer.send(f"a {step}\r\n".encode())
            assert b"a OK" in said, (number, said)
        assert b"b OK" in peer.send(b"b EXPUNGE\r\n")


def test_mail_of_an_account_that_never_had_a_session_is_read_and_removed(disk):
    """Its uid log is there since the first delivery, with the room that it keeps."""
    content = b"Subject: first\r\n\r\ntext\r\n"
    jobs = [
        LocalJob(Delivery(b"bob@x.test", (ACCOUNT.encode(),), 0, len(content), content), ACCOUNT.encode())
        for _ in range(2)
    ]
    assert all(isinstance(each, Outcome) and each.kind == DELIVERED for each in deliver_local(disk, jobs))
    shutil.rmtree(disk / ACCOUNT, ignore_errors=True)
    folder_of(disk, ACCOUNT.encode()).rename(disk / ACCOUNT)
    with room(disk, 0, 0):
        peer = changing.session(disk)
        assert b"first" in peer.send(b"a FETCH 1 BODY[]\r\n")
        assert b"a OK" in peer.send(b"a STORE 1 +FLAGS (\\Deleted)\r\n")
        assert b"* 1 EXPUNGE" in peer.send(b"a EXPUNGE\r\n")
        assert changing.pop3(disk)


def test_removing_makes_room(disk, original):
    """What was removed before gives way, for what is removed is kept a while and takes room, too."""
    folder = changing.copied(original, disk)
    store = FolderStore(folder / ACCOUNT)
    put(store, *[b"x" * 50_000] * 10)
    store.open("INBOX").expunge(deleted_only=False, uids=[5, 6, 7])
    peer = changing.session(folder)
    with room(disk, 0, None):
        kept = sorted((folder / ACCOUNT / "relay-deleted" / "INBOX").iterdir())
        for uid in range(8, 14):
            assert b"a OK" in peer.send(f"a UID STORE {uid} +FLAGS (\\Deleted)\r\n".encode())
            assert b"a OK" in peer.send(f"a UID EXPUNGE {uid}\r\n".encode())
        assert sorted((folder / ACCOUNT / "relay-deleted" / "INBOX").iterdir())[:1] != kept[:1]
        assert b"a OK" in peer.send(b"a APPEND Work {3+}\r\nA:b\r\n"), "there is room again"


def test_new_mail_that_cannot_be_logged_keeps_nobody_out(disk, original):
    """It has no UID yet: it is shown when there is room, under one that nobody had."""
    folder = changing.copied(original, disk)
    new = folder / ACCOUNT / "new"
    with contextlib.ExitStack() as stack:
        for number in range(500):
            (new / f"{number:06d}.M1.{'x' * 180}").touch() if number < 200 else None
        stack.enter_context(room(disk, 0, None))
        peer = changing.session(folder)
        for command in (
            "STATUS INBOX (MESSAGES)",
            "SELECT INBOX",
            "FETCH 1:* (UID FLAGS)",
            "STORE 1 +FLAGS (\\Deleted)",
        ):
            assert b"a OK" in peer.send(f"a {command}\r\n".encode()), command
        assert changing.pop3(folder)
    store = FolderStore(folder / ACCOUNT)
    found = list(store.open("INBOX").uids)
    assert len(found) == 201
    assert found == sorted(set(found))
    assert 1 not in found


@pytest.mark.parametrize("command", CHANGES)
def test_a_disk_that_can_only_be_read_is_read(disk, original, command):
    """SELECT says READ-ONLY, nothing that changes is said to be done."""
    folder = changing.copied(original, disk)
    before = changing.state(folder)
    gc.collect()  # stores that nobody has any more hold files open
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        peer = changing.session(folder)
        assert b"[READ-ONLY]" in peer.send(b"a SELECT INBOX\r\n")
        assert b"b OK" in peer.send(b"b FETCH 1:* BODY[]\r\n")
        assert b"c OK" in peer.send(b"c STATUS Work (MESSAGES)\r\n")
        assert not changing.carry_out(folder, command, lambda: None)
        assert changing.state(folder) == before
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert b"[READ-WRITE]" in peer.send(b"d SELECT INBOX\r\n"), "as soon as it can be written"
    assert changing.state(folder) == before
