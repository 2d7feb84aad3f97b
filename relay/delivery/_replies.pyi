"""Python-level forms of the scans of relay/delivery/_replies.pyx; the C forms are described in _replies.pxd."""

from typing import Final

REPLY_FAULTS: Final[tuple[str, ...]]

def parse_reply(octets: bytes, start: int = 0) -> tuple[int, str, int, str, bytes, bytes]:
    """One reply (RFC 5321 4.2): (offset past it, fault, code, enhanced status, text of the last line, of all lines).

    The offset is -1 for "more" and -2 for a malformed one. ValueError when ``start`` lies outside.
    """

def reply_lines(reply: bytes) -> list[bytes]:
    """The texts of the lines of one whole reply, statuses not removed: the way to read an answer to EHLO."""
