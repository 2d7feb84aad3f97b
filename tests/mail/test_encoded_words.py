"""Encoded words (RFC 2047), folds, and the transfer encodings of bodies (RFC 2045 6.7, 6.8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import _encoded_words, encoded_words, transfer
from tests.mail import twin_text

PIECES = "=? ? ?= = =?utf-8?q? =?utf-8?B? =?UTF-8*en?Q? =?latin1?q? a ä_ =C3 =a YQ== w6 \x20 \t \r\n \n * ?b? =?q? x?="
VALUES = st.lists(st.sampled_from([each.encode() for each in PIECES.split(" ")] + [b" ", b"\r\n "])).map(b"".join)
LINES = st.lists(
    st.sampled_from([b"=", b"=3D", b"=C3=A4", b" ", b"\t", b"\r\n", b"\n", b"a", b"=\r\n", b"= \n", b"\r", b"=g"])
)
DIGITS = st.lists(st.sampled_from([b"YQ==", b"YWI=", b"YWJj", b"=", b"\r\n", b"!", b"A", b"/", b"-"])).map(b"".join)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"=?utf-8?B?a8M=?= =?utf-8?B?pHNl?=", "käse"),
        (b"=?UTF-8?B?a8M=?=\r\n =?utf-8*de?Q?=A4se?=", "käse"),
        (b"=?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?B?IGF1cyBL?=\r\n =?utf-8?B?w7ZsbiE=?=", "Grüße aus Köln!"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?q?a_b=20c?=", "a b c"),
        (b"=?utf-8?q?a b?= =?utf-8?q?c?=", "a bc"),
        (b"(=?utf-8?q?a?=)", "(a)"),
        (b"=?utf-8?q??=", ""),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a", "=?utf-8?q?a"),
        (b"=??q?a?=", "=??q?a?="),
        (b"=?utf-8?q?a=C3?=", "a\ufffd"),
        (b"=?zlib?Q?x?= =?bz2?b?QQ==?=", "xA"),
        (b"=?punycode-?Q?x-?=", "x-"),
        (b"=?utf-7?q?+2AA-?=", "\ufffd"),
        (b"gr\xfc\xdfe", "grüße"),
        ("grüße".encode(), "grüße"),
        (b"a\r\n\tb\r\n  c", "a b  c"),
        (b"a\r\nb: c\r\n d", "a\r\nb: c d"),
        (b"=?gb2312?B?1Oc=?= =?GB2312?B?yc+6ww==?=", "早上好"),
    ],
)
def test_a_value_reads_as_people_read_it(value, text):
    assert encoded_words.decode(value) == text


@given(VALUES)
def test_runs_are_those_of_the_slow_twin(value):
    assert _encoded_words.runs(value) == twin_text.runs(value)


@given(VALUES | st.binary())
def test_folds_are_undone_as_the_slow_twin_does(value):
    assert _encoded_words.unfold(value) == twin_text.unfold(value)


@given(VALUES | st.binary())
def test_nothing_makes_it_raise_or_give_lone_surrogates(value):
    encoded_words.decode(value).encode()


def test_at_most_so_many_octets_of_a_value_are_looked_at():
    value = b"a" * encoded_words.VALUE_OCTETS + b"=?utf-8?q?b?="
    assert encoded_words.decode(value) == "a" * encoded_words.VALUE_OCTETS


@given(st.lists(LINES.map(b"".join)).map(b"".join) | st.binary())
def test_quoted_printable_is_that_of_the_slow_twin(octets):
    assert transfer.decode(octets, "quoted-printable") == twin_text.quoted_printable(octets)


@given(DIGITS | st.binary())
def test_base64_is_that_of_the_slow_twin(octets):
    assert transfer.decode(octets, "base64") == twin_text.base64(octets)


@pytest.mark.parametrize(
    ("coded", "octets"),
    [
        (b"trailing  \t\r\nb", b"trailing\r\nb"),
        (b"soft=  \r\nbreak", b"softbreak"),
        (b"soft=\nbreak", b"softbreak"),
        (b"kept=20\r\n", b"kept \r\n"),
        (b"=3D=zz=", b"==zz"),
        (b"last=", b"last"),
        (b"a=\r\n", b"a"),
    ],
)
def test_blanks_at_the_end_of_a_line_are_no_text(coded, octets):
    """RFC 2045 6.7, rules 3 and 5."""
    assert transfer.decode(coded, "quoted-printable") == octets


def test_other_encodings_change_nothing():
    for encoding in ("7bit", "8bit", "binary", "", "x-uuencode"):
        assert transfer.decode(b"=41 QQ==", encoding) == b"=41 QQ=="


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=300), st.integers(0, 100))
def test_what_is_encoded_is_read_back_and_lines_are_short(text, used):
    """RFC 2047 2: a word has at most 75 characters, a line of them 76."""
    text = " ".join(text.split())
    made = encoded_words.encode(text, used)
    assert encoded_words.decode(made.encode("ascii")) == text or "=?" in text
    for number, line in enumerate(made.split("\r\n")):
        assert not number or line[0] == " "
        assert line.strip() or not text
        if not text.isascii():
            assert len(line) <= 76 if number or used < 40 else True


def test_a_long_word_of_ascii_is_no_long_line():
    made = encoded_words.encode("x" * 3000, 9)
    assert max(map(len, made.split("\r\n"))) <= 76
    assert encoded_words.decode(made.encode()) == "x" * 3000


def test_ascii_is_folded_at_spaces():
    made = encoded_words.encode("word " * 40 + "end", 9)
    assert max(map(len, made.split("\r\n"))) <= 77
    assert encoded_words.decode(made.encode()) == "word " * 40 + "end"
