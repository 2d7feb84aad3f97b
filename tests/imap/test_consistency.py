"""Several sessions at one mailbox, doing what comes into their heads: no one is told what is not so, and in the end all
believe what is so. Like Dovecot's imaptest, in memory and repeatable; on the twin, and on mailboxes on disk, where a
shell changes files meanwhile, too."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from relay.mailbox.interfaces import Store
from relay.mailbox.store import FolderStore
from relay.mailbox.watch import FolderWatcher
from tests.imap.belief import Belief
from tests.imap.stand import Peer, World

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "work", "home")
HOW = ("FLAGS", "+FLAGS", "-FLAGS")
STEPS = 150


class Place(World):
    """Accounts whose mailboxes are on disk, each session with a store of its own, as in as many processes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.watcher = self.files = FolderWatcher()

    def store(self, account: str) -> Store:
        return FolderStore(self.folder / account)


class Client:
    """One session and what it believes."""

    def __init__(self, world: World, chance: random.Random, name: str) -> None:
        self.peer = Peer(world.session())
        self.chance = chance
        self.belief = Belief()
        self.count = 0
        self.name = name
        self.peer.login()
        self.is_quick = chance.random() < 0.4
        if self.is_quick:
            self.say("ENABLE", "ENABLE QRESYNC")
        if chance.random() < 0.3:
            self.say("NOTIFY", "NOTIFY SET (selected-delayed (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
        self.select()

    def hear(self) -> None:
        """What it is told without asking (NOTIFY); EXPUNGE waits for a command."""
        self.belief.hear(self.peer.flush(), "FETCH")

    def say(self, command: str, line: str, more: bytes = b"") -> bytes:
        self.count += 1
        tag = f"{self.name}{self.count}"
        return self.belief.hear(self.peer.send(f"{tag} {line}\r\n".encode() + more), command)

    def select(self) -> None:
        self.belief.selected()
        assert b" OK [READ-WRITE]" in self.say("SELECT", "SELECT INBOX")
        if self.is_quick and self.belief.messages:
            self.fetch_all()  # VANISHED speaks of UIDs

    def fetch_all(self) -> None:
        if self.belief.messages:
            self.say("FETCH", "FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")

    # ---- what comes into its head -----------------------------------------------------------------------------------

    def some(self) -> list[int]:
        count = len(self.belief.messages)
        return sorted(self.chance.sample(range(1, count + 1), min(count, self.chance.randint(1, 3))))

    def some_uids(self) -> str:
        uids = [self.belief.messages[number - 1].uid for number in self.some()]
        return ",".join(str(uid) for uid in uids if uid is not None)

    def noop(self) -> None:
        self.say("NOOP", self.chance.choice(("NOOP", "CHECK")))

    def append(self) -> None:
        octets = f"Subject: {self.name}{self.count}\r\n\r\ntext\r\n".encode()
        box, flags = self.chance.choice(("INBOX", "INBOX", "Box")), " ".join(self.chance.sample(FLAGS, 2))
        self.say("APPEND", f"APPEND {box} ({flags}) {{{len(octets)}+}}", octets + b"\r\n")

    def fetch(self) -> None:
        if numbers := self.some():
            self.say("FETCH", f"FETCH {','.join(map(str, numbers))} (FLAGS UID)")

    def fetch_by_uid(self) -> None:
        if uids := self.some_uids():
            self.say("UID FETCH", f"UID FETCH {uids} (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")

    def store(self) -> None:
        self.change("STORE", [(number, str(number)) for number in self.some()])

    def store_by_uid(self) -> None:
        pairs = [(number, str(self.belief.messages[number - 1].uid)) for number in self.some()]
        self.change("UID STORE", [pair for pair in pairs if pair[1] != "None"])

    def change(self, command: str, chosen: list[tuple[int, str]]) -> None:
        if not chosen:
            return
        how, flags = self.chance.choice(HOW), frozenset(self.chance.sample((*FLAGS, "\\Deleted"), 2))
        is_silent = self.chance.random() < 0.5
        messages = [self.belief.messages[number - 1] for number, _ in chosen]
        if is_silent:  # what the client takes to be so, unless it is told otherwise
            for message in messages:
                known = message.flags
                if how == "FLAGS":
                    message.flags = flags
                elif known is not None:
                    message.flags = known | flags if how == "+FLAGS" else known - flags
        wanted = ",".join(each for _, each in chosen)
        self.say(command, f"{command} {wanted} {how}{'.SILENT' * is_silent} ({' '.join(flags)})")

    def expunge(self) -> None:
        self.say("EXPUNGE", "EXPUNGE")

    def expunge_by_uid(self) -> None:
        if uids := self.some_uids():
            self.say("UID EXPUNGE", f"UID EXPUNGE {uids}")

    def copy(self) -> None:
        if numbers := self.some():
            verb, box = self.chance.choice(("COPY", "MOVE")), self.chance.choice(("Box", "INBOX"))
            self.say(verb, f"{verb} {','.join(map(str, numbers))} {box}")

    def copy_by_uid(self) -> None:
        if uids := self.some_uids():
            verb = self.chance.choice(("UID COPY", "UID MOVE"))
            self.say(verb, f"{verb} {uids} Box")

    def search(self) -> None:
        """What is found is what the client believes, where it knows the flags; of messages that have gone a STORE may
        have left it in error, so it looks first."""
        self.say("NOOP", "NOOP")
        flag = self.chance.choice(("SEEN", "FLAGGED", "KEYWORD work", "DELETED"))
        name = flag.removeprefix("KEYWORD ") if " " in flag else "\\" + flag.capitalize()
        before = [each.flags for each in self.belief.messages]
        self.say("SEARCH", f"SEARCH {flag}")
        found = set(self.belief.results)
        for number, flags in enumerate(before, 1):
            is_so = flags is None or (name in flags) == (number in found)
            assert is_so, f"{self.name}: {number} {flags} {flag} {found}"

    def select_again(self) -> None:
        if self.chance.random() < 0.5:
            self.say("UNSELECT", "UNSELECT")
        elif self.chance.random() < 0.5:
            self.say("CLOSE", "CLOSE")
        self.select()

    def idle(self) -> None:
        """What came before is told at once."""
        self.count += 1
        tag = f"{self.name}{self.count}"
        said = self.peer.send(f"{tag} IDLE\r\n".encode())
        assert said.startswith(b"+ Idling\r\n")
        self.belief.hear(said.removeprefix(b"+ Idling\r\n"), "IDLE")
        self.belief.hear(self.peer.send(b"DONE\r\n"), "IDLE")

    def act(self) -> None:
        actions = (
            self.noop, self.append, self.append, self.fetch, self.fetch_by_uid, self.store, self.store,
            self.store_by_uid,
            self.expunge, self.expunge_by_uid, self.copy, self.copy_by_uid, self.search, self.select_again, self.idle,
        )  # fmt: skip
        self.chance.choice(actions)()
        if self.is_quick and any(each.uid is None for each in self.belief.messages):
            self.fetch_all()


def shell(folder: Path, chance: random.Random) -> None:
    """A foreign program: removes a message, changes its flags, or delivers one."""
    files = sorted((folder / "cur").iterdir())
    if files and chance.random() < 0.5:
        path = chance.choice(files)
        if chance.random() < 0.3:
            path.unlink()
        else:
            base, _, letters = path.name.partition(":2,")
            changed = "".join(sorted(set(letters) ^ {chance.choice("DFRS")}))
            path.rename(path.with_name(f"{base}:2,{changed}"))
    else:
        name = f"{time.time_ns()}.{chance.random()}.shell"
        (folder / "tmp" / name).write_bytes(b"Subject: shell\n\ntext\n")
        (folder / "tmp" / name).rename(folder / "new" / name)
    for name in ("new", "cur"):  # the clock's grain must not hide what is done within a tick (relay/mailbox/mailbox.py)
        os.utime(folder / name, ns=(0, time.time_ns()))


def settle(clients: list[Client], world: World) -> None:
    """All look once more; then what they believe is what is there, the same for each."""
    for client in clients * 2:
        client.say("NOOP", "NOOP")
    seen = []
    for client in clients:
        believed = [each.flags for each in client.belief.messages]
        client.fetch_all()
        for before, message in zip(believed, client.belief.messages, strict=True):
            assert before in {None, message.flags}, f"{client.name}: {before} believed of {message}"
        seen.append([(each.uid, each.flags) for each in client.belief.messages])
    fresh = Client(world, random.Random(0), "z")
    fresh.fetch_all()
    assert [[(each.uid, each.flags) for each in fresh.belief.messages]] * len(seen) == seen
    for client in (*clients, fresh):
        client.peer.close()


def play(world: World, seed: int, folder: Path | None = None) -> None:
    chance = random.Random(seed)
    first = Peer(world.session())
    first.login()
    first.send(b"a CREATE Box\r\n")
    first.close()
    clients = [Client(world, chance, name) for name in "abc"]
    for step in range(STEPS):
        if folder is not None and chance.random() < 0.1:
            shell(folder, chance)
        if isinstance(world, Place):
            world.files.dispatch()
        for client in clients:
            client.hear()
        chance.choice(clients).act()
        if step % 50 == 49:
            for client in clients:
                client.fetch_all()
    settle(clients, world)


seeds = pytest.mark.parametrize("seed", range(4))


@seeds
def test_sessions_on_the_twin_are_told_the_truth(seed):
    play(World(), seed)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.files.close()


@seeds
def test_sessions_on_disk_are_told_the_truth(seed, place):
    play(place, seed)


@seeds
def test_sessions_are_told_the_truth_when_a_shell_changes_files(seed, place):
    place.store("anna@local.test")
    play(place, seed, place.folder / "anna@local.test")
