"""RFC 4013 3, and what its tables forbid."""

import pytest

from relay.auth.saslprep import prepared


@pytest.mark.parametrize(
    ("typed", "form"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_the_examples_of_the_rfc(typed, form):
    assert prepared(typed) == form


@pytest.mark.parametrize("typed", ["\u0007", "\u0627\u0031", "a\u0627", "\ud800", "\ue000"])
def test_prohibited_characters_and_mixed_directions_are_refused(typed):
    with pytest.raises(ValueError):
        prepared(typed)


def test_unassigned_code_points_may_be_asked_for_but_not_stored():
    """RFC 3454 7."""
    assert prepared("\U0001f600") == "\U0001f600"
    with pytest.raises(ValueError):
        prepared("\U0001f600", is_query=False)
