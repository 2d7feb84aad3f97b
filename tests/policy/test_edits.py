"""Changes to a header section."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.edits import ALL, BOTTOM, TOP, Add, Change, Edit, Remove, apply, check, name_of, named, split

HEADER = b"Received: a\r\n\tb\r\nSubject: one\r\nTo: x\r\nSUBJECT : two\r\n"


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (Add(b"New: 1\r\n"), b"New: 1\r\n" + HEADER),
        (Add(b"New: 1\r\n", TOP), b"New: 1\r\n" + HEADER),
        (Add(b"New: 1\r\n", 1), b"Received: a\r\n\tb\r\nNew: 1\r\nSubject: one\r\nTo: x\r\nSUBJECT : two\r\n"),
        (Add(b"New: 1\r\n", BOTTOM), HEADER + b"New: 1\r\n"),
        (Add(b"New: 1\r\n", 99), HEADER + b"New: 1\r\n"),
        (Add(b"New: 1\r\n 2\r\n", BOTTOM), HEADER + b"New: 1\r\n 2\r\n"),
        (Remove(b"subject"), b"Received: a\r\n\tb\r\nTo: x\r\n"),
        (Remove(b"subject", ALL), b"Received: a\r\n\tb\r\nTo: x\r\n"),
        (Remove(b"Subject", 2), b"Received: a\r\n\tb\r\nSubject: one\r\nTo: x\r\n"),
        (Remove(b"Subject", 3), HEADER),
        (Remove(b"received"), b"Subject: one\r\nTo: x\r\nSUBJECT : two\r\n"),
        (Change(b"To", b"To: y\r\n"), b"Received: a\r\n\tb\r\nSubject: one\r\nTo: y\r\nSUBJECT : two\r\n"),
        (Change(b"Subject", b"Subject: 3\r\n", 2), b"Received: a\r\n\tb\r\nSubject: one\r\nTo: x\r\nSubject: 3\r\n"),
        (Change(b"Cc", b"Cc: y\r\n"), HEADER + b"Cc: y\r\n"),
    ],
)
def test_an_edit_changes_what_it_names_and_nothing_else(edit, after):
    assert apply(HEADER, [edit]) == after


def test_edits_are_made_in_their_order():
    edits: list[Edit] = [Add(b"A: 1\r\n"), Add(b"A: 2\r\n"), Remove(b"a", 1), Change(b"A", b"A: 3\r\n")]
    assert apply(b"", edits) == b"A: 3\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"", b"\r\n", b"X: 1", b"X: 1\n", b"X: 1\r", b"X: 1\r\nY: 2\r\n", b"X: 1\r\n\r\n", b"X: 1\r\n\r\nbody\r\n",
        b"X 1\r\n", b": 1\r\n", b" X: 1\r\n", b"X\xe9: 1\r\n", b"X: a\rb\r\n", b"X: a\nb\r\n", b"X: a\0b\r\n",
        b"X Y: 1\r\n",
    ],
)  # fmt: skip
def test_an_edit_cannot_break_the_header_section(field):
    for edit in (Add(field), Change(b"X", field)):
        with pytest.raises(ValueError, match="not a whole field"):
            check(edit)
        with pytest.raises(ValueError, match="not a whole field"):
            apply(HEADER, [edit])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xc3\xa9"])
def test_an_edit_names_a_field(name):
    for edit in (Remove(name), Change(name, b"X: 1\r\n")):
        with pytest.raises(ValueError, match="not a field name"):
            check(edit)


@given(
    st.binary(max_size=60).map(
        lambda octets: octets.translate(bytes(b"\r\nA: \t\x00b."[each % 9] for each in range(256)))
    )
)
def test_fields_put_together_again_are_the_header_section(header):
    fields = split(header)
    assert b"".join(fields) == header
    assert all(fields)
    for field in fields:
        assert not re.search(rb"\n[^ \t]", field), "a field goes on only behind a blank"
        assert b":" in field or not name_of(field)


def test_the_log_has_no_values():
    assert named(Add(b"X-Spam: secret\r\n")) == b"field added: X-Spam"
    assert named(Remove(b"X-Spam")) == b"field removed: X-Spam"
    assert named(Change(b"Subject", b"Subject: secret\r\n")) == b"field changed: Subject"
