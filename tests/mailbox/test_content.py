"""What is sent of a message's file: CRLF for each LF, wherever blocks and reads begin."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mailbox import _reading
from relay.mailbox.content import BLOCK, FileContent
from relay.mailbox.files import below

OCTETS = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b".", b"\n\n", b"word" * 80])).map(b"".join)


def sent(octets):
    """The slow way."""
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("content") / "message"


@given(OCTETS)
def test_a_short_message_is_sent_with_crlf(path, octets):
    path.write_bytes(octets)
    assert _reading.read_message(*below(path), len(octets)) == sent(octets)
    with FileContent(path, 12345) as content:
        assert content.size == len(sent(octets))
        assert content.read(0, 1 << 20) == sent(octets)


def test_a_longer_message_is_left_to_be_read_in_blocks(path):
    path.write_bytes(b"1234\n")
    assert _reading.read_message(*below(path), 4) is None
    assert _reading.read_message(*below(path), 5) == b"1234\r\n"


@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_part_of_a_message_is_that_part_of_what_is_sent(path, length, data):
    """Short ones and long ones, read in pieces from any place."""
    some = data.draw(OCTETS) + b"x\r\ny\nz"
    octets = (some * (length // len(some) + 1))[:length]
    path.write_bytes(octets)
    expected = sent(octets)
    with FileContent(path) as content:
        for _ in range(3):
            offset = data.draw(st.integers(0, len(expected) + 2))
            count = data.draw(st.integers(0, 2 * BLOCK))
            assert content.read(offset, count) == expected[offset : offset + count]
        assert content.size == len(expected)


def test_a_message_that_is_not_there_or_cannot_be_read_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileContent(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        FileContent(tmp_path)


def test_who_reads_a_long_message_part_by_part_has_each_part_read_once(path, monkeypatch):
    """However the parts lie: forward, from a place in the middle, and once more."""
    octets = b"0123456\n" * (20 * BLOCK // 8)
    expected = sent(octets)
    path.write_bytes(octets)
    blocks = []
    pread = os.pread

    def counting(descriptor, count, where):
        blocks.append(where)
        return pread(descriptor, count, where)

    monkeypatch.setattr(os, "pread", counting)
    middle = 10 * BLOCK // 8
    counted = [(0, 0)]
    for _ in range(2):
        blocks.clear()
        for offset in (*range(middle * 9, len(expected), 1000), *range(0, middle * 9, 1000)):
            with FileContent(path, len(expected), lambda: [(middle * 9, middle * 8)], counted) as content:
                assert content.read(offset, 1000) == expected[offset : offset + 1000]
        parts = len(expected) // 1000 + 2
        assert len(blocks) <= 2 * parts
    assert len(counted) <= 22
    assert counted == sorted(counted)
