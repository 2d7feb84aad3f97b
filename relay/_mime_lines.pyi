"""The lines of a content, found many octets at a time (compiled)."""

from typing import Final

VECTORS: Final[tuple[str, ...]]
"""The ways of looking at bodies that this machine has, for ``find_candidate``; the last is the one in use."""

def find_candidate(content: bytes, at: int, vectors: str) -> tuple[int, int, int]:
    """(Next line that begins with "--" after offset ``at``, LFs up to there, how many of them are CRLF); for tests."""
