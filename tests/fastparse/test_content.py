"""Where a content ends, and where it does not: what SMTP smuggling relies on servers disagreeing about."""

from __future__ import annotations

import pytest

from relay import _fastparse
from tests.fastparse.twin_content import Content


def scan(octets: bytes) -> Content:
    scanner = _fastparse.ContentScanner()
    end = scanner.feed(octets)
    return Content(end, *scanner.result()[1:])


def test_crlf_dot_crlf_ends_the_data() -> None:
    """RFC 5321 4.1.1.4."""
    found = scan(b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n")
    assert (found.end, found.fault) == (23, "")


def test_dot_crlf_at_once_is_an_empty_content() -> None:
    """RFC 5321 4.1.1.4: the CRLF of the DATA line is the first half."""
    assert scan(b".\r\n").end == 3


SMUGGLED = b"\r\nMAIL FROM:<admin@example.org>\r\n"


@pytest.mark.parametrize(
    ("almost", "fault"),
    [
        (b"\n.\n", "bare-lf"),
        (b"\n.\r\n", "bare-lf"),
        (b"\r\n.\n", "bare-lf"),
        (b"\r.\r", "bare-cr"),
        (b"\r.\r\n", "bare-cr"),
        (b"\r\n.\r", "bare-cr"),
        (b"\r\n.\r\r\n", "bare-cr"),
        (b"\n\r.\r\n", "bare-lf"),
        (b"\r\n\0.\r\n", "nul"),
        (b"\r\n.\0\r\n", "nul"),
        (b"\r\n.\r\0\n", "bare-cr"),
        (b"\r\n\xa0.\r\n", ""),
        (b"\r\n .\r\n", ""),
        (b"\r\n. \r\n", ""),
        (b"\r\n..\r\n", ""),
    ],
)
def test_what_looks_like_the_end_of_data_to_others_does_not_end_it(almost: bytes, fault: str) -> None:
    """Invariant I3: one submitted message never becomes two; and the fault is found."""
    found = scan(b"body" + almost + SMUGGLED)
    assert (found.end, found.fault) == (-1, fault)


def test_a_fault_does_not_hide_the_true_end() -> None:
    """The session must stay in step with the peer: it refuses the message, then reads the next command."""
    found = scan(b"one\ntwo\rthree\0\r\n.\r\nQUIT\r\n")
    assert (found.end, found.fault) == (19, "bare-lf")


def test_a_doubled_cr_is_a_fault_and_the_line_still_ends() -> None:
    """The second CR and the LF are a CRLF: a peer that sends this has ended its data."""
    found = scan(b"x\r\r\n.\r\n")
    assert (found.end, found.fault) == (7, "bare-cr")


def test_a_cr_at_the_end_of_what_was_read_is_no_fault_until_the_next_octet() -> None:
    scanner = _fastparse.ContentScanner()
    assert scanner.feed(b"x\r") == -1
    assert scanner.result()[4] == ""
    assert scanner.feed(b"\n.\r") == -1
    assert scanner.result()[4] == ""
    assert scanner.feed(b"\nNOOP\r\n") == 1
    assert scanner.result()[4] == ""


@pytest.mark.parametrize("where", [0, 1, 30, 60, 61, 62, 63, 64, 65, 100, 127, 128, 200])
@pytest.mark.parametrize("octets", [b"\n", b"\r", b"\0", b"\r\r\n", b"\xff"])
def test_a_fault_is_found_wherever_it_stands_in_a_block(where: int, octets: bytes) -> None:
    """The scan works on 64 octets at a time."""
    found = scan(b"x" * where + octets + b"y" * 100 + b"\r\n.\r\n")
    expected = {b"\n": "bare-lf", b"\r": "bare-cr", b"\0": "nul", b"\r\r\n": "bare-cr", b"\xff": ""}[octets]
    assert (found.fault, found.eight_bit) == (expected, octets == b"\xff")
    assert found.end == where + len(octets) + 105


@pytest.mark.parametrize("length", [0, 1, 61, 62, 63, 64, 65, 126, 127, 128, 1000])
def test_the_longest_line_is_counted_without_its_end(length: int) -> None:
    """RFC 5321 4.5.3.1.6: a stuffed dot is not counted either."""
    assert scan(b"ab\r\n" + b"x" * length + b"\r\n.\r\n").longest_line == max(2, length)
    assert scan(b"ab\r\n." + b"x" * length + b"\r\nc\r\n").longest_line == max(2, length)


def test_octets_after_the_end_of_data_change_nothing() -> None:
    """They are the next command of a pipelining peer."""
    found = scan(b"a\r\n.\r\n\xff\n\0" + b"x" * 100)
    assert (found.end, found.eight_bit, found.fault) == (6, False, "")


def test_dots_tell_unstuffing_and_stuffing_apart() -> None:
    """A line "." + "x" as sent begins with no dot once it is unstuffed; ".." still does."""
    assert scan(b"a\r\n.x\r\n")[1:3] == (True, False)
    assert scan(b"a\r\n..\r\n")[1:3] == (True, True)
    assert scan(b"a.\r\nb\r\n.\r\n")[1:3] == (False, False)


def test_a_bare_line_feed_does_not_make_a_line_whose_dot_is_removed() -> None:
    """RFC 5321 4.5.2 speaks of lines, and lines end with CRLF."""
    assert _fastparse.unstuff(b"a\n..b\r\n..c") == b"a\n..b\r\n.c"
    assert _fastparse.stuff(b"a\n.b\r\n.c") == b"a\n.b\r\n..c"


def test_a_stream_is_unstuffed_without_its_end() -> None:
    unstuffer = _fastparse.Unstuffer()
    assert [unstuffer.feed(piece) for piece in (b"..a\r", b"\n.", b".b\r\n.\r", b"\n")] == [
        b".a\r",
        b"\n",
        b".b\r\n",
        b"",
    ]


def test_feeding_after_the_end_is_refused() -> None:
    scanner = _fastparse.ContentScanner()
    scanner.feed(b".\r\n")
    with pytest.raises(ValueError, match="found already"):
        scanner.feed(b"x")


def test_a_header_section_counts_hops_in_any_letter_case_and_spacing() -> None:
    """RFC 5321 6.3; RFC 5322 4.5 allows spaces before the colon."""
    header = b"RECEIVED: a\r\n b\r\n\tReceived: no\r\nreceived : c\r\nX-Received: no\r\n\r\nReceived: body\r\n"
    end, body, fields, received, _, _, malformed = _fastparse.parse_header(header)
    assert (header[end : end + 4], header[body:], fields, received) == (b"\r\nRe", b"Received: body\r\n", 3, 2)
    assert not malformed


def test_a_header_section_ends_at_the_first_line_that_is_no_field() -> None:
    """RFC 5322 2.2; what follows is body, so a forged "Received" there is no hop."""
    content = b"Subject: x\r\nthis is no field\r\nReceived: no\r\n\r\n"
    end, body, fields, received, _, _, malformed = _fastparse.parse_header(content)
    assert (end, body, fields, received, malformed) == (12, 12, 1, 0, True)


@pytest.mark.parametrize("content", [b"", b"\r\n", b" x\r\n\r\n", b":x\r\n", b"a", b"a:", b"a\r\n:b\r\n"])
def test_odd_header_sections_are_read_to_their_end(content: bytes) -> None:
    end, body, *_ = _fastparse.parse_header(content)
    assert 0 <= end <= body <= len(content)
