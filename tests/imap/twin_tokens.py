"""The tokeniser's slow, obvious twin, after the grammar of RFC 9051 9; each gives (token, where it ends) or None."""

from __future__ import annotations

import re

ATOM = rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]'
TOKENS = {
    "atom": ATOM + rb"+",
    "astring_word": rb'[^\x00-\x20(){%*"\\\x7f-\xff]+',
    "list_word": rb'[^\x00-\x20(){"\\\x7f-\xff]+',
    "flag": rb"\\?" + ATOM + rb"+",
    "quoted": rb'"(?:[^\x00\r\n"\\\x80-\xff]|\\["\\])*"',
    "quoted_utf8": rb'"(?:[^\x00\r\n"\\]|\\["\\])*"',
    "set": rb"(?:\*|[0-9]+)(?::(?:\*|[0-9]+))?(?:,(?:\*|[0-9]+)(?::(?:\*|[0-9]+))?)*",
}


def longest(name: str, octets: bytes) -> tuple[bytes, int] | None:
    found = re.match(TOKENS[name], octets)
    return (found[0], found.end()) if found else None


def quoted(octets: bytes, *, utf8: bool) -> tuple[bytes, int] | None:
    found = longest("quoted_utf8" if utf8 else "quoted", octets)
    return None if found is None else (re.sub(rb"\\(.)", rb"\1", found[0][1:-1], flags=re.DOTALL), found[1])


def literal(octets: bytes) -> tuple[bytes, int] | None:
    found = re.match(rb"(~?)\{([0-9]{1,20})\+?\}\r\n", octets)
    if found is None or int(found[2]) > len(octets) - found.end() or int(found[2]) > 1 << 40:
        return None
    content = octets[found.end() : found.end() + int(found[2])]
    return None if b"\0" in content and not found[1] else (content, found.end() + int(found[2]))


def sequence_set(octets: bytes) -> tuple[list[tuple[int, int]], int] | None:
    """A set is taken number by number, so one that goes wrong later is no set at all."""
    at, ranges = 0, []
    while True:
        numbers = []
        while True:
            found = re.match(rb"\*|[0-9]{1,20}(?![0-9])", octets[at:])
            if found is None or (found[0] != b"*" and not 0 < int(found[0]) < 1 << 32):
                return None
            numbers.append(0 if found[0] == b"*" else int(found[0]))
            at += found.end()
            if len(numbers) == 2 or octets[at : at + 1] != b":":
                break
            at += 1
        low, high = numbers[0], numbers[-1]
        ranges.append((high, low) if low == 0 or 0 < high < low else (low, high))
        if octets[at : at + 1] != b",":
            return ranges, at
        at += 1
