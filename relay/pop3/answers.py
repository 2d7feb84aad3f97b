"""Multi-line answers of POP3 in pieces (RFC 1939 3): what a content becomes on its way to the client.

Theory: an answer is an iterator of octets whose every step makes one piece of about PIECE octets, in a thread, when the
client has taken the last. So a session holds one piece, however large the message.

Invariants: a line that begins with a dot gets another; the answer ends with CRLF, dot, CRLF, whatever the content ends
with.

Not here: commands (session.py), where contents come from (maildrop.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from relay.mailbox.interfaces import Content

PIECE: Final = 65536
"""Octets of a content that are read at a time."""
LINES: Final = 1000
"""Lines of a listing in one piece."""
END: Final = b".\r\n"


def listing(first: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    """``first``, then ``lines`` (each with its CRLF and without a dot at its beginning), and the end."""
    yield first
    left = iter(lines)
    while piece := b"".join(islice(left, LINES)):
        yield piece
    yield END


def some(answer: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next PIECE octets or a little more, and whether the answer may go on behind them."""
    pieces: list[bytes] = []
    size = 0
    for piece in answer:
        pieces.append(piece)
        size += len(piece)
        if size >= PIECE:
            return b"".join(pieces), True
    return b"".join(pieces), False


def whole(first: bytes, content: Content) -> Iterator[bytes]:
    """RETR: the content with its dots stuffed. Closes it."""
    return _sent(first, content, _pieces(content))


def complete(first: bytes, octets: bytes) -> tuple[bytes, ...]:
    """RETR of a content that is there already: the pieces of ``whole``."""
    dot = b"." if octets.startswith(b".") else b""
    end = END if octets.endswith(b"\r\n") or not octets else b"\r\n" + END
    return first, dot, octets.replace(b"\n.", b"\n.."), end


def top(first: bytes, content: Content, lines: int) -> Iterator[bytes]:
    """TOP: the header section, the empty line and ``lines`` lines of the body (RFC 1939 7). Closes the content."""
    return _sent(first, content, _beginning(_pieces(content), lines))


def _pieces(content: Content) -> Iterator[bytes]:
    at = 0
    while piece := content.read(at, PIECE):
        at += len(piece)
        yield piece


def _sent(first: bytes, content: Content, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with content:
        yield first
        last = b"\r\n"
        for piece in pieces:
            stuffed = piece.replace(b"\n.", b"\n..")
            yield b"." + stuffed if last.endswith(b"\n") and piece.startswith(b".") else stuffed
            last = (last + piece)[-2:]
        yield END if last == b"\r\n" else b"\r\n" + END


def _beginning(pieces: Iterator[bytes], lines: int) -> Iterator[bytes]:
    """``pieces`` up to the end of line ``lines`` of the body. At any time at most one piece is held."""
    is_header, before, left = True, b"\r\n", lines
    for piece in pieces:
        start = 0
        if is_header:
            joined = before + piece
            end = joined.find(b"\r\n\r\n")
            if end < 0:
                before = joined[-3:]
                yield piece
                continue
            is_header, start = False, end + 4 - len(before)
        end, left = _after_lines(piece, start, left)
        yield piece[:end]
        if not left:
            return


def _after_lines(piece: bytes, start: int, lines: int) -> tuple[int, int]:
    """The offset past ``lines`` lines from ``start`` on, or the end of the piece; how many are still wanted."""
    while lines:
        end = piece.find(b"\n", start)
        if end < 0:
            return len(piece), lines
        start, lines = end + 1, lines - 1
    return start, 0
