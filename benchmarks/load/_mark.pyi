"""The mark of a generated message, its digest, and the reader that finds both in what a server passed on."""

def digest(octets: bytes) -> int:
    """64 bits."""

def mark(run: int, number: int, recipients: int, rest: bytes) -> bytes:
    """The header field that goes before ``rest``, the remainder of the content."""

def hash_address(address: bytes) -> int:
    """32 bits, the same for both cases of letters."""

class Reader:
    """Reads one content, as DATA carries it, in pieces of any size."""

    def __init__(self) -> None: ...
    def read(self, octets: bytes) -> bytes | None:
        """What follows the end of data, when that has come."""
    @property
    def octets(self) -> int:
        """Of the content, dots removed."""
    @property
    def digest(self) -> int:
        """Of what came after the mark; to be asked once, at the end."""
    @property
    def mark(self) -> tuple[int, int, int, int, int] | None:
        """(run, number, recipients, octets after it, seal)."""
    @property
    def is_altered(self) -> bool: ...
