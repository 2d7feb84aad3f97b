"""Fails when the compiled MIME scanner and its twin differ; for hypothesis, the corpus and the fuzz target."""

from __future__ import annotations

from relay import _mime, _mime_lines, _mime_values
from tests.mime import twin_structure, twin_values

BOUNDS = [(10_000, 100, 1 << 20), (3, 2, 40), (1, 0, 0), (6, 1, 10)]


def shown(part: _mime.Part, content: bytes) -> twin_structure.Part:
    """A compiled part in the words of the twin."""
    return twin_structure.Part(
        part.parent,
        part.children,
        part.after,
        part.depth,
        part.kind,
        part.encoding,
        part.flags,
        (part.header.start, part.header.stop),
        (part.body.start, part.body.stop),
        (part.header_lines, part.header_bare_lines),
        (part.lines, part.bare_lines),
        {name: (place.start, place.stop) for name, place in part.fields.items()},
        part.content_type(content),
    )


def tree_is_sound(structure: _mime.Structure) -> None:
    """What callers may rely on, whatever the twin says."""
    parts = list(structure)
    for part in parts:
        assert part.header.start <= part.header.stop == part.body.start <= part.body.stop
        children = [other for other in parts if other.parent == part.index]
        assert len(children) == part.children
        last = part.body.start
        for child in children:
            assert last <= child.header.start
            assert child.body.stop <= part.body.stop
            last = child.body.stop


def structure(content: bytes) -> None:
    for max_parts, max_depth, max_header in BOUNDS:
        found = _mime.scan(content, max_parts, max_depth, max_header)
        expected = twin_structure.scan(content, max_parts, max_depth, max_header)
        assert [shown(part, content) for part in found] == expected.parts
        assert found.is_truncated == expected.is_truncated
        tree_is_sound(found)


def value(octets: bytes) -> None:
    assert _mime_values.parse_value(octets) == twin_values.parse_value(octets)


def candidates(content: bytes, starts: list[int]) -> None:
    for at in starts:
        for vectors in _mime_lines.VECTORS:
            assert _mime_lines.find_candidate(content, at, vectors) == twin_structure.find_candidate(content, at)


def mime(octets: bytes) -> None:
    """All of it: the fuzz target, and the check of a file of tests/corpus/mime."""
    structure(octets)
    value(octets[:300])
    candidates(octets, [0, len(octets) // 2])
