"""I1, I7: kill -9 while delivering, storing, expunging loses no message, UID or flag, and uses no UID twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import SEEN
from tests.support.waiting import pause

ROUNDS = int(os.environ.get("ROUNDS", "20"))


class Ledger:
    """What was said to be done, by processes that are dead now."""

    def __init__(self) -> None:
        self.delivered: set[str] = set()
        self.uids: dict[int, str] = {}
        self.removed: set[int] = set()
        self.perhaps_removed: set[int] = set()
        self.seen: set[int] = set()

    def take(self, lines: str) -> None:
        for line in lines.splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # killed while it spoke
            what, *words = line.split()
            if what == "d":
                self.delivered.add(words[0])
            elif what == "+":
                assert self.uids.setdefault(int(words[0]), words[1]) == words[1], "a UID was used twice"
                self.delivered.add(words[1])
            else:
                {"-": self.removed, "?": self.perhaps_removed, "s": self.seen}[what].add(int(words[0]))


def test_no_message_and_no_uid_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    """DESIGN section 8, I1 and I7. Two processes at a time change one mailbox."""
    seed = int(os.environ.get("SEED", str(random.randrange(1 << 30))))
    print(f"SEED={seed} ROUNDS={ROUNDS}")
    dice = random.Random(seed)
    ledger = Ledger()
    for number in range(ROUNDS):
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.crash.mailbox_worker", str(tmp_path / "ann"), f"r{number}p{which}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for which in range(2)
        ]
        first = processes[0].stdout
        assert first is not None
        lines = [first.readline(), ""]
        pause(dice.uniform(0.05, 0.5))
        for process in processes:
            process.kill()
        for which, process in enumerate(processes):
            assert process.stdout is not None
            with process.stdout as said:  # not communicate(): it passes over what readline() has buffered
                lines[which] += said.read()
            process.wait(60)
        ledger.take(lines[0])
        ledger.take(lines[1])
        check(tmp_path / "ann", ledger)
    print(f"{len(ledger.delivered)} came in, {len(ledger.removed)} were removed, {len(ledger.seen)} marked")
    assert len(ledger.delivered) > ROUNDS, "nothing was shown"
    assert ledger.removed
    assert ledger.seen


def check(root: Path, ledger: Ledger) -> None:
    view = FolderStore(root).open("INBOX")
    found: dict[int, str] = {}
    for index, uid in enumerate(view.uids):
        with view.content(index) as content:
            octets = content.read(0, 1 << 20)
        assert octets.endswith(b"\r\n\r\n" + b"line\r\n" * 20), "a message is not whole"
        found[uid] = octets[9 : octets.index(b"\r\n")].decode()
    assert len(set(found.values())) == len(found), "a message is there twice"
    for uid, token in found.items():
        assert ledger.uids.setdefault(uid, token) == token, "a UID was used twice"
    assert not ledger.removed & found.keys(), "a removed message came back"
    gone = ledger.removed | ledger.perhaps_removed
    lost = {uid for uid in ledger.uids if uid not in found and uid not in gone}
    assert not lost, "a UID was lost"
    removed = {ledger.uids.get(uid) for uid in gone}
    missing = ledger.delivered - set(found.values()) - removed
    # One that came in and was removed between two looks of ours has a UID that we never saw.
    assert len(missing) <= len([uid for uid in gone if uid not in ledger.uids]), f"lost: {sorted(missing)}"
    for uid in ledger.seen & found.keys():
        mask = view.flags[view.index_of(uid)]
        assert mask & SEEN, "a flag was lost"
        assert "$Marked" in view.flag_names(mask)
