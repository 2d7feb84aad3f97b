"""What a peer may make us work: sets, patterns, subjects. Each is compared with an obvious twin; none takes long."""

import re
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from relay.imap import structure
from relay.imap.grammar import indexes, members
from relay.imap.listing import Pattern
from relay.imap.ordering import base_subject
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import Part

RANGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=6)
GREATEST = 9


def twin(ranges, greatest):
    found = set()
    for a, b in ranges:
        low, high = sorted((a or greatest, b or greatest))
        found |= set(range(low, high + 1))
    return found


@given(RANGES)
def test_a_set_means_what_its_parts_mean(ranges):
    is_member = members(ranges, GREATEST)
    assert {number for number in range(1, 20) if is_member(number)} == twin(ranges, GREATEST)


class Uids:
    """As much of a View as a set looks at."""

    uids = (2, 3, 5, 9)

    def __len__(self):
        return 4


VIEW = cast("View", Uids())


@given(RANGES)
def test_uids_are_found_by_set(ranges):
    wanted = twin(ranges, GREATEST)
    assert [Uids.uids[index] for index in indexes(ranges, VIEW, by_uid=True)] == [
        uid for uid in Uids.uids if uid in wanted
    ]


def test_everything_a_thousand_times_is_everything_once():
    assert indexes([(1, 0)] * 8000, VIEW, by_uid=False) == [0, 1, 2, 3]
    assert indexes([(1, 0)] * 8000, VIEW, by_uid=True) == [0, 1, 2, 3]


@given(st.text("ab/%*", max_size=8), st.text("ab/", max_size=10))
def test_a_pattern_matches_as_an_expression_does(pattern, name):
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(sign, sign) for sign in pattern)
    assert Pattern(pattern).match(name) == bool(re.fullmatch(expression, name, re.DOTALL))


def test_a_hostile_pattern_ends():
    assert not Pattern("*a" * 20 + "b").match("a" * 200)
    assert Pattern("iNbOx*").match("INBOX/x")


def test_a_subject_of_a_million_replies_ends():
    assert base_subject(b"Re: " * 250_000 + b"x").is_reply


def test_of_a_part_only_so_many_languages_are_told():
    field = b"en, " * 100_000
    part = Part("basic", b"text/plain", "7bit", 0, 0, 0, 0, -1, 0, 1, {"content-language": field})
    shown = structure.body([part], is_extended=True)
    assert shown.count(b'"en"') == structure.MAX_LANGUAGES
