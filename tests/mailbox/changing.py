"""Commands that change an account, and what may become of each when the disk fails: it is done, or it is not; and what
the client is told is what is so. For test_full_disk.py and test_failing_disk.py."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from relay.mailbox.interfaces import Store
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How
from relay.pop3.maildrop import open_maildrop
from tests.imap.stand import Peer, World
from tests.mailbox.test_contract import put, read

ACCOUNT = "anna@local.test"
REMOVES = ("STORE 1:2 +FLAGS (\\Deleted)", "EXPUNGE", "UID MOVE 1 Trash", "CLOSE", "DELETE Work", "POP3")
"""What makes room, or begins to: it works on a full disk."""
READS = ("SELECT INBOX", "EXAMINE Work", "STATUS INBOX (MESSAGES SIZE UIDNEXT)", 'LIST "" *', "FETCH 1:* BODY.PEEK[]",
         "SEARCH SUBJECT one", "NOOP")  # fmt: skip
CHANGES = ("STORE 1 +FLAGS (\\Seen)", "STORE 2 +FLAGS (another)", "MOVE 2 Work", "COPY 1:2 Work", "COPY 1 Trash",
           "RENAME Work Play", "RENAME Trash Bin", "RENAME INBOX Old", "CREATE New", "CREATE Sent (USE (\\Sent))",
           "SUBSCRIBE Work", "UNSUBSCRIBE Trash", 'SETMETADATA Work (/private/comment "x")', "APPEND", "MULTIAPPEND",
           "UID EXPUNGE 2", "REPLACE")  # fmt: skip
COMMANDS = REMOVES + READS + CHANGES
MAILBOXES = ("INBOX", "Work", "Work/Below", "Trash")


class Accounts(World):
    """Accounts whose mailboxes are on disk; nobody watches them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def store(self, account: str) -> Store:
        return FolderStore(self.folder / account)


class State(NamedTuple):
    """What of an account can be told apart, UIDs and MODSEQs aside."""

    mailboxes: dict[str, list[tuple[bytes, tuple[str, ...]]]]
    listed: list[tuple[object, ...]]
    annotations: dict[str, dict[str, bytes]]


def make(folder: Path) -> None:
    """The account as every command finds it; made once, copied each time."""
    store = FolderStore(folder / ACCOUNT)
    for name in MAILBOXES[1:]:
        store.create(name, ["\\Trash"] if name == "Trash" else [])
    store.subscribe("Trash")
    for name in MAILBOXES:
        put(store, b"Subject: one\r\n\r\n" + name.encode(), b"Subject: two\r\n\r\n", name=name, flags=["known"])
    view = store.open("INBOX")
    view.store_flags([2], How.ADD, ["\\Deleted"])
    gone = put(store, b"Subject: gone\r\n\r\n")
    view.refresh()
    view.expunge(gone, deleted_only=False)
    view.close()


def copied(source: Path, folder: Path) -> Path:
    """A copy of the account below ``folder``, as fresh as after a restart."""
    shutil.rmtree(folder / ACCOUNT, ignore_errors=True)
    shutil.copytree(source / ACCOUNT, folder / ACCOUNT)
    store = FolderStore(folder / ACCOUNT)
    for name in MAILBOXES:
        store.open(name).close()
        store.mailbox(name).log.has_room(0)  # shutil copies no room behind the end
    return folder


def state(folder: Path) -> State:
    """As a process sees it that knows nothing of what was."""
    store = FolderStore(folder / ACCOUNT)
    found: dict[str, list[tuple[bytes, tuple[str, ...]]]] = {}
    annotations: dict[str, dict[str, bytes]] = {}
    for name in store.names():
        view = store.open(name, read_only=True)
        found[name] = sorted(
            (
                read(view, index),
                tuple(sorted(each for each in view.flag_names(view.flags[index]) if each != "\\Recent")),
            )
            for index in range(len(view))
        )
        annotations[name] = dict(store.annotations(name))
    return State(found, [tuple(each) for each in store.list()], annotations)


def uids(folder: Path) -> dict[str, dict[tuple[int, int], bytes]]:
    """What each UID means, by mailbox."""
    store = FolderStore(folder / ACCOUNT)
    found = {}
    for name in store.names():
        view = store.open(name, read_only=True)
        found[name] = {(view.uidvalidity, uid): read(view, index) for index, uid in enumerate(view.uids)}
    return found


def session(folder: Path) -> Peer:
    """One that has INBOX open."""
    peer = Peer(Accounts(folder).session())
    peer.login()
    peer.send(b"s SELECT INBOX\r\n")
    return peer


def pop3(folder: Path) -> bool:
    """Removes the first message at QUIT; whether that is said to be done."""
    try:
        maildrop = open_maildrop(FolderStore(folder / ACCOUNT), ACCOUNT, None)
        maildrop.deleted.add(0)
        return maildrop.update() == 1
    except OSError:
        return False


def carry_out(folder: Path, command: str, ready: Callable[[], None]) -> bool:
    """Whether the command is said to be done. ``ready`` is called when it begins."""
    if command == "POP3":
        ready()
        return pop3(folder)
    peer = session(folder)
    ready()
    line = {
        "APPEND": "APPEND Work {3+}\r\nA:b",
        "MULTIAPPEND": "APPEND Work {3+}\r\nA:b {3+}\r\nC:d",
        "REPLACE": "REPLACE 1 Work {3+}\r\nA:b",
    }
    said = peer.send(f"a {line.get(command, command)}\r\n".encode())
    answer = re.search(rb"^a (OK|NO|BAD)", said, re.MULTILINE)
    assert answer is not None, said
    assert answer[1] != b"BAD", said
    return answer[1] == b"OK"
