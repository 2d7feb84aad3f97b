"""Whom a header section names as responsible."""

import random
import re
from email.utils import getaddresses

import pytest

from relay.mail.address import parse_address
from relay.mail.strict_addresses import LONGEST, UnreadableError, strict_addresses
from relay.policy.authors import Fields, responsible
from relay.policy.senders import foreign_author, is_own


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
    assert strict_addresses(value) == found


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
        strict_addresses(value)


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
            ours = strict_addresses(text.encode())
        except UnreadableError:
            continue
        read += 1
        theirs = {parse_address(address) for _, address in getaddresses([text]) if address}
        assert theirs <= set(ours), text
    assert read > 500


def test_hostile_fields_are_read_in_one_pass():
    """Counted in what is left, not in time: the reader gives up at its bound, whatever stands there."""
    for hostile in (b'"\\"' * 90_000, b"(" * 90_000, b"<@" * 90_000, b"," * 90_000, b'"' * 90_001, b"[" * 90_000):
        assert foreign_author(responsible(b"From: " + hostile + b"\r\n"), "a@x.test", "+", "own")
        assert foreign_author(responsible(b"From: " + hostile[: LONGEST - 10] + b"\r\n"), "a@x.test", "+", "own")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (b"a@x.test", True),
        (b"A+tag@X.test", True),
        (b"a@x.test.", True),
        (b"a+tag@x.test.", True),
        (b"b@x.test.", False),
        (b"a.@x.test", False),
        (b"a@x.test..", False),
        (b"a@x.testx", False),
        (b"", False),
    ],
)
def test_a_dot_at_the_end_of_the_domain_makes_no_other_address(address, expected):
    """RFC 1034 3.1."""
    assert is_own(address, "a@x.test", "+") is expected


def slow_twin(header: bytes) -> Fields:
    """Field by field, all of them."""
    fields = re.findall(rb"([^:\r\n]*?)[ \t]*:((?:[^\r]|\r\n[ \t])*)\r\n", header)
    names = [name.lower() for name, _ in fields]
    top = next((at for at, name in enumerate(names) if name in {b"received", b"return-path"}), len(names))
    block: dict[bytes, bytes] = {}
    for name, (_, value) in zip(names[:top], fields[:top], strict=True):
        if name.startswith(b"resent-"):
            if name in block:
                break
            block[name] = value
    values = {wanted: [value for name, value in fields if name.lower() == wanted] for wanted in (b"from", b"sender")}
    resent = [[block[name]] if name in block else [] for name in (b"resent-from", b"resent-sender")]
    found = resent if any(resent) else [values[b"from"][:2], values[b"sender"][:2]]
    return Fields(any(resent), bool(values[b"from"]), tuple(found[0]), tuple(found[1]))


def test_the_responsible_fields_are_those_that_the_slow_way_finds():
    draw = random.Random(5322)
    names = (b"From", b"SENDER ", b"Resent-From", b"resent-sender", b"Resent-To", b"Received", b"Subject", b"X-From")
    for _ in range(5000):
        fields = [
            draw.choice(names) + b": %d\r\n" % number + b" From: x\r\n" * draw.randrange(2) for number in range(6)
        ]
        header = b"".join(fields[: draw.randrange(7)])
        assert responsible(header) == slow_twin(header), header
