"""Text is compared without case, and composed or not (RFC 5051), in linear time."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail import casemap as module
from relay.mail.casemap import MAX_MARKS, casemap


def twin(text):
    """Unicode 3.13, D146."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_it_is_what_unicode_says(text):
    assert casemap(text) == twin(text)


@pytest.mark.parametrize(
    "text", ["aß", "\u0130", "\u212b", "\ufb01", "ǅ", "Σς", "\u1e9e", "한글", "İi", "e\u0323\u0301"]
)
def test_forms_and_cases_are_the_same(text):
    every = {form(case) for case in (text, text.upper()) for form in (nfc, nfd)}
    assert len({casemap(each) for each in every}) == 1


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


@given(st.text(st.sampled_from("a\u0316\u0301\u0345\u0f71\u0f72\uff9eé"), min_size=2, max_size=400))
def test_no_run_of_marks_is_long(text):
    """Marks that Python orders by exchanging neighbours."""
    run = longest = 0
    for sign in unicodedata.normalize("NFKD", module._safe(text)):
        run = run + 1 if unicodedata.combining(sign) else 0
        longest = max(longest, run)
    assert longest <= 6 * MAX_MARKS


@pytest.mark.parametrize(
    "marks", ["\u0316\u0301", "\u0f71\u0f72", "\u0345\u0316", "\uff9e\u0316", "\u0344\u0316", "\u3099\u0316"]
)
def test_a_million_marks_end(marks):
    casemap(marks * 500_000)
    casemap(("a" + marks * 29) * 20_000)


def test_every_mark_is_known():
    """Of all of Unicode, those that are ordered among others are in the table."""
    marks = module._marks()
    signs = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    ordered = (sign for sign in signs if unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]))
    assert [sign for sign in ordered if not marks.match(sign)] == []


@pytest.mark.parametrize("text", ["\ufdfa", "\ufdfb", "\ufdfa" * 40])
def test_signs_that_stand_for_a_sentence_are_that_sentence_in_a_short_text(text):
    assert casemap(text) == twin(text)


def test_a_text_of_nothing_else_does_not_become_many_times_as_long():
    assert len(casemap("\ufdfa" * 100_000)) <= 200_000
