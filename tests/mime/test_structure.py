"""What the scanner says of contents that have a point, one by one."""

from __future__ import annotations

import pytest

from relay import _mime, _mime_values


def outline(content: bytes) -> list[tuple[int, str, bytes]]:
    """(depth, kind, body) of each part; of multiparts and messages without the body."""
    return [
        (part.depth, part.kind, content[part.body] if part.kind in ("basic", "text") else b"")
        for part in _mime.scan(content)
    ]


def multipart(boundary: bytes, *rest: bytes) -> bytes:
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + b"".join(rest)


def test_the_line_break_before_a_delimiter_belongs_to_the_delimiter() -> None:
    """RFC 2046 5.1.1."""
    content = multipart(b"b", b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\n")
    assert outline(content) == [(0, "multipart", b""), (1, "text", b"one"), (1, "text", b"two\r\n")]


def test_preamble_and_epilogue_are_no_parts_and_their_delimiters_count_no_more() -> None:
    content = multipart(b"b", b"before\r\n--b\r\n\r\none\r\n--b--\r\nafter\r\n--b\r\n\r\nno part\r\n--b--")
    assert outline(content) == [(0, "multipart", b""), (1, "text", b"one")]
    assert content[_mime.scan(content)[0].body].endswith(b"no part\r\n--b--")


@pytest.mark.parametrize("padding", [b"", b" ", b"\t  \t"])
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_delimiter_line_may_end_with_white_space(padding: bytes, newline: bytes) -> None:
    """transport-padding, RFC 2046 5.1.1."""
    content = multipart(b"b", b"--b" + padding + newline + newline + b"one" + newline + b"--b--" + padding + newline)
    structure = _mime.scan(content)
    assert [content[part.body] for part in structure][1:] == [b"one"]
    assert "closed" in structure[0].flags


def test_boundaries_that_begin_with_one_another_are_told_apart() -> None:
    """RFC 2046 5.1.2."""
    inner = multipart(b"bb", b"--bb\r\n\r\ninner\r\n--b\r\n\r\nouter\r\n--bb\r\n\r\ntext\r\n--b--")
    content = multipart(b"b", b"--b\r\n", inner)
    assert outline(content) == [
        (0, "multipart", b""),
        (1, "multipart", b""),
        (2, "text", b"inner"),
        (1, "text", b"outer\r\n--bb\r\n\r\ntext"),
    ]


def test_a_boundary_that_looks_like_the_end_of_another_is_a_delimiter_of_the_inner_one() -> None:
    content = multipart(b"b", b"--b\r\n", multipart(b"b--", b"--b--\r\n\r\none\r\n--b----\r\n--b\r\n\r\ntwo\r\n--b--"))
    assert outline(content)[2:] == [(2, "text", b"one"), (1, "text", b"two")]


def test_the_same_boundary_inside_itself_is_the_inner_one_s() -> None:
    content = multipart(b"b", b"--b\r\n", multipart(b"b", b"--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\ntwo\r\n--b--\r\n"))
    assert [(depth, body) for depth, _, body in outline(content)] == [(0, b""), (1, b""), (2, b"one"), (1, b"two")]


def test_an_outer_delimiter_ends_what_was_never_closed_inside() -> None:
    """RFC 2046 5.1.2."""
    content = multipart(b"o", b"--o\r\n", multipart(b"i", b"--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--o--\r\n"))
    assert outline(content)[2:] == [(2, "text", b"one"), (1, "text", b"two")]
    assert ["closed" in part.flags for part in _mime.scan(content)] == [True, False, False, False]


def test_without_an_end_delimiter_the_last_part_goes_to_the_end() -> None:
    content = multipart(b"b", b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n")
    assert outline(content)[1:] == [(1, "text", b"one"), (1, "text", b"two\r\n")]


def test_a_delimiter_ends_a_header_section_that_has_no_empty_line() -> None:
    content = multipart(b"b", b"--b\r\nContent-Type: image/png\r\n--b--\r\n")
    part = _mime.scan(content)[1]
    assert content[part.header] == b"Content-Type: image/png\r\n"
    assert (content[part.body], part.lines) == (b"", 0)
    assert "no-empty-line" in part.flags


def test_empty_parts_have_empty_bodies_without_lines() -> None:
    content = multipart(b"b", b"--b\r\n\r\n--b\r\n--b\r\n\r\n\r\n--b--")
    parts = list(_mime.scan(content))[1:]
    assert [(content[part.header], content[part.body], part.lines) for part in parts] == [
        (b"\r\n", b"", 0),
        (b"", b"", 0),
        (b"\r\n", b"", 0),
    ]


def test_what_a_digest_holds_is_a_message_unless_it_says_otherwise() -> None:
    """RFC 2046 5.1.5; RFC 2045 5.2 for the type that cannot be read."""
    head = b"Content-Type: multipart/digest; boundary=b\n\n"
    content = (
        head
        + b"--b\n\nSubject: one\n\nbody\n--b\nContent-Type: text/plain\n\ntwo\n--b\nContent-Type: ?\n\nthree\n--b--"
    )
    parts = list(_mime.scan(content))
    assert [part.kind for part in parts] == ["multipart", "message", "text", "text", "text"]
    assert [part.content_type(content) for part in parts[1:]] == [b"message/rfc822", *[b"text/plain"] * 3]
    assert content[parts[2].fields["subject"]] == b"one"


def test_a_message_in_a_message_has_lines_and_an_envelope_of_its_own() -> None:
    inner = b"From: <a@b>\r\nSubject: in\r\n side\r\n\r\n1\r\n2\r\n"
    content = b"Subject: outside\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    outer, message = _mime.scan(content)
    assert (outer.kind, outer.children, outer.lines, content[outer.body]) == ("message", 1, 6, inner)
    assert (message.parent, message.header_lines, message.lines) == (0, 4, 2)
    assert content[message.fields["subject"]] == b"in\r\n side"


def test_a_message_in_base64_is_not_looked_into() -> None:
    """RFC 2046 5.2.1 forbids it; RFC 6532 3.7 allows it for message/global. Its octets are no header section."""
    content = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: Base64\n\nU3ViamVjdDogeAoK\n"
    assert outline(content) == [(0, "basic", b"U3ViamVjdDogeAoK\n")]


def test_envelope_fields_of_a_part_that_is_no_message_are_not_noted() -> None:
    content = multipart(b"b", b"--b\r\nSubject: no\r\nContent-ID: <x@y>\r\n\r\n--b--")
    assert list(_mime.scan(content)[1].fields) == ["content-id"]


def test_only_the_first_field_of_a_name_counts() -> None:
    types = b"Content-Type: text/html\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
    content = b"Subject: one\nSubject: two\n more\n" + types
    part = _mime.scan(content)[0]
    assert content[part.fields["subject"]] == b"one"
    assert (part.kind, part.content_type(content)) == ("text", b"text/html")


def test_a_multipart_without_a_boundary_is_one_body() -> None:
    part = _mime.scan(b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n--b--\r\n")[0]
    assert (part.kind, set(part.flags), part.lines) == ("basic", {"no-boundary"}, 3)


def test_line_ends_without_cr_are_counted_apart() -> None:
    """A Maildir has LF; IMAP's sizes are those with CRLF."""
    part = _mime.scan(b"Subject: x\nFrom: y\r\n\na\r\nb\n\n\rc")[0]
    assert (part.header_lines, part.header_bare_lines, part.lines, part.bare_lines) == (3, 2, 3, 2)


def test_an_empty_content_is_one_empty_part() -> None:
    (part,) = _mime.scan(b"")
    assert (part.kind, part.header, part.body, part.lines) == ("text", slice(0, 0), slice(0, 0), 0)


def test_parts_of_a_structure_are_reached_as_siblings() -> None:
    content = multipart(
        b"b", b"--b\r\n", multipart(b"c", b"--c\r\n\r\n--c\r\n\r\n--c--\r\n"), b"--b\r\n\r\nlast\r\n--b--\r\n"
    )
    structure = _mime.scan(content)
    first = structure[1]
    assert (first.after, structure[first.after].parent, content[structure[first.after].body]) == (4, 0, b"last")
    assert [part.index for part in structure] == list(range(len(structure)))


def test_parts_outlive_their_structure() -> None:
    part = _mime.scan(b"Subject: x\r\n\r\nbody")[0]
    assert (part.body, part.field("subject"), part.field("to")) == (slice(14, 18), slice(9, 10), None)
    with pytest.raises(ValueError):
        part.field("received")


def test_misuse_is_an_error_and_no_crash() -> None:
    structure = _mime.scan(b"")
    for index in (-1, 1):
        with pytest.raises(IndexError):
            structure[index]
    for bounds in ((0, 1, 1), (1, 101, 1), (1, -1, 1), (1, 1, -1)):
        with pytest.raises(ValueError):
            _mime.scan(b"", *bounds)
    with pytest.raises(TypeError):
        _mime.Structure()
    with pytest.raises(TypeError):
        _mime.Part()


@pytest.mark.parametrize(
    ("value", "word", "parameters"),
    [
        (b"text/plain", b"text/plain", []),
        (b" Text / HTML (a (b) \\) ; c) ; CharSet = utf-8 ; x=y", b"text/html", [(b"charset", b"utf-8"), (b"x", b"y")]),
        (b'attachment; filename="a \\"b\\"\r\n c.txt"', b"attachment", [(b"filename", b'a "b" c.txt')]),
        (b"inline; filename=foo(1).pdf; size=3", b"inline", [(b"filename", b"foo(1).pdf"), (b"size", b"3")]),
        (b"multipart/mixed; boundary=----=_Next.1", b"multipart/mixed", [(b"boundary", b"----=_Next.1")]),
        (b'a/b; x="never closed; y=z', b"a/b", [(b"x", b"never closed; y=z")]),
        (b"a/b; =x; y; z=", b"a/b", [(b"z", b"")]),
        (b"a/b (never closed; x=y", b"a/b", []),
        (b"7BIT (seven)", b"7bit", []),
        (b"", b"", []),
    ],
)
def test_structured_values(value: bytes, word: bytes, parameters: list[tuple[bytes, bytes]]) -> None:
    """RFC 2045 5.1, RFC 2183 2, and what is often sent."""
    assert _mime_values.parse_value(value) == (word, parameters)


@pytest.mark.parametrize(
    "parameter",
    [
        b"boundary=b",
        b'BOUNDARY="b"',
        b"x=y;\r\n\tboundary=b ",
        b'boundary="\\b"',
        b'boundary="b "',
        b"boundary*=us-ascii'en'%62",
        b"boundary*0=b",
        b"boundary*1=\"\";boundary*0*=''%62",
        b"boundary*0=x; boundary=b",
        b"boundary=b; boundary=x",
    ],
)
def test_ways_to_write_a_boundary(parameter: bytes) -> None:
    """RFC 2045 5.1, RFC 2231 3 and 4."""
    content = b"Content-Type: multipart/mixed; " + parameter + b"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n"
    assert outline(content)[1:] == [(1, "text", b"one")]
