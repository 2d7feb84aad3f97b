"""Address lists of header fields, as ENVELOPE shows them (RFC 9051 7.5.2, RFC 5322 3.4).

A list is read as far as it can be understood: real mail has what no grammar has. Groups become their members between
two markers; routes are dropped (RFC 9051: always NIL for new mail); comments after an address without a name are its
name.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_ADDRESSES: Final = 10_000
_TOKEN: Final = re.compile(
    rb'[ \t\r\n]+|"((?:[^"\\]|\\.)*)"?|([<>,:;@.])|(\[[^\]]*\]?)|([^ \t\r\n"<>,:;@.(\[]+)|(\()|(.)', re.DOTALL
)
_COMMENT: Final = re.compile(rb"[()]|\\.", re.DOTALL)


class Address(NamedTuple):
    """One address, or the begin (no host, a mailbox) or end (neither) of a group."""

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None


class _Word(NamedTuple):
    octets: bytes
    is_special: bool
    has_space: bool


def addresses(value: bytes) -> list[Address]:
    """The addresses of a field's value, unfolded."""
    found: list[Address] = []
    words: list[_Word] = []
    comment = b""
    in_group = False
    for word, text in _words(value):
        if word is None:
            comment = text
            continue
        if not word.is_special or word.octets not in (b",", b";", b":") or _is_open(words):
            words.append(word)
            continue
        if word.octets == b":":
            found.append(Address(None, _phrase(words) or b"", None))
            in_group = True
        else:
            _add(found, words, comment)
            if word.octets == b";" and in_group:
                found.append(Address(None, None, None))
                in_group = False
        words, comment = [], b""
        if len(found) >= MAX_ADDRESSES:
            break
    _add(found, words, comment)
    if in_group:
        found.append(Address(None, None, None))
    return found


def _words(value: bytes) -> list[tuple[_Word | None, bytes]]:
    """The words of the value; (None, text) for a comment."""
    words: list[tuple[_Word | None, bytes]] = []
    at, has_space = 0, False
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            break
        at = token.end()
        if token[5]:
            end = _comment_end(value, at)
            words.append((None, re.sub(rb"\\(.)", rb"\1", value[at : end - 1], flags=re.DOTALL)))
            at, has_space = end, True
        elif token[1] is not None:
            words.append((_Word(re.sub(rb"\\(.)", rb"\1", token[1], flags=re.DOTALL), False, has_space), b""))
            has_space = False
        elif token[2]:
            words.append((_Word(token[2], True, has_space), b""))
            has_space = False
        elif token[3] or token[4] or token[6]:
            words.append((_Word(token[3] or token[4] or token[6], False, has_space), b""))
            has_space = False
        else:
            has_space = True
    return words


def _comment_end(value: bytes, at: int) -> int:
    depth = 1
    for mark in _COMMENT.finditer(value, at):
        depth += {b"(": 1, b")": -1}.get(mark[0], 0)
        if not depth:
            return mark.end()
    return len(value) + 1


def _is_open(words: list[_Word]) -> bool:
    """Inside of ``<...``: a comma or colon there belongs to a route."""
    for word in reversed(words):
        if word.is_special and word.octets == b"<":
            return True
        if word.is_special and word.octets == b">":
            return False
    return False


def _add(found: list[Address], words: list[_Word], comment: bytes) -> None:
    if not words:
        return
    opens = [at for at, word in enumerate(words) if word.is_special and word.octets == b"<"]
    name = _phrase(words[: opens[0]]) if opens else b""
    inner = words[opens[0] + 1 :] if opens else words
    inner = [word for word in inner if not (word.is_special and word.octets in (b"<", b">"))]
    for at in range(len(inner) - 1, -1, -1):  # a route ends with a colon
        if inner[at].is_special and inner[at].octets == b":":
            inner = inner[at + 1 :]
            break
    signs = [at for at, word in enumerate(inner) if word.is_special and word.octets == b"@"]
    if not signs:
        text = b"".join((b" " if word.has_space and at else b"") + word.octets for at, word in enumerate(inner))
        if opens or text:
            found.append(Address(name or comment or None, text, b""))
        return
    mailbox = b"".join(word.octets for word in inner[: signs[-1]])
    host = b"".join(word.octets for word in inner[signs[-1] + 1 :])
    found.append(Address(name or comment or None, mailbox, host))


def _phrase(words: list[_Word]) -> bytes:
    return b"".join((b" " if word.has_space and at else b"") + word.octets for at, word in enumerate(words))
