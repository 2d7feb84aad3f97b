"""Octets to commands (RFC 5804 4), however they are cut; what a command may have at most."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.managesieve.syntax import MOST_WORDS, BrokenError, Reader

COMMANDS = b'PUTSCRIPT "a b" {4+}\r\nkeep 12\r\nNOOP\r\nHAVESPACE "x" {3+}\r\n\r\n; 7\r\n'


def read(pieces: list[bytes]) -> list[tuple[bytes | None, ...]]:
    reader, found = Reader(100), []
    for piece in pieces:
        reader.feed(piece)
        while (command := reader.next()) is not None:
            found.append(command.words)
    return found


@given(st.lists(st.integers(0, len(COMMANDS))))
def test_commands_are_the_same_however_their_octets_are_cut(cuts):
    places = [0, *sorted(cuts), len(COMMANDS)]
    pieces = [COMMANDS[one:other] for one, other in pairwise(places)]
    assert read(pieces) == [
        (b"PUTSCRIPT", b"a b", b"keep", b"12"), (b"NOOP",), (b"HAVESPACE", b"x", b"\r\n;", b"7"),
    ]  # fmt: skip


def test_a_command_with_many_literals_is_given_up_before_reading_it_again_and_again_costs_much():
    """All words of a command are read again when more octets come in."""
    reader = Reader(100)
    for _ in range(MOST_WORDS):
        reader.feed(b"{1+}\r\na ")
        assert reader.next() is None
    reader.feed(b"{1+}\r\na ")
    with pytest.raises(BrokenError) as fault:
        reader.next()
    assert fault.value.is_fatal


def test_what_came_in_small_pieces_is_held_once():
    reader = Reader(100_000)
    for octets in (b"NOOP {99999+}\r\n", *[b"x"] * 99_999):
        reader.feed(octets)
        assert reader.next() is None
    assert reader.held == 15 + 99_999
    reader.feed(b"\r\n")
    command = reader.next()
    assert command is not None
    assert command.words == (b"NOOP", b"x" * 99_999)
    assert reader.held == 0
