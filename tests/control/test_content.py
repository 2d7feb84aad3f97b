"""The content of a message that waits, octet for octet, read from the spool."""

from __future__ import annotations

import pytest

from relay.control import content as content_of
from relay.control.content import ContentGoneError, header_section, portions
from relay.spool import lock_data_dir
from tests.control.samples import ENTRY

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
    monkeypatch.setattr(content_of, "_LONGEST_HEADER", 1000)
    assert len(b"".join(header_section(iter(cut(b"x" * 5000, 64))))) == 1000


def test_a_record_that_is_gone_is_told(tmp_path):
    lock_data_dir(tmp_path).close()
    with pytest.raises(ContentGoneError, match=ENTRY.queue_id):
        list(portions(tmp_path / "spool", ENTRY))
