"""The scanner agrees with its twin: on token soup, on trees, and on trees with something broken."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mime import agreement, samples

QUICK = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MORE = settings(QUICK, max_examples=1500)


@MORE
@given(samples.soup())
def test_structures_of_token_soup_agree(content: bytes) -> None:
    agreement.structure(content)


@QUICK
@given(samples.broken())
def test_structures_of_broken_contents_agree(content: bytes) -> None:
    agreement.structure(content)


@QUICK
@given(st.binary(max_size=80))
def test_structures_of_noise_agree(content: bytes) -> None:
    agreement.structure(content)


@MORE
@given(samples.values())
def test_structured_values_agree(octets: bytes) -> None:
    agreement.value(octets)


@MORE
@given(samples.values())
def test_boundaries_agree(octets: bytes) -> None:
    """RFC 2231 forms, quotes, escapes and comments decide what is a boundary."""
    content = (
        b"Content-Type: multipart/mixed;"
        + octets.replace(b"\n", b"\n ")
        + b"\n\n--a\n\nx\n--A--\n--"
        + octets[-3:]
        + b"\n"
    )
    agreement.structure(content)


@QUICK
@given(
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"-", b"\n-", b"\n--", b"x" * 31, b"y" * 125]), max_size=40),
    st.data(),
)
def test_all_ways_of_looking_at_bodies_agree(pieces: list[bytes], data: st.DataObject) -> None:
    content = b"x" + b"".join(pieces)
    agreement.candidates(content, [0, data.draw(st.integers(0, len(content))), len(content)])


def test_line_ends_are_counted_right_at_every_offset_of_a_block() -> None:
    """Blocks of 128 octets are counted by vectors, the rest line by line: a CRLF may lie across."""
    for length in range(600):
        agreement.candidates(
            b"x" * length + b"\r\n" * 140 + b"\n" * 300 + b"\r\n--" + b"\r\n" * (length % 7), [0, length]
        )


def test_more_line_ends_than_one_count_holds() -> None:
    for unit in (b"\n", b"\r\n", b"\n\r", b"\r\r\n"):
        agreement.candidates(unit * 60_000, [0, 1])
