"""What is in a message that waits: shown without steering the terminal, or octet for octet; read from the spool."""

from __future__ import annotations

import random

import pytest

from relay.cli import entry_content
from relay.cli.entry_content import ContentGoneError, header_section, portions, printable_lines
from relay.spool import lock_data_dir

HEADER = b"Subject: a\r\nTo: b\r\n"


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("content", "header"),
    [
        (HEADER + b"\r\nbody\r\n\r\nmore", HEADER),
        (HEADER, HEADER),
        (b"\r\nbody\r\n\r\n", b""),
        (b"", b""),
        (HEADER + b"\r\n", HEADER),
    ],
)
def test_the_header_section_ends_at_the_first_empty_line(content, header, size):
    assert b"".join(header_section(iter(cut(content, size)))) == header


def test_a_content_that_is_all_header_is_cut_at_the_limit(monkeypatch):
    monkeypatch.setattr(entry_content, "_LONGEST_HEADER", 1000)
    assert len(b"".join(header_section(iter(cut(b"x" * 5000, 64))))) == 1000


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


def test_a_record_that_is_gone_or_another_one_is_told(tmp_path):
    lock_data_dir(tmp_path).close()
    with pytest.raises(ContentGoneError, match="06A00000000AA"):
        list(portions(tmp_path / "spool", {"queue_id": "06A00000000AA", "record": (1, 1, 64)}))
    with pytest.raises(ContentGoneError, match="older than this command"):
        list(portions(tmp_path / "spool", {"queue_id": "06A00000000AA"}))
