"""Directories without an account file."""

from __future__ import annotations

from relay.config.model import Config
from relay.directory.directory import Directory


class Accounts:
    """An account list that is not a file; what ``names`` are changed to is read at the next look."""

    def __init__(self, *names: bytes) -> None:
        self.names = frozenset(names)
        self._read: frozenset[bytes] | None = None

    def addresses(self) -> frozenset[bytes]:
        self._read = self.names
        return self.names

    def changed(self) -> bool:
        return self._read != self.names


def directory_of(config: Config, *accounts: bytes) -> Directory:
    """That of ``config``, with these accounts."""
    return Directory.of(config, Accounts(*accounts))


def local_directory(*domains: str, **settings: str) -> Directory:
    """One with local domains and no accounts; ``settings`` as Directory has them."""
    return Directory(domains, {}, Accounts(), **settings)  # type: ignore[arg-type]
