"""relay/mail/spoken.py."""

from __future__ import annotations

import pytest

from relay.mail.spoken import spoken


@pytest.mark.parametrize(
    ("line", "protocol"),
    [
        (b"GET / HTTP/1.1", "http"),
        (b"PRI * HTTP/2.0", "http"),
        (b"ehlo client.example", "smtp"),
        (b"LHLO client.example\r", "smtp"),
        (b"MAIL FROM:<a@b.example>", "smtp"),
        (b"CAPA", "pop3"),
        (b"user alice@example.org", "pop3"),
        (b"a1 CAPABILITY", "imap"),
        (b"0001 login alice secret", "imap"),
        (b'A1 ID ("name" "x")', "imap"),
        (b'AUTHENTICATE "PLAIN" "AGFsaWNlAHNlY3JldA=="', "managesieve"),
        (b"CAPABILITY", "managesieve"),
    ],
)
def test_the_first_line_tells_the_protocol(line: bytes, protocol: str) -> None:
    assert spoken(line) == protocol


@pytest.mark.parametrize(
    "line", [b"", b"GET", b"get / HTTP/1.1", b"xyzzy", b"a1", b"a1 FROB", b"\x16\x03\x01", b"QUIT"]
)
def test_a_line_that_may_be_anything_is_no_protocol(line: bytes) -> None:
    assert spoken(line) == ""
