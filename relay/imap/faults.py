"""How a command ends when it does not end well: values that become tagged responses (RFC 9051 7.1)."""

from __future__ import annotations

from typing import Final


class Bad(Exception):  # noqa: N818 - it is an answer
    """The command cannot be understood, or not now: BAD. The text is for the peer."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text: Final = text
        self.code: Final = code
        """A response code without its brackets, or nothing."""


class No(Exception):  # noqa: N818 - see above
    """The command was understood and is not carried out: NO."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text: Final = text
        self.code: Final = code
