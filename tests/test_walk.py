"""docs/ARCHITECTURE.md 1, the walk of a message: every file and function that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs/ARCHITECTURE.md").read_text().partition("### The walk")[2].partition("\n## ")[0]
NAMED = [
    (path, name)
    for cell in re.findall(r"\|([^|]*)\|$", SECTION, re.MULTILINE)
    for path, name in re.findall(r"`(relay/[\w/.]+)`(?: `([\w.]+)`)?", cell)
]


def defines(text, name):
    """Whether ``text`` defines a class, function or method of that name."""
    return re.search(rf"\b(?:class|def|cpdef [\w ]+?|cdef [\w ]+?) {re.escape(name)}\b", text) is not None


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part or "whole file")
def test_what_the_walk_names_is_in_the_tree(path, name):
    if path.endswith("/"):
        assert (ROOT / path).is_dir()
        return
    text = (ROOT / path).read_text()
    assert all(defines(text, part) for part in name.split(".") if part)


def test_the_walk_passes_through_the_rooms_in_the_order_of_the_tree():
    rooms = list(dict.fromkeys(path.split("/")[1] for path, _ in NAMED))
    assert [room for room in rooms if room in {"smtp", "policy", "spool", "queue", "delivery", "mda", "dsn"}] == [
        "smtp", "policy", "spool", "queue", "delivery", "mda", "dsn",
    ]  # fmt: skip
    assert len(NAMED) > 20


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [("def take(self)", "take", True), ("cdef class Acceptor(Watched):", "Acceptor", True), ("taken()", "take", False)],
)
def test_the_check_itself_finds_definitions(text, name, found):
    assert defines(text, name) is found
