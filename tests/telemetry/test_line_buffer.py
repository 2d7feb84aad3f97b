"""The buffer of lines that wait, beside a list that says the same slowly."""

import random

import pytest

from relay.telemetry._line_buffer import WaitingLines

DROPPED, TAKEN, ONLY = 0, 1, 2


class Twin:
    """Lines in a list."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lines: list[bytes] = []
        self.taken = 0

    @property
    def octets(self) -> int:
        return sum(map(len, self.lines)) + self.taken

    def put(self, line: bytes) -> int:
        whole = line if line.endswith(b"\n") else line + b"\n"
        if self.octets + len(whole) > self.limit:
            return DROPPED
        self.lines.append(whole)
        return TAKEN if len(self.lines) > 1 else ONLY

    def take(self, about: int) -> bytes:
        taken = b""
        while self.lines and (not taken or len(taken) + len(self.lines[0]) <= about):
            taken += self.lines.pop(0)
        self.taken += len(taken)
        return taken


@pytest.mark.parametrize("seed", range(20))
def test_it_takes_drops_and_gives_what_a_list_would(seed):
    chance = random.Random(seed)
    limit = chance.choice([0, 100, 5_000, 300_000])
    lines, twin = WaitingLines(limit), Twin(limit)
    for _ in range(2_000):
        if chance.random() < 0.7:
            line = b"x" * chance.choice([0, 1, 30, 400, 9_000]) + chance.choice([b"", b"\n"])
            assert lines.put(line) == twin.put(line)
        else:
            about = chance.choice([1, 500, 70_000])
            taken = lines.take(about)
            assert taken == twin.take(about)
            settled = chance.randint(0, len(taken))
            lines.settle(settled)
            twin.taken -= settled
            if chance.random() < 0.5:
                lines.forget()
                twin.taken = 0
        assert lines.octets == twin.octets <= limit


def test_what_was_taken_counts_as_waiting_until_it_is_settled():
    lines = WaitingLines(10)
    assert lines.put(b"12345678\n") == ONLY
    assert lines.take(100) == b"12345678\n"
    assert lines.put(b"a\n") == DROPPED
    lines.settle(9)
    assert lines.put(b"a\n") == ONLY


def test_nothing_is_taken_once_it_is_closed_but_what_is_there_can_be():
    lines = WaitingLines(100)
    lines.put(b"a")
    lines.close()
    assert lines.put(b"b") == DROPPED
    assert lines.take(100) == b"a\n"


def test_dropping_says_how_many_lines_it_were():
    lines = WaitingLines(100)
    for line in (b"a", b"b", b"c"):
        lines.put(line)
    assert lines.take(2) == b"a\n"
    assert lines.drop() == 2
    assert lines.octets == 2
    assert lines.take(100) == b""
