"""What a content that is made here needs to be sent: the flags that its envelope has to have.

Not here: contents that come in, which are looked at while they arrive (relay/smtp/_transaction.pyx).
"""

from __future__ import annotations

from relay.mail.envelope import BODY_8BIT, DOTS, SMTPUTF8


def content_flags(content: bytes) -> int:
    """BODY_8BIT, SMTPUTF8 (RFC 6531 3.4: a header section that is not ASCII) and DOTS of ``content``, whole lines."""
    found = 0
    if not content.isascii():
        found |= BODY_8BIT
    if not header_section(content).isascii():
        found |= SMTPUTF8
    if content.startswith(b".") or b"\r\n." in content:
        found |= DOTS
    return found


def header_section(content: bytes) -> bytes:
    """The header section of ``content``, without the empty line after it."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n")
    return content[: end + 2] if end >= 0 else content
