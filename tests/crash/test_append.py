"""I1, I7: what APPEND said is true when a system call of it fails, or is the last of its process (strace -e inject)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.mailbox.store import FolderStore
from tests.crash.appender import ROUNDS

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


class Said:
    """What the process said."""

    def __init__(self, lines: str) -> None:
        words = [line.split() for line in lines.splitlines()]
        self.kept = {
            int(each.partition(":")[0]): each.partition(":")[2]
            for what, *said in words
            if what == "kept"
            for each in said
        }
        self.refused = {token for what, *said in words if what == "refused" for token in said}
        self.rounds = len(words)


def made(root: Path) -> Path:
    """A mailbox that has its log."""
    FolderStore(root).status("INBOX")
    return root


def run(root: Path, prefix: str, inject: str) -> Said:
    """A process whose system calls fail as ``inject`` says."""
    call = inject.split(":", 1)[0]
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", f"{root}.trace", "-e", f"trace={call}", "-e", f"inject={inject}"),
            *(sys.executable, "-m", "tests.crash.appender", str(root), prefix),
        ],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # no system calls but those of the mailbox
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("ptrace is not permitted here")
    return Said(done.stdout)


def found(root: Path) -> dict[int, str]:
    """Tokens by UID; every message is whole, and has its flags."""
    view = FolderStore(root).open("INBOX")
    tokens: dict[int, str] = {}
    for index, uid in enumerate(view.uids):
        with view.content(index) as content:
            octets = content.read(0, 1 << 20)
        assert octets.endswith(b"line\r\n" * 20), "a message is not whole"
        assert "\\Seen" in view.flag_names(view.flags[index])
        tokens[uid] = octets[9 : octets.index(b"\r\n")].decode()
    assert len(set(tokens.values())) == len(tokens), "a message is there twice"
    return tokens


@pytest.mark.parametrize(
    ("call", "numbers"),
    [
        ("pwrite64", (1, 2, 5, 8, 9)),  # a message's file, the log; of three: a file, the log, the log's end
        ("utimensat", (1, 4)),
        ("fsync", (1, 2, 5, 8)),  # a message's file, the folder
        ("rename", (1, 3, 4, 5)),
        ("fdatasync", (1, 3)),
    ],
)
def test_a_process_that_is_killed_at_a_system_call_of_append(
    tmp_path: Path, call: str, numbers: tuple[int, ...]
) -> None:
    """A message that was told to be there is there under its UID, three come together or not at all, and the next life
    gives none of the UIDs again."""
    for number in numbers:
        root = made(tmp_path / str(number) / "ann")
        said = run(root, "first", f"{call}:signal=KILL:when={number}")
        assert said.rounds < ROUNDS
        known = found(root)
        assert said.kept.items() <= known.items()
        for third in (2, 5):
            assert sum(token.startswith(f"first-{third}-") for token in known.values()) in {0, 3}
        after = run(root, "second", "fsync:error=EIO:when=1000")
        assert after.rounds == ROUNDS
        assert not known.keys() & after.kept.keys(), "a UID was used twice"
        assert found(root) == known | after.kept


@pytest.mark.parametrize(
    "inject",
    [
        "pwrite64:error=ENOSPC:when=1",
        "pwrite64:error=ENOSPC:when=2",
        "pwrite64:error=ENOSPC:when=8",
        "fsync:error=EIO:when=1",
        "fsync:error=EIO:when=6",
        "rename:error=EIO:when=3",
        "fdatasync:error=EIO:when=1",
        "fdatasync:error=EIO:when=3",
    ],
)
def test_an_append_of_which_a_system_call_fails_leaves_nothing(tmp_path: Path, inject: str) -> None:
    root = made(tmp_path / "ann")
    said = run(root, "first", inject)
    assert said.rounds == ROUNDS
    # A look at the folder is logged, too: that needs not succeed for the append to be told, and refuses nothing.
    assert len(said.refused) in ({0, 1, 3} if inject.startswith("pwrite64") else {1, 3})
    assert found(root) == said.kept
    assert os.listdir(root / "tmp") == []


def test_an_append_whose_last_sync_fails_is_refused_and_uses_no_uid_twice(tmp_path: Path) -> None:
    """The message may be there: that its name is on the disk is what is not known."""
    root = made(tmp_path / "ann")
    said = run(root, "first", "fsync:error=EIO:when=2")
    assert said.refused == {"first-0-0"}
    assert said.kept.items() <= found(root).items()
    assert said.rounds == ROUNDS
