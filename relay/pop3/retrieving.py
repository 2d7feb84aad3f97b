"""RETR for a client that asks for many messages at once (RFC 1939 5; PIPELINING, RFC 2449 6.6).

Theory: a hand-over to a thread and back costs more than a small message, so messages that are asked for one right
behind the other are read in one job, up to TOGETHER octets. Each answer is what it would have been alone.

Not here: long answers in pieces (answers.py), who asks (session.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from relay.mailbox.files import is_lasting
from relay.mailbox.vocabulary import Refused
from relay.pop3 import answers
from relay.pop3.maildrop import Maildrop

TOGETHER: Final = 262_144
"""Octets of messages that are read in one job."""
OURS: Final = b"-ERR [SYS/TEMP] This cannot be done now, try again later\r\n"
LASTING: Final = b"-ERR [SYS/PERM] This cannot be read, your administrator has to see to it\r\n"
GONE: Final = b"-ERR [SYS/TEMP] This message has been removed by another session\r\n"
_RETR: Final = re.compile(rb"RETR (\d{1,10})\r?\n", re.IGNORECASE)


def following(maildrop: Maildrop, index: int, octets: bytes) -> tuple[list[int], int]:
    """The indexes of messages to be read together with that of ``index``, and how much of ``octets``, the lines behind
    its RETR, asks for them."""
    indexes: list[int] = []
    used, size = 0, maildrop.sizes[index]
    while found := _RETR.match(octets, used):
        wanted = int(found[1]) - 1
        if not 0 <= wanted < len(maildrop) or wanted in maildrop.deleted:
            break
        size += maildrop.sizes[wanted]
        if size > TOGETHER:
            break
        indexes.append(wanted)
        used = found.end()
    return indexes, used


def whole(maildrop: Maildrop, index: int) -> Iterator[bytes]:
    """The answer to RETR in pieces. Blocks; Refused when the message has gone."""
    return answers.whole(_first(maildrop, index), maildrop.content(index))


def together(maildrop: Maildrop, indexes: list[int]) -> tuple[bytes, int]:
    """The answers to RETR of all ``indexes``, one behind the other, and how many of them are messages. Blocks."""
    pieces: list[bytes] = []
    refused = 0
    for index, octets in zip(indexes, maildrop.contents(indexes), strict=True):
        if octets is not None:
            pieces += answers.complete(_first(maildrop, index), octets)
            continue
        try:
            pieces += list(whole(maildrop, index))
        except (Refused, OSError) as fault:
            pieces.append(said(fault))
            refused += 1
    return b"".join(pieces), len(indexes) - refused


def said(fault: BaseException | None) -> bytes:
    """What the client is told of ``fault``: whether trying again helps (RFC 3206 4)."""
    if isinstance(fault, Refused):
        return GONE
    return LASTING if fault is not None and is_lasting(fault) else OURS


def _first(maildrop: Maildrop, index: int) -> bytes:
    return b"+OK %d octets\r\n" % maildrop.sizes[index]
