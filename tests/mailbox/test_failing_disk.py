"""Every command while the n-th call that changes the disk fails, for every n and several causes; and while all of them
fail from the n-th on. What is said to be done is done, and what is said not to be is not.

The calls are made to fail below libc (faults.c), in a process of its own, which is this file run as a program.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mailbox import changing
from tests.mailbox.changing import COMMANDS, READS
from tests.support.needs import need

WAYS = ((errno.EIO, 0, 1), (errno.ENOSPC, 1, 1), (errno.EDQUOT, 1, 3))
"""The cause, whether it stays, and at which calls: every one, or every third."""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    need(shutil.which("gcc") is not None, "gcc is not installed")
    made: Path = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"], check=True)
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_said_is_so_whatever_fails(tmp_path, library, command):
    environ = dict(os.environ, LD_PRELOAD=str(library))
    words = [sys.executable, "-m", "tests.mailbox.test_failing_disk", str(tmp_path), command]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    wrong = json.loads(done.stdout)
    assert not wrong, "\n".join(map(str, wrong))


def main(folder: Path, command: str) -> list[str]:
    """What was wrong."""
    fail = ctypes.CDLL(None).relay_fail
    changing.make(folder / "original")
    here = changing.copied(folder / "original", folder)
    before = changing.state(here)
    fail(-1, 0, 0)
    assert changing.carry_out(here, command, lambda: fail(-1, 0, 0))
    calls = fail(-1, 0, 0)
    after = changing.state(here)
    wrong = []
    for at in range(calls + 2):
        for cause, is_lasting, step in WAYS:
            if at % step == 0:
                here = changing.copied(folder / "original", folder)
                meant = changing.uids(here)
                try:
                    is_done = changing.carry_out(
                        here,
                        command,
                        lambda: fail(at, cause, is_lasting),  # noqa: B023 - called here
                    )
                finally:
                    fail(-1, 0, 0)
                how = f"{errno.errorcode[cause]} at {at} of {calls}{' and on' if is_lasting else ''}"
                found, meant_by = changing.state(here), after if is_done else before
                if found != meant_by:
                    odd = [(one, other) for one, other in zip(found, meant_by, strict=True) if one != other]
                    wrong.append(f"{how}: said to be {'done' if is_done else 'not done'}: {odd}")
                if not is_done and command in READS:
                    wrong.append(f"{how}: refused")
                for name, known in changing.uids(here).items():
                    if any(meant.get(name, {}).get(uid, octets) != octets for uid, octets in known.items()):
                        wrong.append(f"{how}: a UID of {name} means another message")
    return wrong


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
