"""Python-level forms of the parsers of relay/mail/_paths.pyx; the C forms are described in _paths.pxd.

Kinds come back as names (the tuples below, in the order of the C enums); nothing is raised for bad input.
"""

from typing import Final

PATH_ERRORS: Final[tuple[str, ...]]
PATH_FLAGS: Final[tuple[str, ...]]
HOST_KINDS: Final[tuple[str, ...]]

def parse_path(
    verb: str, argument: bytes, lenient: bool = False
) -> tuple[str, frozenset[str], bytes, bytes, bytes, bytes, int]:
    """Reads ``FROM:<path> parameters`` (MAIL) or ``TO:<path> parameters`` (RCPT); RFC 5321 4.1.2, RFC 6531 3.3.

    (error, flags, local part, domain, address as envelopes keep it, parameters, offset where the reading ended);
    with an error the offset is where it was noticed, and the rest is empty. ``lenient``: ``a..b@c``, ``a.@c`` and
    ``a@c.`` are taken as they are.
    """

def parse_mailbox(octets: bytes) -> tuple[str, frozenset[str], bytes, bytes, bytes, bytes, int]:
    """The same for a bare ``local@domain``."""

def parse_host(octets: bytes) -> str:
    """ "domain", "literal" or "" for the argument of HELO, EHLO or LHLO (RFC 5321 4.1.1.1)."""
