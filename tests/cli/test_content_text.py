"""The content of a message as text that does not steer the terminal."""

from __future__ import annotations

import random

from relay.cli.content_text import printable_lines


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def test_nothing_in_it_steers_the_terminal():
    shown = "".join(printable_lines(iter([b"a\x1b[2J\tb\r\nc\rd\x00\x9b\xc2\x9b\xe2\x80\xae"])))
    assert shown.startswith("a\\x1b[2J\tb\nc\\rd\\x00\\x9b\\x9b\\u202e")
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)


def test_portions_of_any_size_are_shown_alike():
    chance = random.Random(7)
    for _ in range(300):
        content = bytes(chance.choice(b"\r\n\t ab\x1b\x80\xc3\xa9\xe2\x82\xac") for _ in range(chance.randrange(30)))
        whole = "".join(printable_lines(iter([content])))
        for size in (1, 2, 3):
            assert "".join(printable_lines(iter(cut(content, size)))) == whole
