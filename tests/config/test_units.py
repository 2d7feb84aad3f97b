"""Durations and sizes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.units import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("500ms", 0.5),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("5d", 432000),
        ("1w", 604800),
    ],
)
def test_durations_are_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "5M", "5m!", "1e3s", "٥m", "1" * 60 + "s", "inf"])
def test_a_duration_without_a_known_unit_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("1B", 1), ("2KiB", 2048), ("25MiB", 26214400), ("1.5KiB", 1536), ("1 MB", 10**6), ("1mib", 2**20)],
)
def test_sizes_are_read_in_octets(text, octets):
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "25", "MiB", "25 megs", "-1MiB", "1KiBB", "1" * 60 + "B"])
def test_a_size_without_a_known_unit_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_half_an_octet_is_refused():
    with pytest.raises(ValueError, match="whole number of octets"):
        parse_size("0.3B")


@given(st.integers(0, 10**9))
def test_a_duration_is_shown_as_it_would_be_read(milliseconds):
    seconds = milliseconds / 1000
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 2**50))
def test_a_size_is_shown_as_it_would_be_read(octets):
    assert parse_size(show_size(octets)) == octets


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0"), (0.25, "250ms"), (300.0, "5m"), (5400.0, "90m"), (86400.0, "1d")]
)
def test_durations_are_shown_with_the_largest_unit_that_fits(seconds, text):
    assert show_duration(seconds) == text
