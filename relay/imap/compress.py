"""COMPRESS=DEFLATE (RFC 4978): raw deflate in both directions, below the protocol.

What is inflated is bounded: a bomb of zeroes comes out in the slices that the reader can take.
"""

from __future__ import annotations

import zlib
from typing import Final

from relay.imap.completion import Bad

MOST_PER_READ: Final = 16 * 1024 * 1024
"""Octets that one read from the client may become."""


class Deflate:
    """One session's two streams."""

    def __init__(self, before: bytes, first: bytes) -> None:
        """``before`` goes out uncompressed ahead of everything; ``first`` has come in already, compressed."""
        self._out = zlib.compressobj(wbits=-15)
        self._in = zlib.decompressobj(wbits=-15)
        self._before = before
        self._first = first

    def first_input(self) -> bytes:
        """What had come in already."""
        first, self._first = self._first, b""
        return self.inflate(first) if first else b""

    def inflate(self, octets: bytes) -> bytes:
        """Plain octets; what comes behind the end of the stream is as it is. Raises Bad for what is not deflate, or is
        more than anybody has to say at once."""
        if self._in.eof:
            return octets
        try:
            plain = self._in.decompress(octets, MOST_PER_READ)
        except zlib.error:
            raise Bad("this is not deflate") from None
        if self._in.unconsumed_tail:
            raise Bad("this is too much at once", "TOOBIG")
        return plain + self._in.unused_data

    def deflate(self, octets: bytes) -> bytes:
        """What goes out for ``octets``, all of it."""
        before, self._before = self._before, b""
        return before + self._out.compress(octets) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, octets: bytes) -> bytes:
        """What goes out for the last ``octets`` and the end of the stream."""
        before, self._before = self._before, b""
        return before + self._out.compress(octets) + self._out.flush(zlib.Z_FINISH)

    def take_before(self) -> bytes:
        """What goes out uncompressed, if that has not happened yet."""
        before, self._before = self._before, b""
        return before
