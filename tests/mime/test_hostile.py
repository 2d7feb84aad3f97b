"""Contents made to be slow, deep or large: work grows with their length only, results stay within the bounds.

Work is counted (``Structure.steps``: header lines, lines that may be delimiters, comparisons), not timed. Each content
is made at three sizes; twice the size may cost twice the steps and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from relay import _mime
from tests.mime import agreement

HEAD: Final = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n"


def open_multiparts(depth: int, boundary: Callable[[int], bytes]) -> bytes:
    return b"".join(HEAD % boundary(level) + b"--" + boundary(level) + b"\r\n" for level in range(depth))


def same_length(level: int) -> bytes:
    return b"x" * 60 + b"%03d" % level


CONTENTS: Final[dict[str, Callable[[int], bytes]]] = {
    "nearly a delimiter on each line": lambda n: HEAD % b"aaaa" + b"--aaab\r\n" * n,
    "nearly each of 99 long boundaries": lambda n: (
        open_multiparts(99, same_length) + (b"--" + b"x" * 60 + b"999\r\n") * n
    ),
    "99 boundaries that begin with one another": lambda n: (
        open_multiparts(99, lambda level: b"a" * (level + 1)) + (b"--" + b"a" * 120 + b"\r\n") * n
    ),
    "the same boundary 99 times and much padding": lambda n: (
        open_multiparts(99, lambda _: b"a") + b"--a" + b" " * n + b"x\r\n"
    ),
    "padding on each line": lambda n: HEAD % b"a" + (b"--a" + b" " * 60 + b"x\r\n") * n,
    "hyphens alone": lambda n: HEAD % b"a" + b"--" * n,
    "one hyphen on each line": lambda n: HEAD % b"a" + b"-\n" * n,
    "line ends alone": lambda n: HEAD % b"a" + b"\n" * n,
    "CRs alone": lambda n: HEAD % b"a" + b"\r" * n,
    "empty parts": lambda n: HEAD % b"a" + b"--a\n" * n,
    "parts opened and closed in turn": lambda n: HEAD % b"a" + (b"--a\r\n" + HEAD % b"b" + b"--b--\r\n") * n,
    "multiparts in multiparts": lambda n: open_multiparts(n, lambda level: b"%d" % level),
    "messages in messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * n,
    "fields": lambda n: b"X: y\r\n" * n + b"\r\n",
    "the same field": lambda n: HEAD % b"a" + b"--a\n" + b"Content-Type: text/plain\r\n" * n + b"\r\n",
    "folds": lambda n: b"Content-Type: multipart/mixed;" + b"\r\n x=y;" * n + b" boundary=a\r\n\r\n--a\r\n",
    "one long line of a header": lambda n: b"X" * n,
    "spaces before the colon": lambda n: b"X" + b" " * n + b"y",
    "comments not closed": lambda n: b"Content-Type: multipart/mixed;" + b"(" * n + b"\n\n--a\n",
    "quotes not closed": lambda n: b"Content-Type: multipart/mixed;" + b'x="' * n + b"\n\n--a\n",
    "backslashes": lambda n: b'Content-Type: multipart/mixed; boundary="' + b"\\" * n + b"\n\n--a\n",
    "sections of a boundary": lambda n: b"Content-Type: multipart/mixed" + b";boundary*1=a" * n + b"\n\n--a\n",
    "a header section in each part": lambda n: HEAD % b"a" + (b"--a\r\nContent-Type: text/plain\r\n\r\n") * n,
    "delimiters in header sections": lambda n: HEAD % b"a" + b"--a\r\nX: y\r\n" * n,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_work_is_linear_in_the_content(name: str) -> None:
    small, middle, large = (
        _mime.scan(CONTENTS[name](count), max_parts=1 << 20).steps for count in (20_000, 40_000, 80_000)
    )
    fixed = 50_000  # what the outer multiparts cost, whatever comes inside
    assert middle <= 2.1 * small + fixed
    assert large <= 2.1 * middle + fixed


@pytest.mark.parametrize("name", CONTENTS)
def test_work_is_at_most_the_depth_for_each_line_and_one_for_each_octet_of_a_type(name: str) -> None:
    content = CONTENTS[name](20_000)
    lines = content.count(b"\n") + 1
    assert _mime.scan(content, max_parts=1 << 20).steps <= 2 * (102 * lines + len(content))


@pytest.mark.parametrize("name", CONTENTS)
def test_hostile_contents_are_read_as_the_twin_reads_them(name: str) -> None:
    for count in (0, 1, 7, 120):
        agreement.structure(CONTENTS[name](count))


def test_parts_are_bounded_and_the_rest_belongs_to_the_last_one() -> None:
    content = HEAD % b"a" + b"--a\r\n\r\nx\r\n" * 50_000
    structure = _mime.scan(content)
    assert (len(structure), structure.is_truncated) == (10_000, True)
    assert structure[9_999].body.stop == len(content)
    assert structure[9_998].body.stop < 10_000 * 12


def test_depth_is_bounded_and_what_lies_deeper_stays_shut() -> None:
    for name, kind in (("multiparts in multiparts", "multipart"), ("messages in messages", "message")):
        structure = _mime.scan(CONTENTS[name](5_000))
        assert len(structure) == 101
        assert {part.kind for part in structure} == {kind, "basic"}
        assert structure[100].flags >= {"too-deep"}


def test_fields_far_down_a_header_section_are_not_noted() -> None:
    content = b"Subject: x\r\n" + b"X: y\r\n" * 100 + b"From: z\r\n\r\nbody"
    part = _mime.scan(content, max_header=600)[0]
    assert (list(part.fields), set(part.flags)) == (["subject"], {"no-type", "long-header"})
    assert content[part.body] == b"body"


def test_a_boundary_too_long_to_be_one_is_none() -> None:
    """RFC 2046 5.1.1 allows 70 octets; 250 are accepted."""
    kinds = [_mime.scan(HEAD % (b"x" * length) + b"--" + b"x" * length + b"\r\n")[0].kind for length in (250, 251)]
    assert kinds == ["multipart", "basic"]
