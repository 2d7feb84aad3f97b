"""The texts that generated messages are made of: everything after the mark, made once per size and variant.

Each text is plain 7-bit text in lines of up to 76 octets, as most mail is. The first variant of each size has one line
that begins with a dot, so that dot-stuffing is part of every run and costs what it costs in real mail: next to nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import formatdate

from benchmarks.load._mark import digest, mark

MARK_SIZE = len(mark(0, 0, 0, b""))
_ALL = 8 * 1024 * 1024
"""Octets that all texts of a run take together, at most about so many."""
_MOST_VARIANTS = 64
_LETTERS = "etaoinshrdlucmfwypvbgk"


@dataclass(frozen=True, slots=True)
class Text:
    """``plain`` as it is; ``stuffed`` as DATA carries it, with the end of data."""

    plain: bytes
    stuffed: bytes
    digest: int


def make_texts(size: int, share: float, sender: str, seed: int = 1) -> list[Text]:
    """The variants of one size: ``size`` octets each with the mark, taking about ``share`` of the memory for all."""
    variants = max(2, min(_MOST_VARIANTS, int(_ALL * share / size)))
    chance = random.Random(seed * 1_000_003 + size)
    words = ["".join(chance.choices(_LETTERS, k=chance.randint(2, 10))) for _ in range(997)]
    head = _head(size, sender)
    return [_text(head, size - MARK_SIZE, words, chance, has_dot=not variant) for variant in range(variants)]


def _head(size: int, sender: str) -> bytes:
    return (
        f"Date: {formatdate()}\r\nFrom: <{sender or 'load@source.test'}>\r\nTo: undisclosed-recipients:;\r\n"
        f"Subject: {size} octets\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()


def _text(head: bytes, size: int, words: list[str], chance: random.Random, *, has_dot: bool) -> Text:
    room = size - len(head)
    body = bytearray(b".a line that begins with a dot\r\n" if has_dot else b"")
    while len(body) < room + 80:
        line = " ".join(chance.choices(words, k=16))[:76].rstrip()
        body += line.encode() + b"\r\n"
        if len(body) > 65536:  # large texts repeat themselves: making them must not take longer than sending them
            body *= room // len(body) + 2
    del body[room - 2 :]
    if body.endswith(b"\r"):
        body[-1:] = b"x"
    plain = head + bytes(body) + b"\r\n"
    return Text(plain, plain.replace(b"\r\n.", b"\r\n..") + b".\r\n", digest(plain))
