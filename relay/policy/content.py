"""The content of a message as checks read it: its header fields, parsed once, and its octets piece by piece, whether
they are in memory or in a file.

Theory: what is here is what would be sent now: without the dots of the transparency procedure, with the Date and the
Message-ID that we add to a submission, without the Received field that comes on top of all. It does not change while
it is read, also when the session goes on or ends, and may be read from any thread.

Not here: MIME structure (relay/_mime.pyx), what is changed (edits.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from relay.policy.edits import name_of, split

PIECE: Final = 1 << 16
"""Octets of a piece that is read from a file."""


class Field(NamedTuple):
    """One header field."""

    name: bytes
    """As it is written."""
    value: bytes
    """All behind the colon, folds included, without the last CRLF."""


class Stored(Protocol):
    """The part of a content that is in a file (relay/spool/large.py)."""

    @property
    def size(self) -> int: ...

    async def written(self) -> Path:
        """The file, once all of it can be read there; OSError when it could not be written."""


class Content:
    """One content. ``first`` holds the header section in its first ``end`` octets and has the body from ``body`` on;
    ``rest`` and then the file ``stored`` follow. ``added`` are fields that go on top of the header section."""

    __slots__ = ("_added", "_body", "_end", "_fields", "_first", "_header", "_path", "_rest", "_stored")

    def __init__(
        self,
        first: bytes,
        end: int,
        body: int,
        rest: Sequence[bytes] = (),
        stored: Stored | None = None,
        added: bytes = b"",
    ) -> None:
        self._first = first
        self._end = end
        self._body = body
        self._rest = tuple(rest)
        self._stored = stored
        self._added = added
        self._header: bytes | None = None
        self._fields: tuple[Field, ...] | None = None
        self._path: Path | None = None

    @property
    def header(self) -> bytes:
        """The header section, each field with its CRLF, without the empty line that ends it."""
        if self._header is None:
            self._header = self._added + self._first[: self._end]
        return self._header

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its fields from the top; lines that are none are left out."""
        if self._fields is None:
            self._fields = tuple(
                Field(name, whole[whole.index(b":") + 1 :].removesuffix(b"\r\n"))
                for whole in split(self.header)
                if (name := name_of(whole))
            )
        return self._fields

    @property
    def size(self) -> int:
        """Octets of header section and body, with the empty line between them."""
        size = len(self._added) + len(self._first) + sum(map(len, self._rest))
        return size if self._stored is None else size + self._stored.size

    async def ready(self) -> None:
        """Waits until body() and octets() can be read, which they can be at once for what is in memory. OSError when a
        file could not be written."""
        if self._stored is not None and self._path is None:
            self._path = await self._stored.written()

    def octets(self) -> Iterator[bytes]:
        """All of it, in pieces; after ready()."""
        yield self.header + self._first[self._end : self._body]
        yield from self.body()

    def body(self) -> Iterator[bytes]:
        """What stands behind the empty line, in pieces; after ready(). OSError when the file cannot be read."""
        if self._body < len(self._first):
            yield self._first[self._body :]
        yield from self._rest
        if self._stored is None:
            return
        if self._path is None:
            raise RuntimeError("ready() comes before body()")
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            left = self._stored.size
            while left and (piece := os.read(fd, min(left, PIECE))):
                left -= len(piece)
                yield piece
            if left:
                raise OSError(f"{self._path.name}: {left} octets are missing")
        finally:
            os.close(fd)
