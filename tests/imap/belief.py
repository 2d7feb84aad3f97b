"""What a client may believe of its mailbox, from all that it is told (RFC 9051 2.3.1.2, 7.5.1; RFC 7162 3.2.10).

Every response is checked as it comes: numbers that exist, UIDs that ascend and never come back, no EXPUNGE where it may
not be, MODSEQs that grow, a message that stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FORBID_EXPUNGE = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD")
LITERAL = re.compile(rb"\{([0-9]+)\}\r\n\Z")


def lines(octets: bytes) -> Iterator[bytes]:
    """Responses, each with its literals in place."""
    at = 0
    while at < len(octets):
        begin = at
        while True:
            at = octets.index(b"\r\n", at) + 2
            found = LITERAL.search(octets, begin, at)
            if found is None:
                break
            at += int(found[1])
        yield octets[begin : at - 2]


def numbers(octets: bytes) -> list[int]:
    """A set without ``*``."""
    found: list[int] = []
    for part in octets.decode().split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


@dataclass
class Message:
    """What is known of one."""

    uid: int | None = None
    flags: frozenset[str] | None = None
    modseq: int = 0


@dataclass
class Belief:
    """One session's, of the mailbox that it has selected."""

    messages: list[Message] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    subjects: dict[int, bytes] = field(default_factory=dict)
    results: list[int] = field(default_factory=list)
    """Of the last SEARCH."""

    def selected(self) -> None:
        """Another look at the mailbox begins; UIDs keep their meaning."""
        self.messages.clear()

    def hear(self, octets: bytes, command: str) -> bytes:
        """Takes over what a command brought; returns its tagged response."""
        tagged = b""
        for line in lines(octets):
            assert not tagged, f"something was said behind {tagged!r}: {line!r}"
            if not line.startswith(b"*"):
                tagged = line
                continue
            found = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|RECENT|FETCH \()", line)
            if found is not None:
                getattr(self, found[2][:5].decode().lower())(int(found[1]), line, command)
            elif line.startswith(b"* VANISHED (EARLIER)"):
                continue
            elif line.startswith(b"* VANISHED "):
                self.vanished(numbers(line[11:]), command)
            elif line.startswith(b"* SEARCH"):
                self.results = [int(each) for each in line[8:].split()]
            else:
                assert not line.startswith(b"* BYE"), line
        return tagged

    def exist(self, number: int, line: bytes, command: str) -> None:
        assert number >= len(self.messages), f"{line!r} with {len(self.messages)} there"
        self.messages += [Message() for _ in range(number - len(self.messages))]

    def recen(self, number: int, line: bytes, command: str) -> None:
        assert number <= len(self.messages), line

    def expun(self, number: int, line: bytes, command: str) -> None:
        assert command not in FORBID_EXPUNGE, f"{line!r} during {command}"
        assert 1 <= number <= len(self.messages), line
        uid = self.messages.pop(number - 1).uid
        if uid is not None:
            self.gone.add(uid)

    def vanished(self, uids: list[int], command: str) -> None:
        assert command not in FORBID_EXPUNGE, f"VANISHED during {command}"
        for uid in uids:
            del self.messages[self.place_of(uid)]
            self.gone.add(uid)

    def place_of(self, uid: int) -> int:
        """The message with this UID, or one that may have it, for all that is known."""
        above = [index for index, each in enumerate(self.messages) if each.uid is not None and each.uid >= uid]
        at = above[0] if above else len(self.messages)
        if at == len(self.messages) or self.messages[at].uid != uid:
            at -= 1
            assert at >= 0, f"VANISHED {uid} is not known"
            assert self.messages[at].uid is None, f"VANISHED {uid} is not known"
        return at

    def fetch(self, number: int, line: bytes, command: str) -> None:
        assert 1 <= number <= len(self.messages), f"{line!r} with {len(self.messages)} there"
        message = self.messages[number - 1]
        if found := re.search(rb"\bUID (\d+)", line):
            self.is_uid(number, int(found[1]), line)
        if found := re.search(rb"FLAGS \(([^)]*)\)", line):
            message.flags = frozenset(found[1].decode().split()) - {"\\Recent"}
        if found := re.search(rb"MODSEQ \((\d+)\)", line):
            assert int(found[1]) >= message.modseq, line
            message.modseq = int(found[1])
        if message.uid is not None and (found := re.search(rb"\{\d+\}\r\n(Subject: [^\r]*)", line)):
            assert self.subjects.setdefault(message.uid, found[1]) == found[1], line

    def is_uid(self, number: int, uid: int, line: bytes) -> None:
        message = self.messages[number - 1]
        assert message.uid in {None, uid}, f"{line!r} was {message.uid}"
        assert uid not in self.gone, f"{line!r} has come back"
        below = [each.uid for each in self.messages[: number - 1] if each.uid is not None]
        above = [each.uid for each in self.messages[number:] if each.uid is not None]
        assert not below or below[-1] < uid, line
        assert not above or uid < above[0], line
        message.uid = uid
