"""What the message of a number is: its size, its text, its mark, its recipients."""

from typing import Self

from benchmarks.load.contents import Text
from benchmarks.load.plan import AddressPart

class Address:
    def __new__(cls, source: tuple[AddressPart, ...]) -> Self: ...
    @property
    def varies(self) -> bool:
        """Whether messages have different addresses."""
    def of(self, number: int, recipient: int) -> bytes: ...

class Messages:
    """``sizes``: (share, texts) for each; ``addresses``: parsed templates, taken in turn."""

    def __new__(
        cls,
        run: int,
        sizes: list[tuple[float, list[Text]]],
        addresses: tuple[tuple[AddressPart, ...], ...],
        recipients: int,
    ) -> Self: ...
    @property
    def run(self) -> int: ...
    @property
    def recipients(self) -> int: ...
    def content(self, number: int) -> bytes:
        """The whole content of a message, before dot-stuffing."""
