"""Python-level forms of the readers of relay/smtp/_parameters.pyx; the C forms are described in _parameters.pxd."""

from typing import Final

KEYWORDS: Final[tuple[str, ...]]
"""In the order of the C enum."""

def parse_params(octets: bytes) -> list[tuple[str, bytes, bytes | None]] | None:
    """(known keyword in upper case or "", keyword as written, value or None) of each parameter; None when malformed."""

def has_only_xtext(octets: bytes) -> bool:
    """Whether ``octets`` are xtext (RFC 3461 4)."""
