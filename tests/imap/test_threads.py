"""THREAD (RFC 5256 3) against its slow twin, and the trees beneath it."""

from contextlib import contextmanager
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.imap import forest, threads
from relay.imap.forest import Forest
from relay.imap.ordering import Subject
from relay.imap.threads import Mention
from tests.imap import twin_threads

IDS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g"])
MENTIONS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 2.0, 3.0]),
        st.builds(Subject, st.sampled_from(["", "X", "Y"]), st.booleans()),
        st.one_of(st.just(b""), IDS),
        st.lists(IDS, max_size=5).map(tuple),
    ),
    max_size=8,
)


def mentions(rows):
    return [Mention(at, *row) for at, row in enumerate(rows)]


def nested(node):
    return node.index, tuple(nested(child) for child in node.children)


@settings(max_examples=2000)
@given(MENTIONS)
def test_references_are_those_of_the_twin(rows):
    made = [nested(node) for node in threads.references(mentions(rows))]
    assert made == twin_threads.references(mentions(rows))


@contextmanager
def help_from(steps):
    """Forests that take help after so many steps."""
    with mock.patch.object(forest, "PATIENCE", 0), mock.patch.object(forest, "STEPS", steps):
        yield


@settings(max_examples=500)
@given(MENTIONS)
def test_they_are_also_once_trees_are_deep(rows):
    with help_from(1):
        made = [nested(node) for node in threads.references(mentions(rows))]
    assert made == twin_threads.references(mentions(rows))


LINKS = st.lists(st.tuples(st.sampled_from("lc"), st.integers(0, 11), st.integers(0, 11)), max_size=60)


@given(LINKS, st.sampled_from([1, 30, 10_000]))
def test_a_forest_knows_its_roots(links, steps):
    with help_from(steps):
        agrees(Forest(), links)


def agrees(forest, links):
    parents = [-1] * 12
    for _ in parents:
        forest.add()
    for what, node, above in links:
        if what == "c" and parents[node] >= 0:
            forest.cut(node)
            parents[node] = -1
        elif what == "l" and parents[node] < 0:
            is_possible = root(parents, above) != node
            assert forest.link(node, above) == is_possible
            if is_possible:
                parents[node] = above
        assert [forest.root(each) for each in range(12)] == [root(parents, each) for each in range(12)]
    assert forest.parents == parents


def root(parents, node):
    while parents[node] >= 0:
        node = parents[node]
    return node


def test_a_message_without_references_has_no_parent():
    """RFC 5256 3, step 1.B."""
    found = [Mention(0, own_id=b"b", references=(b"x", b"a")), Mention(1, own_id=b"a")]
    assert threads.written(threads.references(found), int.__index__) == b"(1 0)"


def test_a_third_message_of_one_subject_is_a_sibling():
    """RFC 5256 3, step 5.C: the place that was made for the first two stands in the table from then on."""
    found = [
        Mention(0, 1.0, Subject("X", False)),
        Mention(1, 2.0, Subject("X", False)),
        Mention(2, 3.0, Subject("X", True)),
    ]
    assert threads.written(threads.references(found), int.__index__) == b"((0)(1)(2))"
