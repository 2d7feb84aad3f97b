"""Address lists (RFC 5322 3.4 and 4.4, RFC 6854), well-formed, careless and hostile."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.header_addresses import MOST, OCTETS, addresses
from tests.mail.twin_addresses import mailbox

BEGIN, END = "begin", "end"


def shown(value):
    """Each as (name, local, domain), groups as BEGIN with their name and END; what is not clean with a ``!``."""
    found: list[Any] = []
    for each in addresses(value):
        if each.is_group_begin:
            found.append((BEGIN, (each.local or b"").decode()))
        elif each.is_group_end:
            found.append(END)
        else:
            words = [None if part is None else part.decode() for part in (each.name, each.local, each.domain)]
            found.append((*words,) if each.is_clean else (*words, "!"))
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"Doe, John" <john.doe+tag@Example.COM>, b@c (Bob)',
         [("Doe, John", "john.doe+tag", "Example.COM"), ("Bob", "b", "c")]),
        (b"group: a@b.c, (comment) d@e.f;", [(BEGIN, "group"), (None, "a", "b.c"), ("comment", "d", "e.f"), END]),
        (b"undisclosed-recipients:;", [(BEGIN, "undisclosed-recipients"), END]),
        (b"a: x@y;, z@w", [(BEGIN, "a"), (None, "x", "y"), END, (None, "z", "w")]),
        (b"<@a,@b:c@d>", [(None, "c", "d")]),
        (b"A. B. Cee <a . b @ c . d>", [("A. B. Cee", "a.b", "c.d")]),
        (b'"a \\" b"@[IPv6:::1]', [(None, 'a " b', "[IPv6:::1]")]),
        (b"Ann (x) <a@b> (y)", [("Ann", "a", "b")]),
        (b"a@b (c (d) \\) e)", [("c (d) ) e", "a", "b")]),
        (b"a@b,\r\n\tc@d,,", [(None, "a", "b"), (None, "c", "d")]),
        (b"=?utf-8?q?a=2Cb?= <a@b>", [("=?utf-8?q?a=2Cb?=", "a", "b")]),
        (b"", []),
        (b" , ,", []),
        # careless
        (b"John Doe foo@bar", [(None, "JohnDoefoo", "bar", "!")]),
        (b"<a@b, c@d", [(None, "a", "b", "!"), (None, "c", "d")]),
        (b"Ann <ann@x> <c@d>", [("Ann", "ann", "x", "!")]),
        (b"x <a@b> y", [("x", "a", "b", "!")]),
        (b"ceo@bank.test <a@b>", [("ceo@bank.test", "a", "b", "!")]),
        (b"a@b@c", [(None, "a@b", "c", "!")]),
        (b'"unclosed <a@b>, c@d', [('"unclosed', "a", "b", "!"), (None, "c", "d")]),
        (b"a@[unclosed, c@d", [(None, "a", "[unclosed", "!"), (None, "c", "d")]),
        (b"a@b (unclosed, c@d", [("unclosed, c@d", "a", "b", "!")]),
        (b"postmaster", [(None, "postmaster", "", "!")]),
        (b"<>", [(None, "", "", "!")]),
        (b"<mailto:a@b>", [(None, "a", "b", "!")]),
        (b"a: b: c@d;", [(BEGIN, "a"), END, (BEGIN, "b"), (None, "c", "d"), END]),
        (b"a@b\0", [(None, "a", "b")]),
    ],
)  # fmt: skip
def test_a_list_is_read_as_far_as_it_can_be_understood(value, expected):
    assert shown(value) == expected


@given(st.lists(mailbox(), max_size=5), st.sampled_from([",", " , ", ",\r\n "]))
def test_what_follows_the_grammar_is_read_by_the_grammar(written, comma):
    value = comma.join(text for text, _ in written).encode()
    assert shown(value) == [parts for _, parts in written]


@given(st.lists(st.sampled_from([*'"\\<>,:;@.()[] ab', "\r\n ", "\0", "é"])).map("".join))
def test_nothing_makes_it_raise_and_groups_are_closed(value):
    depth = 0
    for each in addresses(value.encode()):
        depth += each.is_group_begin - each.is_group_end
        assert 0 <= depth <= 1
    assert not depth


@pytest.mark.parametrize("value", [b"a@b," * 20_000, b"a:;" * 20_000, b"a:" * 20_000, b"<" + b"a@b," * 20_000])
def test_no_more_than_so_many_are_read(value):
    assert len(addresses(value)) <= MOST + 2
    assert len(addresses(value, most=3)) <= 5


def test_no_more_than_so_many_octets_are_read():
    assert [each.local for each in addresses(b"(" + b"x" * OCTETS + b") a@b, c@d")] == []
