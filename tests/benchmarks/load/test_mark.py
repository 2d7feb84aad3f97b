"""The mark, the digest and the reader, against slow and obvious twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load._mark import Reader, digest, hash_address, mark

MASK = 2**64 - 1
CONTENTS = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"..", b"\r\n.", b"\r\n.\r", b"longer text", b"\0"]),
    max_size=30,
).map(b"".join)


def fold(a, b):
    product = a * b
    return (product ^ (product >> 64)) & MASK


def slow_digest(octets):
    state = 0x9E3779B97F4A7C15
    whole = len(octets) // 8 * 8
    for at in range(0, whole, 8):
        word = int.from_bytes(octets[at : at + 8], "little")
        state = (fold(state ^ word, 0xD6E8FEB86659FD93) + 0x9E3779B97F4A7C15) & MASK
    last = int.from_bytes(octets[whole:], "little")
    return fold(fold(state ^ last, 0xD6E8FEB86659FD93) ^ len(octets), 0xA0761D6478BD642F)


def stuffed(content):
    """As DATA carries it; the content is made to end with CRLF (RFC 5321 4.5.2)."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


def read(wire, cuts):
    """Reads ``wire`` in pieces; tells the reader and what was left over."""
    reader, rest = Reader(), None
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        rest = reader.read(wire[begin:end])
        if rest is not None:
            return reader, rest + wire[end:]
    return reader, None


@given(st.binary(max_size=100))
def test_the_digest_is_that_of_its_slow_twin(octets):
    assert digest(octets) == slow_digest(octets)


@given(CONTENTS, st.lists(st.integers(0, 400), max_size=12), st.sampled_from([b"", b"MAIL FROM:<>\r\n", b".\r\n"]))
def test_the_reader_finds_the_content_however_it_is_cut(content, places, after):
    content = mark(1, 2, 3, content + b"\r\n") + content + b"\r\n"
    wire = stuffed(content) + after
    reader, rest = read(wire, sorted(place for place in places if place < len(wire)))
    assert rest == after
    assert reader.octets == len(content)
    assert reader.mark[:4] == (1, 2, 3, len(content) - 86)
    assert not reader.is_altered


@given(CONTENTS.filter(len), st.data())
def test_one_changed_octet_is_seen(content, data):
    rest = content + b"\r\n"
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.sampled_from(b"xyz").filter(lambda octet: octet != content[at]))
    changed = bytearray(rest)
    changed[at] = other
    wire = stuffed(mark(7, 8, 1, rest) + bytes(changed))
    reader, _ = read(wire, [])
    assert reader.mark is not None
    assert reader.is_altered


def test_a_content_under_the_mark_of_another_number_is_altered():
    rest = b"\r\ntext\r\n"
    line = mark(1, 5, 1, rest).replace(b".00000005.", b".00000006.")
    reader, _ = read(line + rest + b".\r\n", [])
    assert reader.mark[1] == 6
    assert reader.is_altered


def test_header_fields_on_top_do_not_count_and_the_mark_is_found_below_them():
    rest = b"Subject: x\r\n\r\ntext\r\n"
    top = b"Received: from a\r\n by b; now\r\nReturn-Path: <x@y.test>\r\n"
    reader, _ = read(top + mark(9, 1, 1, rest) + rest + b".\r\n", [])
    assert reader.mark[:2] == (9, 1)
    assert not reader.is_altered


@pytest.mark.parametrize("content", [b".\r\n", b"\r\n.\r\n", b"Subject: x\r\n\r\nMessage-ID: <no>\r\n.\r\n"])
def test_a_content_without_a_mark_has_none(content):
    reader, rest = read(content, [])
    assert rest == b""
    assert reader.mark is None


def test_a_mark_in_the_body_is_none():
    """Bounces carry the header of what they return."""
    line = mark(1, 1, 1, b"\r\n")
    reader, _ = read(b"Subject: bounce\r\n\r\n" + line + b"\r\n.\r\n", [])
    assert reader.mark is None


def test_a_mark_with_other_octets_is_none():
    line = mark(1, 1, 1, b"\r\n").replace(b".00000001.", b".0000000G.")
    reader, _ = read(line + b"\r\n.\r\n", [])
    assert reader.mark is None


def test_addresses_are_the_same_in_both_cases_of_letters():
    assert (
        hash_address(b"User@Example.TEST") == hash_address(b"user@example.test") != hash_address(b"user@example.tess")
    )
