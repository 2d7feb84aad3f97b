"""Relay and Dovecot Pigeonhole's sieve-test decide alike, on every sample test and script with every sample message."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.sieve import Environment, MessageView, RunError, ScriptError, compile_script, evaluate
from relay.sieve.actions import Keep
from tests.sieve.samples import ACTIONS, MESSAGES, REQUIRE, TESTS
from tests.support.needs import need

CONFIG = """\
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{root}/mail
mail_home = {root}/home
postmaster_address = postmaster@local.test
hostname = local.test
"""
FROM, TO = "sender@source.test", "ann+box@local.test"
DIFFERENT = {
    # Pigeonhole's string test compares with i;octet unless told otherwise; RFC 5228 2.7.3 says i;ascii-casemap always.
    'string "a" "A"',
    # Of several Received fields Pigeonhole finds the date of the first alone (RFC 5260 4: the test is for any of them).
    'date :index 2 :originalzone "received" "date" "2014-03-31"',
    'date :index 1 :last :originalzone "received" "second" "59"',
    # Pigeonhole compares a value that holds no address as it stands; here only addresses are compared (RFC 5228 5.1).
    'address :contains "from" ""',
}
STRICTER = {
    # Refused here, taken by Pigeonhole: names that are none, and a part of a date that there is not.
    "fileinto text:\r\nmulti\r\n.\r\n;",
    'fileinto "";',
    'if date "date" "century" "20" { keep; }',
}


def decisions(script: str, message: bytes) -> set[object]:
    """What Relay does, as a set that can be compared."""
    environment = Environment(
        datetime.now(UTC), reverse_path=FROM, recipient=TO, mailbox_exists=lambda name: name == "INBOX"
    )
    try:
        result = evaluate(
            compile_script(script.encode()), MessageView(message, len(message), lambda: message), environment
        )
    except (ScriptError, RunError):
        return {"refused"}
    found: set[object] = {("redirect", each.address) for each in result.redirects}
    for store in result.stores:
        name = "INBOX" if isinstance(store, Keep) else store.mailbox
        found.add((name, frozenset(flag.lower() for flag in store.flags)))
    return found


class Pigeonhole:
    """``sieve-test`` below a folder of its own, as a user that is not root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.user = user.pw_name
        (root / "dovecot.conf").write_text(CONFIG.format(uid=user.pw_uid, gid=user.pw_gid, root=root))
        root.chmod(0o777)

    def decisions(self, script: str, message: bytes) -> set[object]:
        (self.root / "script.sieve").write_bytes(script.encode())
        (self.root / "script.svbin").unlink(missing_ok=True)
        (self.root / "message").write_bytes(message)
        done = subprocess.run(
            ["sieve-test", "-C", "-c", str(self.root / "dovecot.conf"), "-f", FROM, "-r", TO,
             str(self.root / "script.sieve"), str(self.root / "message")],
            capture_output=True, timeout=60, check=False, env={**os.environ, "USER": self.user, "HOME": str(self.root)},
        )  # fmt: skip
        told = done.stdout.decode("utf-8", "replace")
        if "Performed actions" not in told:
            assert b"rror" in done.stderr, done.stderr
            return {"refused"}
        if "final result: failed" in done.stderr.decode("utf-8", "replace"):
            return {"refused"}
        found: set[object] = set()
        for kind, what, rest in re.findall(r"^ \* (\S+)(.*)\n((?:        .*\n)*)", told, re.MULTILINE):
            if kind == "store":
                flags = re.search(r"add IMAP flags: (.*)", rest)
                found.add((what.split("folder: ", 1)[1], frozenset(flags[1].lower().split()) if flags else frozenset()))
            elif kind == "redirect":
                found.add(("redirect", what.split("<", 1)[1].rstrip(">")))
        return found


@pytest.fixture(scope="module")
def pigeonhole() -> Iterator[Pigeonhole]:
    need(shutil.which("sieve-test") is not None, "sieve-test (dovecot-sieve) is missing")
    with tempfile.TemporaryDirectory() as folder:
        yield Pigeonhole(Path(folder))


@pytest.mark.parametrize("name", MESSAGES)
def test_every_sample_test_is_true_for_both_or_for_neither(pigeonhole: Pigeonhole, name: str) -> None:
    message = MESSAGES[name]
    require = f"require [{', '.join(f'{chr(34)}{each}{chr(34)}' for each in REQUIRE)}];\r\n"
    wrong = []
    for start in range(0, len(TESTS), 25):
        tests = TESTS[start : start + 25]
        script = require + "".join(
            f'if {test} {{ fileinto :copy "T{number}"; }}\r\n' for number, test in enumerate(tests)
        )
        ours, theirs = decisions(script, message), pigeonhole.decisions(script, message)
        assert "refused" not in ours
        assert "refused" not in theirs
        wrong += [
            (test, f"T{number}" in str(ours))
            for number, test in enumerate(tests)
            if (f"'T{number}'" in str(ours)) != (f"'T{number}'" in str(theirs)) and test not in DIFFERENT
        ]
    assert not wrong


@pytest.mark.parametrize("script", ACTIONS)
def test_every_sample_script_does_the_same_or_is_refused_by_both(pigeonhole: Pigeonhole, script: str) -> None:
    message = MESSAGES["plain"]
    whole = f"require [{', '.join(f'{chr(34)}{each}{chr(34)}' for each in REQUIRE)}];\r\n{script}"
    theirs = pigeonhole.decisions(whole, message)
    assert decisions(whole, message) == ({"refused"} if script in STRICTER else theirs)
    assert script not in STRICTER or theirs != {"refused"}
