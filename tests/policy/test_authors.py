"""Whom a header section names as responsible."""

import random
from email.utils import getaddresses

import pytest

from relay.mail.address import parse_address
from relay.policy.authors import LONGEST, UnreadableError, addresses
from relay.policy.senders import foreign_author


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b" a@x.test", [b"a@x.test"]),
        (b" A Name <a@X.test>", [b"a@x.test"]),
        (b'"Name, A. <b@y.test>" <a@x.test>, (c, (d)) b (x) @ y . test', [b"a@x.test", b"b@y.test"]),
        (b" J. Q. Public <a.b@x.test>", [b"a.b@x.test"]),
        (b' "a b"@x.test', [b'"a b"@x.test']),
        (b" a@[192.0.2.1]", [b"a@[192.0.2.1]"]),
        (b"\r\n\ta@x.test,\r\n b@x.test", [b"a@x.test", b"b@x.test"]),
        (b"a@x.test, , b@x.test,", [b"a@x.test", b"b@x.test"]),
        (b"Team:;", []),
        (b"Team: (nobody) ;", []),
        (b'"T" x: a@x.test, <b@x.test>;, c@x.test', [b"a@x.test", b"b@x.test", b"c@x.test"]),
        ("Jürgen <jürgen@x.test>".encode(), ["jürgen@x.test".encode()]),
        ("a@bücher.test".encode(), [b"a@xn--bcher-kva.test"]),
        (b"boss@y.test <a@x.test>", [b"boss@y.test", b"a@x.test"]),
        (b"=?utf-8?q?a=40y=2Etest?= <a@x.test>", [b"a@x.test"]),
    ],
)
def test_addresses_are_read(value, found):
    assert addresses(value) == found


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"(a@x.test)", b",", b"nobody", b"<>", b"a@x.test b@x.test", b"a@x.test <", b"<a@x.test> <b@x.test>",
        b"<a@x.test> b", b"a@x.test>", b"a@", b"@x.test", b'"a@x.test', b"(a@x.test", b"a)@x.test", b"Team: a@x.test",
        b"a:b:;", b"a@x.test;", b"a@x.test\\", b"a b@x.test", b"a@b@x.test", b"a\x01@x.test", b":;",
        b"<a@x.test>@y.test",
        b"boss@y.test, x <a@x.test", b"a b@y.test <a@x.test>", b"a" * LONGEST + b"@x.test",
    ],
)  # fmt: skip
def test_what_readers_could_read_in_two_ways_is_unreadable(value):
    with pytest.raises(UnreadableError):
        addresses(value)


def test_what_is_read_is_what_the_standard_library_reads():
    """Where both can read a field, they find the same; ours refuses more."""
    draw = random.Random(6854)
    parts = (
        "a",
        "b.c",
        "@x.test",
        "@",
        "x.test",
        "<",
        ">",
        ",",
        " ",
        '"q"',
        "(c)",
        "Team:",
        ";",
        ".",
        "a@x.test",
        "<b@y.test>",
    )
    read = 0
    for _ in range(20_000):
        text = "".join(draw.choices(parts, k=draw.randrange(1, 7)))
        try:
            ours = addresses(text.encode())
        except UnreadableError:
            continue
        read += 1
        theirs = {parse_address(address) for _, address in getaddresses([text]) if address}
        assert theirs <= set(ours), text
    assert read > 500


def test_hostile_fields_are_read_in_one_pass():
    """Counted in what is left, not in time: the reader gives up at its bound, whatever stands there."""
    for hostile in (b'"\\"' * 90_000, b"(" * 90_000, b"<@" * 90_000, b"," * 90_000, b'"' * 90_001, b"[" * 90_000):
        assert foreign_author(b"From: " + hostile + b"\r\n", "a@x.test", "+", "own")
        assert foreign_author(b"From: " + hostile[: LONGEST - 10] + b"\r\n", "a@x.test", "+", "own")


@pytest.mark.parametrize("header", [b"From: a@x.test\r\nno field\r\n", b" x\r\nFrom: a@x.test\r\n"])
def test_a_line_that_is_no_field_makes_the_whole_foreign(header):
    assert foreign_author(header, "a@x.test", "+", "own") == "a header section that cannot be read"
