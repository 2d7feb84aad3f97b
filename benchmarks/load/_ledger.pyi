"""What became of every message of a run, on both sides, and the comparison of the two."""

from pathlib import Path
from typing import BinaryIO, Self

class Ledger:
    def __new__(cls, run: int) -> Self: ...
    @property
    def run(self) -> int: ...
    def __len__(self) -> int:
        """One more than the highest number."""
    def put(self, number: int, recipients: int, total: int, state: int = ..., copies: int = ...) -> None:
        """``total``: sum of the address hashes; ``state``: as in _ledger.pxd, or whether it was altered (received)."""
    def received(self) -> tuple[int, int, int]:
        """Messages, recipients, altered messages."""
    def write(self, file: BinaryIO) -> None:
        """Appends this run."""

def read_ledgers(path: Path) -> list[Ledger]:
    """All runs in a file. ValueError when it is none."""

def account(sent: Ledger, got: Ledger) -> dict[str, object]:
    """What was lost, doubled, misdirected or altered; the keys are in README.md."""
