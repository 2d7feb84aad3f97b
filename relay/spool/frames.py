"""The octets of a journal file: a head, then frames, each with a checksum of its own. Pure.

A frame is found again after damage by the file's mark (eight random octets, as in a log): entries hold text that
peers have chosen. Formats (little-endian) are written down in docs/SPOOL.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import google_crc32c
import msgpack

from relay.spool import _entries
from relay.spool.record import MARK_SIZE

MAGIC: Final = b"RelayJnl"
VERSION: Final = 1
_FRAME: Final = struct.Struct("<8sII")
FRAME_HEAD: Final = _FRAME.size
MAX_FRAME: Final = 64 << 20

Entry = tuple[Any, ...]
"""One outcome; the first item says what kind. The journal does not look into it: msgpack must be able to pack it."""


class JournalHead(NamedTuple):
    """Who wrote a journal, and which older journals it makes superfluous."""

    run: int
    """Which start of the appliance (relay/spool/folder.py)."""
    generation: int
    shard: int
    shards: int
    absorbed: tuple[int, ...]
    """Journals whose entries, as far as they concern this shard, are all in this one."""

    @property
    def epoch(self) -> tuple[int, int, int]:
        """Within one epoch the recipients are split among the shards in the same way."""
        return self.run, self.generation, self.shards


def pack_frame(mark: bytes, body: bytes) -> bytes:
    """``body`` as a frame; its checksum covers mark and length as well."""
    return _FRAME.pack(mark, len(body), _crc(mark, body)) + body


def _crc(mark: bytes, body: bytes) -> int:
    crc: int = google_crc32c.extend(google_crc32c.value(mark + len(body).to_bytes(4, "little")), body)
    return crc


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """The body of a frame."""
    return _entries.pack_entries(list(entries))


def pack_journal_head(mark: bytes, head: JournalHead) -> bytes:
    """The first octets of a journal."""
    body: bytes = msgpack.packb(tuple(head))
    return MAGIC + VERSION.to_bytes(4, "little") + mark + pack_frame(mark, body)


class JournalOctets:
    """A journal as read into memory; ``mark`` and ``head`` are None when that much is damaged."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.mark: bytes | None = None
        self.head: JournalHead | None = None
        self.skipped = 0
        """Octets inside the file that were passed over as damaged; grows while entries() is consumed."""
        self.torn = 0
        """Octets at the end that are not a whole frame."""
        start = len(MAGIC) + 4 + MARK_SIZE
        if len(octets) < start or octets[: len(MAGIC)] != MAGIC or octets[8:12] != VERSION.to_bytes(4, "little"):
            return
        self.mark = octets[start - MARK_SIZE : start]
        if (body := self._frame(start)) is not None:
            self.head = _unpack_head(body)
            self._start = start + FRAME_HEAD + len(body)
        else:
            self._start = start

    def entries(self) -> Iterator[Entry]:
        """The entries of all good frames, in order."""
        if self.mark is None:
            return
        at = self._start
        while at < len(self._octets):
            if (body := self._frame(at)) is None:
                following = self._next(at + 1)
                if following < 0:
                    self.torn = len(self._octets) - at
                    return
                self.skipped += following - at
                at = following
                continue
            yield from _unpack_entries(body)
            at += FRAME_HEAD + len(body)

    def _frame(self, at: int) -> bytes | None:
        if len(self._octets) - at < FRAME_HEAD or self.mark is None:
            return None
        mark, size, crc = _FRAME.unpack_from(self._octets, at)
        end = at + FRAME_HEAD + size
        if mark != self.mark or size > MAX_FRAME or end > len(self._octets):
            return None
        body = self._octets[at + FRAME_HEAD : end]
        return body if _crc(mark, body) == crc else None

    def _next(self, at: int) -> int:
        assert self.mark is not None
        while (at := self._octets.find(self.mark, at)) >= 0:
            if self._frame(at) is not None:
                return at
            at += 1
        return -1


def _unpack_entries(body: bytes) -> list[Entry]:
    try:
        entries: list[Any] = list(msgpack.unpackb(body, use_list=False, raw=False, strict_map_key=False))
    except (ValueError, msgpack.UnpackException, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, tuple) and entry]


def _unpack_head(body: bytes) -> JournalHead | None:
    try:
        return JournalHead(*msgpack.unpackb(body, use_list=False)[:5])
    except (ValueError, msgpack.UnpackException, TypeError):
        return None
