"""When a script does nothing: the header fields of which one must be there before anything in it can happen.

Most mail meets a script that waits for a tag (the default one: X-Spam-Flag). Such a script need not be run for a
message that has none of the fields it waits for: a look for their names is much cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.sieve.tree import Node


def triggers(commands: Sequence[Node]) -> frozenset[bytes] | None:
    """Names of fields in lower case: a message without any of them is kept, and that is all. None: that is not known.

    So it is when each command is an ``if`` whose tests are false without the field they look at.
    """
    found: set[bytes] = set()
    for command in commands:
        if command.name != "if":
            return None
        for branch in (command, *command.branches):
            names = _needed(branch.tests[0]) if branch.tests else None
            if names is None:
                return None
            found |= names
    return frozenset(found)


def may_run(wanted: frozenset[bytes], content: bytes) -> bool:
    """Whether a field of one of these names may be in the header section of ``content``."""
    end = content.find(b"\r\n\r\n")
    header = b"\n" + (content[:end] if end >= 0 else content).lower()
    return any(b"\n" + name in header for name in wanted)


def _needed(test: Node) -> set[bytes] | None:
    """Fields without which the test is false; None when it may be true without any."""
    if test.name == "anyof":
        parts = [_needed(each) for each in test.tests]
        return None if None in parts else {name for part in parts for name in part or ()}
    if test.name == "allof":
        return next((part for part in map(_needed, test.tests) if part is not None), None)
    if test.name == "header" and test.tags.get("match", ("is",))[0] != "count":
        names = test.arguments[0]
        assert isinstance(names, tuple)
        # A name with a variable in it is known only when the script runs.
        return {name.lower().encode() for name in names} if all("$" not in name for name in names) else None
    return None
