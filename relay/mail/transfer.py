"""Transfer encodings undone (RFC 2045 6). Pure and linear; nothing is refused: what is no code stands as it is."""

from __future__ import annotations

from relay.mail import _encoded_words


def decode(octets: bytes, encoding: str) -> bytes:
    """``octets`` of a body as they were before ``encoding`` (in lower case); as they are for those that change nothing,
    and for one that is not known."""
    match encoding:
        case "base64":
            return _encoded_words.from_base64(octets)
        case "quoted-printable":
            return _encoded_words.from_quoted_printable(octets)
    return octets
