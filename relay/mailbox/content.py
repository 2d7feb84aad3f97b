"""The octets of a message as they are sent, out of a file with LF lines, without reading what lies before.

Theory: a line feed without a CR before it becomes CRLF, unless the file's name says that it holds what is sent already
(filename.py: is_exact; maildir.py has when it does). Where an offset of the wire lies in the file is known only by
counting the line feeds before it, so places that were counted are remembered: the ends of blocks that were read, and
the beginnings of parts (from the index). Whoever reads the same message again hands them in, so that a client which
asks for it part by part has each part read once. Memory: one block, and a pair of numbers for each block of the file.
A file no longer than a block is read in one go (open, read, close), and is then such octets already.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from relay.mailbox import _reading, filename
from relay.mailbox.files import below

BLOCK: Final = 1 << 16


class FileContent:
    """Fulfils Content (relay/mailbox/interfaces.py)."""

    def __init__(
        self,
        path: Path | str,
        size: int | None = None,
        places: Callable[[], Iterable[tuple[int, int]]] = tuple,
        counted: list[tuple[int, int]] | None = None,
        failed: Callable[[OSError], None] | None = None,
    ) -> None:
        """``size``: octets with CRLF, when that is known; ``places``: (offset on the wire, offset in the file) of
        beginnings of lines, asked for when reading begins elsewhere than at the beginning; ``counted``: such pairs, in
        order from (0, 0), that an earlier one of the same message has found; what is found now is put there.
        ``failed`` is told when reading on fails. FileNotFoundError; OSError, also for what is no regular file."""
        self._descriptor = -1
        place = below(path)
        self._failed = failed
        self._is_exact = filename.is_exact(place[1].decode("latin-1").rpartition("/")[2])
        self._whole = _reading.read_message(*place, BLOCK)
        """What is sent, of a short one."""
        if self._whole is not None:
            size = len(self._whole)
        else:
            self._descriptor = _reading.open_below(*place, os.O_RDONLY)
        self._places: list[tuple[int, int]] = [(0, 0)] if counted is None else counted
        self._more: Callable[[], Iterable[tuple[int, int]]] | None = places
        self._size = size

    @property
    def size(self) -> int:
        if self._size is None and self._is_exact:
            self._size = os.fstat(self._descriptor).st_size
        if self._size is None:
            at, where = self._places[-1]
            while block := os.pread(self._descriptor, BLOCK, where):
                at, where = self._counted(at, where, block)
            self._size = at
        return self._size

    def read(self, offset: int, count: int) -> bytes:
        if self._whole is not None:
            return self._whole[offset : offset + count]
        try:
            return self._exactly(offset, count) if self._is_exact else self._read_on(offset, count)
        except OSError as fault:
            if self._failed is not None:
                self._failed(fault)
            raise

    def _exactly(self, offset: int, count: int) -> bytes:
        pieces = []
        while count > 0 and (octets := os.pread(self._descriptor, min(count, 1 << 24), offset)):
            pieces.append(octets)
            offset, count = offset + len(octets), count - len(octets)
        return b"".join(pieces)

    def _read_on(self, offset: int, count: int) -> bytes:
        pieces = []
        if self._more is not None and offset > self._places[-1][0]:
            self._places[:], self._more = sorted({*self._places, *self._more()}), None
        at, where = self._places[bisect_right(self._places, (offset, 1 << 62)) - 1]
        while count > 0 and (block := os.pread(self._descriptor, BLOCK, where)):
            sent = with_crlf(block, self._is_after_cr(where, block))
            piece = sent[max(0, offset - at) : offset - at + count]
            if at + len(sent) > offset:
                pieces.append(piece)
                offset += len(piece)
                count -= len(piece)
            at, where = self._counted(at, where, block, len(sent))
        return b"".join(pieces)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _counted(self, at: int, where: int, block: bytes, sent: int | None = None) -> tuple[int, int]:
        """The place after a block; remembered unless there is one in the block before it."""
        grown = len(with_crlf(block, self._is_after_cr(where, block))) if sent is None else sent
        place = at + grown, where + len(block)
        number = bisect_left(self._places, place)
        if place[1] - self._places[number - 1][1] >= BLOCK and place not in self._places[number : number + 1]:
            self._places.insert(number, place)
        return place

    def _is_after_cr(self, where: int, block: bytes) -> bool:
        return where > 0 and block.startswith(b"\n") and os.pread(self._descriptor, 1, where - 1) == b"\r"


def with_crlf(block: bytes, is_after_cr: bool = False) -> bytes:
    """``block`` with CRLF for each LF; ``is_after_cr``: its first octet is an LF whose CR came before."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    sent = block.replace(b"\n", b"\r\n")
    return sent[1:] if is_after_cr else sent


def wholes(root: bytes, paths: list[bytes | None]) -> list[bytes | None]:
    """All that is sent of each message, ``paths`` being those below the account's folder; None for one that is longer
    than BLOCK, or cannot be read now."""
    return _reading.read_messages(root, paths, BLOCK)


def crlf_size(path: Path) -> int:
    """RFC822.SIZE of a file, by counting."""
    with FileContent(path) as content:
        return content.size


def likely_size(path: Path) -> int:
    """RFC822.SIZE of a file that cannot be read, as far as its name and the folder tell: octets on disk at least."""
    size = filename.size(path.name) or filename.disk_size(path.name)
    return os.lstat(path).st_size if size is None else size


def require_readable(path: Path) -> None:
    """OSError unless the file of a message can be opened."""
    os.close(_reading.open_below(*below(path), os.O_RDONLY))
