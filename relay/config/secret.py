"""Secrets: values that are shown to nobody (I8), and the files that hold them.

Theory: a secret is a value of its own type, so that printing a configuration, a log line or an error shows that there
is one and where it comes from, and never what it is; only ``reveal`` and ``matches`` use it.

Not here: which settings are secrets (relay/config/model.py), their twins (load.py), what the account that serves can
read (relay/supervisor/premises.py).
"""

from __future__ import annotations

import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay.config.kinds import Kind, require_text

LARGEST: Final = 64 * 2**10
"""Octets of a secret's file."""


class Secret:
    """A secret, and the file that it stands in, if it has one of its own."""

    __slots__ = ("_text", "file")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text = text
        self.file = file

    def reveal(self) -> str:
        """The secret itself: for what needs it, never for showing."""
        return self._text

    def matches(self, candidate: bytes) -> bool:
        """Whether ``candidate`` is the secret. How long that takes tells nothing about it."""
        return hmac.compare_digest(self._text.encode(), candidate)

    def __repr__(self) -> str:
        return f"(secret, from {self.file})" if self.file is not None else "(secret)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self.file == other.file and self.matches(other._text.encode())

    def __hash__(self) -> int:
        return hash((self._text, self.file))


@dataclass(frozen=True)
class SecretText(Kind):
    """A secret. No message about one shows it. A setting of this kind has a twin, ``<name>_file``: the file that the
    secret stands in (load.py)."""

    shortest: int = 1
    longest: int = 4096
    is_token: bool = False
    """It is sent in a header field: visible ASCII characters only."""

    def parse(self, value: object) -> Secret:
        return Secret(self.check(require_text(value)))

    def check(self, text: str) -> str:
        """``text`` when it will do as the secret; ValueError otherwise."""
        if not text:
            raise ValueError("is empty")
        if len(text) < self.shortest:
            raise ValueError(f"is shorter than {self.shortest} characters")
        if len(text) > self.longest:
            raise ValueError(f"is longer than {self.longest} characters")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            raise ValueError("holds control characters or a line break inside")
        if self.is_token and not all("!" <= letter <= "~" for letter in text):
            raise ValueError("holds a space or another character than those of ASCII")
        return text

    def show(self, value: Any) -> str:
        return str(value)

    def describe(self) -> str:
        return f"secret, {self.shortest} to {self.longest} characters"


def read_secret(file: Path) -> str:
    """What stands in ``file``, without one line end at its end. ValueError, in words that go behind the file's name,
    when it cannot be used: it must be a regular file, or a link to one, that not everybody can change."""
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:  # no pipe
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("is no regular file")
            octets = opened.read(LARGEST + 1)
    except OSError as fault:
        raise ValueError(f"cannot be read: {fault.strerror}") from None
    if found.st_mode & stat.S_IWOTH:
        raise ValueError(f"can be changed by everybody (mode {stat.S_IMODE(found.st_mode):04o}): chmod o-w it")
    if len(octets) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} octets")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def is_open_to_all(file: Path) -> bool:
    """Whether every account on this machine may read ``file``. Raises OSError."""
    return bool(file.stat().st_mode & stat.S_IROTH)
