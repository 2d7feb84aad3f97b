"""Dates, parameters, HTML and normalisation: each beside what the standard library makes of it."""

import email.utils
import html
import unicodedata
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import dates, html_text, parameters
from relay.mail.unicode_text import PIECE, normalized

LIMITS = datetime.fromisoformat("1950-01-01"), datetime.fromisoformat("2999-01-01")
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATES = st.datetimes(*LIMITS, timezones=ZONES).map(lambda d: d.replace(microsecond=0))


@given(DATES)
def test_a_date_is_written_and_read_as_the_standard_library_does(date):
    assert dates.written(date) == email.utils.format_datetime(date)
    assert dates.parse(dates.written(date)) == date
    assert dates.parse(dates.written(date).encode()) == email.utils.parsedate_to_datetime(dates.written(date))


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        ("Tue, 01 Apr 2014 09:06:31 -0700", "2014-04-01T09:06:31-07:00"),
        ("1 Apr 2014 09:06 +0000 (UTC)", "2014-04-01T09:06:00+00:00"),
        ("Tue,\r\n 1\tApr 2014 (a (b)) 09:06:31 PDT", "2014-04-01T09:06:31-07:00"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37+00:00"),
        ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37+00:00"),
        ("Sun Nov  6 08:49:37 EST 1994", "1994-11-06T08:49:37-05:00"),
        ("6 Nov 49 1:2 Z", "2049-11-06T01:02:00+00:00"),
        ("6 Nov 102 1:2 -0000", "2002-11-06T01:02:00+00:00"),
        ("Thu, 1 Jan 2020 10:00:60 GMT+0100", "2020-01-01T10:00:59+01:00"),
        ("1 Jan 2020", "2020-01-01T00:00:00+00:00"),
        ("31 Feb 2020 1:1:1", None), ("1 Jan 2020 24:00", None),
        ("1 Foo 2020 1:00", None), ("yesterday", None), ("", None),
        ("1 Jan 2020 10:00:00 +9999", None), ("1 Jan 2020 10:00:61", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_dates_of_real_mail(value, iso):
    found = dates.parse(value)
    assert (found and found.isoformat()) == iso


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["1", "2020", "Jan", "Tue", ",", ":", "(", ")", "-", "+00", "Z"])).map(" ".join)
)
def test_no_date_makes_it_raise(value):
    found = dates.parse(value)
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain; charset=utf-8", {b"charset": (b"utf-8", None)}),
        (b"x; b*1=c; b*0=a", {b"b": (b"ac", None)}),
        (b"x; n*=iso-8859-1'de'%FC.txt", {b"n": (b"\xfc.txt", b"iso-8859-1")}),
        (b"x; n*0*=utf-8''%C3; n*1*=%A4; n*2=%41", {b"n": ("ä%41".encode(), b"utf-8")}),
        (b"x; n*0=a; n*2=b", {b"n": (b"a", None)}),
        (b"x; n*1=a", {}),
        (b"x; n=1; n=2", {b"n": (b"1", None)}),
        (b"x; n*00001=a; n*x=b; *=c", {b"": (b"c", None)}),
        (b"x; n*='%", {b"n": (b"'%", None)}),
    ],
)
def test_parameters_are_joined_and_decoded(value, expected):
    """RFC 2231 3, 4."""
    assert {name: tuple(each) for name, each in parameters.parameters(value).items()} == expected


def test_the_text_of_a_parameter():
    found = parameters.parameters(b"x; a*=gb2312''%D6%D0; b=\"=?utf-8?q?=C3=A4?=\"; c*=bz2''x")
    assert [found[name].text for name in (b"a", b"b", b"c")] == ["中", "ä", "x"]


def test_a_value_has_no_more_than_so_many_parameters():
    assert len(parameters.parameters(b"".join(b";a%d=b" % number for number in range(100_000)))) == 1000


@given(
    st.lists(st.sampled_from(["&", "#", "x", ";", "amp", "lt", "notit", "9", "A", "&#x41;", "&nbsp;", "é"])).map(
        "".join
    )
)
def test_references_are_resolved_as_the_standard_library_does(text):
    assert html_text.resolved(text) == html.unescape(text) or "#" in text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>a<b>b</b></p>", " a b  "), ("<style>x</style>y", " y"), ("<script>if (a < b)</script >z", " z"),
        ("<head><title>x</title></head>y", "   y"), ("<!-- a > b -->c", " c"), ("a<script", "a "), ("a<b", "a "),
        ("<header>x</header>", " x "), ("<head><body>y", "  y"),
        ("&lt;p&gt;&#x41;&#128;&#0;&#xD800;", "<p>A€\ufffd\ufffd"), ("&" * 5, "&&&&&"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"), ("İ<b>x", "İ x"),
    ],
)  # fmt: skip
def test_the_text_of_html(source, text):
    assert html_text.text_of(source) == text


@given(st.text(max_size=PIECE))
def test_a_short_text_is_normalised_by_the_standard(text):
    assert normalized("NFC", text) == unicodedata.normalize("NFC", text)


@given(st.lists(st.text("aé e\u0301\u0316한\u1112\u1161", max_size=40), max_size=60).map(" ".join))
def test_a_long_text_with_ascii_in_it_is_as_well(text):
    for form in ("NFC", "NFKD"):
        assert normalized(form, text) == unicodedata.normalize(form, text)
