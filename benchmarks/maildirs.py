"""Maildirs for the mailbox scenario: the same messages, octet for octet, for every server.

Messages are what people have in their INBOX: some 60 % plain text, the rest with an alternative in HTML, and every
tenth with an attachment; 2 to 40 KiB. Every hundredth has the word ``NEEDLE`` in its text, where SEARCH BODY finds it.
Lines end in LF, as in any Maildir. Everything is made from the message's number: two runs make the same.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final

NEEDLE: Final = "quinquereme"
EVERY: Final = 100
"""One message in so many has it."""
_BEGAN: Final = 1_760_000_000
_TEXT: Final = (
    "the of and to a in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its about "
    "than into them can only other time new some could these two may first then do any like my now over such our man"
)
_WORDS: Final = _TEXT.split()


def make(folder: Path, count: int, distinct: int = 0) -> int:
    """Makes the Maildir ``folder`` with ``count`` messages in ``cur``; the octets of all of them with CRLF.

    ``distinct``: no more than so many different ones; the others are links to them, so that a large mailbox is made
    quickly and takes little disk. (A file can have 65,000 links on ext4.)
    """
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    octets = 0
    first: list[Path] = []
    for number in range(count):
        text = message(number % distinct if distinct else number)
        on_wire = len(text) + text.count(b"\n")
        flags = ("", "S", "S", "RS", "FS")[number % 5]
        name = f"{_BEGAN + number * 60}.M{number}P1.bench,S={len(text)},W={on_wire}:2,{flags}"
        path = folder / "cur" / name
        if distinct and number >= distinct:
            path.hardlink_to(first[number % distinct])
        else:
            path.write_bytes(text)
            first.append(path)
        octets += on_wire
    return octets


def needles(count: int) -> int:
    """How many of ``count`` messages have the word."""
    return len(range(0, count, EVERY))


def message(number: int) -> bytes:
    """The message, LF lines."""
    chance = random.Random(number)
    lines = list(_lines(chance, chance.randrange(1500, 8000)))
    if number % EVERY == 0:
        lines[len(lines) // 2] += f" {NEEDLE}"
    text = "\n".join(lines) + "\n"
    stamp = formatdate(_BEGAN + number * 60)
    head = (
        f"Return-Path: <writer{number % 97}@example.org>\n"
        f"Received: from mx.example.org (mx.example.org [192.0.2.{number % 250}])\n"
        f"\tby mx.relay.example with ESMTPS id {number:08x}; {stamp}\n"
        f"Message-ID: <{number}.bench@example.org>\nDate: {stamp}\n"
        f'From: "Writer {number % 97}" <writer{number % 97}@example.org>\nTo: Reader <reader@relay.test>\n'
        f"Cc: list-{number % 7}@example.net, Somebody Else <else@example.com>\n"
        f"Subject: {' '.join(lines[0].split()[:6])} ({number})\nMIME-Version: 1.0\n"
    )
    plain = f'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: 7bit\n\n{text}'
    if number % 5 < 3 and number % 10:
        return (head + plain).encode()
    html = "<html><body><p>" + text.replace("\n", "<br>\n") + "</p></body></html>\n"
    parts = [plain, f'Content-Type: text/html; charset="utf-8"\nContent-Transfer-Encoding: 7bit\n\n{html}']
    kind = "alternative"
    if number % 10 == 0:
        data = base64.encodebytes(chance.randbytes(chance.randrange(2000, 20_000))).decode()
        kind = "mixed"
        parts[1] = (
            'Content-Type: application/pdf; name="paper.pdf"\nContent-Transfer-Encoding: base64\n'
            f'Content-Disposition: attachment; filename="paper.pdf"\n\n{data}'
        )
    boundary = f"=_bench_{number}"
    body = "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}--\n"
    return (head + f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n' + body).encode()


def _lines(chance: random.Random, size: int) -> Iterator[str]:
    while size > 0:
        line = " ".join(chance.choices(_WORDS, k=12))
        size -= len(line) + 1
        yield line
