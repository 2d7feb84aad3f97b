"""Python-level forms of the parsers of relay/_fastparse.pyx; the C forms are described in relay/_fastparse.pxd.

Kinds come back as names (the tuples below, in the order of the C enums); nothing is raised for bad input.
"""

from typing import Final, final

VERBS: Final[tuple[str, ...]]
FAULTS: Final[tuple[str, ...]]
PATH_ERRORS: Final[tuple[str, ...]]
PATH_FLAGS: Final[tuple[str, ...]]
HOST_KINDS: Final[tuple[str, ...]]
KEYWORDS: Final[tuple[str, ...]]
HEADER_FLAGS: Final[tuple[str, ...]]
REPLY_FAULTS: Final[tuple[str, ...]]

def split_line(octets: bytes, start: int = 0) -> tuple[int, str]:
    """Offset past the line that begins at ``start`` (-1: no line end yet) and the first fault in it.

    RFC 5321 2.3.8. ValueError when ``start`` lies outside.
    """

def parse_command(line: bytes) -> tuple[str, bytes]:
    """The verb ("" when unknown, "HTTP" or "TLS" for those protocols) and the argument without outer spaces."""

def parse_path(verb: str, argument: bytes) -> tuple[str, frozenset[str], bytes, bytes, bytes, bytes, int]:
    """Reads ``FROM:<path> parameters`` (MAIL) or ``TO:<path> parameters`` (RCPT); RFC 5321 4.1.2, RFC 6531 3.3.

    (error, flags, local part, domain, address as envelopes keep it, parameters, offset where the reading ended);
    with an error the offset is where it was noticed, and the rest is empty.
    """

def parse_mailbox(octets: bytes) -> tuple[str, frozenset[str], bytes, bytes, bytes, bytes, int]:
    """The same for a bare ``local@domain``."""

def parse_host(octets: bytes) -> str:
    """ "domain", "literal" or "" for the argument of HELO, EHLO or LHLO (RFC 5321 4.1.1.1)."""

def parse_params(octets: bytes) -> list[tuple[str, bytes, bytes | None]] | None:
    """(known keyword in upper case or "", keyword as written, value or None) of each parameter; None when malformed."""

def parse_decimal(octets: bytes) -> int:
    """The number of 1 to 20 digits, at most 2**63-1; -1 when it is not one (RFC 1870 3)."""

def parse_xtext(octets: bytes) -> bytes | None:
    """The octets that xtext means (RFC 3461 4); None when it is malformed."""

def xtext(octets: bytes) -> bytes:
    """``octets`` written as xtext (RFC 3461 4)."""

@final
class ContentScanner:
    """The end-of-data scan of one content (RFC 5321 4.1.1.4)."""

    def feed(self, octets: bytes) -> int:
        """Offset just past the end of data in ``octets``, -1 for more; ValueError after the end was found."""

    def result(self) -> tuple[bool, bool, bool, bool, str, int, int]:
        """(ended, dots, dots_left, eight_bit, fault, line_length, longest_line), as in struct ContentScan."""

@final
class Unstuffer:
    """Removes the dots of a stream that ends with the end of data, which is dropped too (RFC 5321 4.5.2)."""

    def feed(self, octets: bytes) -> bytes: ...

@final
class Stuffer:
    """Adds the dots of a stream (RFC 5321 4.5.2)."""

    def feed(self, octets: bytes) -> bytes: ...

def unstuff(content: bytes) -> bytes:
    """``content`` with one dot removed from each line that begins with one (RFC 5321 4.5.2)."""

def stuff(content: bytes) -> bytes:
    """``content`` with a dot added to each line that begins with one (RFC 5321 4.5.2)."""

def parse_header(content: bytes) -> tuple[int, int, int, int, int, frozenset[str], bool]:
    """The header section (RFC 5322 2.2).

    (its end, start of the body, count of fields, of Received, of Delivered-To, names that are there, malformed).
    """

def parse_reply(octets: bytes, start: int = 0) -> tuple[int, str, int, str, bytes, bytes]:
    """One reply (RFC 5321 4.2): (offset past it, fault, code, enhanced status, text of the last line, of all lines).

    The offset is -1 for "more" and -2 for a malformed one. ValueError when ``start`` lies outside.
    """

def reply_lines(reply: bytes) -> list[bytes]:
    """The texts of the lines of one whole reply, statuses not removed: the way to read an answer to EHLO."""
