"""Python-level forms of the parsers of relay/_fastparse.pyx; the C forms are described in relay/_fastparse.pxd.

Kinds come back as names (the tuples below, in the order of the C enums); nothing is raised for bad input.
"""

from typing import Final, final

VERBS: Final[tuple[str, ...]]
FAULTS: Final[tuple[str, ...]]
HEADER_FLAGS: Final[tuple[str, ...]]

def split_line(octets: bytes, start: int = 0) -> tuple[int, str]:
    """Offset past the line that begins at ``start`` (-1: no line end yet) and the first fault in it.

    RFC 5321 2.3.8. ValueError when ``start`` lies outside.
    """

def parse_command(line: bytes) -> tuple[str, bytes]:
    """The verb ("" when unknown, "HTTP" or "TLS" for those protocols) and the argument without outer spaces."""

def parse_decimal(octets: bytes) -> int:
    """The number of 1 to 20 digits, at most 2**63-1; -1 when it is not one (RFC 1870 3)."""

@final
class ContentScanner:
    """The end-of-data scan of one content (RFC 5321 4.1.1.4)."""

    def feed(self, octets: bytes) -> int:
        """Offset just past the end of data in ``octets``, -1 for more; ValueError after the end was found."""

    def feed_chunk(self, octets: bytes) -> None:
        """The same for octets of a chunk, in which there is no end of data (RFC 3030)."""

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
