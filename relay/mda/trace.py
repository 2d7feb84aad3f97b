"""The header fields of final delivery: Return-Path and Delivered-To, one of each, ours (RFC 5321 4.4).

Theory: a content may bring such fields along, from a delivery before or because its sender wants to mislead; what reads
a mailbox takes them for ours. They are left out here, where a message comes to its end, and nowhere else: whoever
sends on leaves them (RFC 5321 4.4), and a redirect recognises a circle by Delivered-To before they go. Only the header
section is looked at, and nothing behind it copied: of a content in memory the body stays a view, of one in a file only
the pieces up to the end of its header section are read.

Not here: storing (local.py, relay/mailbox/maildir.py).
"""

from __future__ import annotations

import re
from typing import Final

Part = bytes | memoryview

PIECE: Final = 65_536
_END: Final = re.compile(rb"\r\n\r\n")
_FIELDS: Final = re.compile(
    rb"^(?:return-path|delivered-to)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
)


def fields(reverse_path: bytes, recipient: bytes, mailbox: bytes) -> bytes:
    """Both fields. Delivered-To names the account ``mailbox``, with the tag of ``recipient`` as it was written (RFC
    5233): where that is an address of the account."""
    delivered_to = mailbox
    account, _, domain = mailbox.rpartition(b"@")
    local_part, _, named = recipient.rpartition(b"@")
    if named.lower() == domain.lower() and local_part.lower().startswith(account.lower()):
        delivered_to = account + local_part[len(account) :] + b"@" + domain
    return b"Return-Path: <" + reverse_path + b">\r\nDelivered-To: " + delivered_to + b"\r\n"


def without(header: bytes) -> bytes:
    """The ``header`` section, whole lines, without such fields."""
    lowered = header.lower()
    if b"return-path" not in lowered and b"delivered-to" not in lowered:
        return header
    return _FIELDS.sub(b"", header)


def parts_of(content: Part, path: str | None) -> tuple[tuple[Part, ...], int]:
    """The content without such fields: its parts, and how many octets at the beginning of the file ``path``, which
    holds the rest, are in them already. Raises OSError."""
    end = _end_of_header(content)
    if end >= 0 or path is None:
        return _clean(content, end if end >= 0 else len(content)), 0
    beginning, end = _header_in(path, bytes(content))
    header = beginning[:end]
    cleaned = without(header)
    if cleaned is header:
        return (content,), 0
    return (cleaned, beginning[end:]), len(beginning) - len(content)


def _clean(content: Part, end: int) -> tuple[Part, ...]:
    header = bytes(content[:end])
    cleaned = without(header)
    return (content,) if cleaned is header else (cleaned, memoryview(content)[end:])


def _end_of_header(content: Part) -> int:
    """The offset behind the last field with its line end; 0 when there is none, -1 when the content does not tell."""
    if content[:2] == b"\r\n":
        return 0
    found = _END.search(content)
    return found.start() + 2 if found else -1


def _header_in(path: str, before: bytes) -> tuple[bytes, int]:
    """The content, ``before`` and what the file has, to the end of its header section or further, and the offset of
    that. The header section is bounded where it came in (``smtp.large_content``)."""
    read = bytearray(before)
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            seen = max(0, len(read) - 3)
            read += piece
            found = read.find(b"\r\n\r\n", seen)
            if found >= 0:
                return bytes(read), found + 2
    return bytes(read), len(read)
