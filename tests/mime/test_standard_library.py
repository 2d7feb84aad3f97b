"""On well-formed contents the scanner says what the standard library's email parser says."""

from __future__ import annotations

import email
from email.message import Message

from hypothesis import HealthCheck, given, settings

from relay import _mime
from tests.mime import samples

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def octets(text: str | None) -> bytes:
    return (text or "").encode("ascii", "surrogateescape")


def assert_same(structure: _mime.Structure, index: int, message: Message, content: bytes) -> int:
    """Compares the part ``index`` and all in it; returns the index past them."""
    part = structure[index]
    assert part.content_type(content).decode() == message.get_content_type()
    assert not message.defects
    for name in ("content-type", "content-disposition", "content-id", "subject", "from"):
        noted = part.field(name)
        # The parser of the standard library notes every field of every part.
        if noted is not None or name.startswith("content-"):
            assert message[name] == (content[noted].decode() if noted else None)
    if not message.is_multipart():
        assert part.children == 0
        assert content[part.body] == octets(message._payload)  # type: ignore[attr-defined]
        assert part.lines == octets(message._payload).count(b"\n")  # type: ignore[attr-defined]
        return index + 1
    children: list[Message] = message.get_payload()  # type: ignore[assignment]
    assert part.children == len(children)
    assert part.kind == ("message" if message.get_content_maintype() == "message" else "multipart")
    after = index + 1
    for child in children:
        assert structure[after].parent == index
        after = assert_same(structure, after, child, content)
    assert part.after == after
    return after


@QUICK
@given(samples.well_formed())
def test_well_formed_contents_are_read_as_the_standard_library_reads_them(sample: tuple[samples.Tree, bytes]) -> None:
    content = sample[1]
    structure = _mime.scan(content)
    assert assert_same(structure, 0, email.message_from_bytes(content), content) == len(structure)
    assert not structure.is_truncated


@QUICK
@given(samples.well_formed())
def test_a_tree_that_was_written_is_found_again(sample: tuple[samples.Tree, bytes]) -> None:
    """The standard library might share a mistake with us; the tree was there before the octets."""
    tree, content = sample
    newline = b"\r\n" if b"\r\n" in content else b"\n"
    structure = _mime.scan(content)

    def compare(index: int, tree: samples.Tree) -> int:
        part = structure[index]
        value = part.field("content-type")
        assert value is not None
        assert content[value].startswith(tree.content_type)
        assert part.children == len(tree.children)
        after = index + 1
        for child in tree.children:
            after = compare(after, child)
        if not tree.children:
            assert content[part.body] == tree.body.replace(b"\n", newline)
        return after

    assert compare(0, tree) == len(structure)
