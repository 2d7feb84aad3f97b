"""Every command has dialog scripts that show it done and refused: the table that the scripts are held to."""

from __future__ import annotations

import re

import pytest

from relay.imap.commands import _TABLE
from tests.imap.scripts import load_all

COMMANDS = sorted(name.decode() for name in _TABLE)
_LINE = re.compile(rb"(?:\A|\r\n)([^ \r\n+*]+) ((?:[Uu][Ii][Dd] )?[A-Za-z]+)")
_TAGGED = re.compile(r"(\S+) (OK|NO|BAD)\b")


def outcomes() -> dict[str, set[str]]:
    """How each command ends in the scripts."""
    found: dict[str, set[str]] = {name: set() for name in COMMANDS}
    for script in load_all():
        told: dict[tuple[int, str], str] = {}
        for turn in script.turns:
            for match in _LINE.finditer(turn.octets):
                told[turn.session, match[1].decode()] = match[2].decode().upper()
            for line in turn.said:
                if (tagged := _TAGGED.match(line)) is not None:
                    name = told.get((turn.session, tagged[1]), "")
                    found.setdefault(name, set()).add("OK" if tagged[2] == "OK" else "refused")
    return found


FOUND = outcomes()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_shows_the_command_done_and_one_shows_it_refused(name):
    assert FOUND[name] >= {"OK", "refused"}
