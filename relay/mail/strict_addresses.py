"""The addresses of a field that decides something: From, Sender and their Resent- twins (RFC 5322 3.4, RFC 6854).

A strict reader: whatever a mail program could read as another address than ours makes the field unreadable, and nobody
may write as an unreadable author. Linear: each octet is looked at once, and a field that is longer than LONGEST is not
looked at.

Not here: lenient reading, for people's eyes and for scripts (header_addresses.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from relay.mail.address import AddressError, parse_address

LONGEST: Final = 8192
"""Octets of a field that are read."""
_TOKEN: Final = re.compile(
    rb'(?P<space>[ \t\r\n]++)|(?P<quoted>"(?:[^"\\]|\\.)*+")|(?P<literal>\[(?:[^\[\]\\]|\\.)*+\])'
    rb'|(?P<open>\()|(?P<special>[<>@,:;.])|(?P<atom>[^\x00-\x20()<>@,:;.\\"\[\]\x7f]++)',
    re.DOTALL,
)
_IN_COMMENT: Final = re.compile(rb"(?:[^()\\]|\\.)*+([()])", re.DOTALL)
_ADDRESS_KINDS: Final = frozenset(("atom", "quoted", "literal"))


class UnreadableError(ValueError):
    """A field that is no list of addresses."""


def strict_addresses(value: bytes) -> list[bytes]:
    """The addresses in the value of From, Sender or their Resent- twins, in the form in which they are compared.

    Empty for a group without members (RFC 6854). Raises UnreadableError, for an empty value as well.
    """
    found: list[bytes] = []
    words: list[tuple[str, bytes]] = []
    is_in_group = has_any = False
    for kind, octets in _tokens(value):
        if kind != "special" or octets in b"<>@.":
            words.append((kind, octets))
            continue
        if octets == b":":
            if is_in_group or not words or not _is_phrase(words):
                raise UnreadableError
            is_in_group = has_any = True
        elif octets == b";":
            if not is_in_group:
                raise UnreadableError
            is_in_group = False
            found += _mailbox(words)
        else:
            found += _mailbox(words)
        words = []
    if is_in_group:
        raise UnreadableError
    found += _mailbox(words)
    if not found and not has_any:
        raise UnreadableError
    return found


def _tokens(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The tokens of a structured field (RFC 5322 3.2) without white space and comments. Raises UnreadableError."""
    if len(value) > LONGEST:
        raise UnreadableError
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        if token is None:
            raise UnreadableError
        kind, at = str(token.lastgroup), token.end()
        if kind == "open":
            at = _after_comment(value, at)
        elif kind != "space":
            yield kind, token[0]


def _after_comment(value: bytes, at: int) -> int:
    """The offset behind a comment whose parenthesis stands before ``at``; comments nest."""
    depth = 1
    while depth:
        found = _IN_COMMENT.match(value, at)
        if found is None:
            raise UnreadableError
        depth += 1 if found[1] == b"(" else -1
        at = found.end()
    return at


def _mailbox(words: list[tuple[str, bytes]]) -> list[bytes]:
    """The addresses that one element of a list names: none where it is empty (RFC 5322 4.4), two where its display name
    is an address itself, since readers disagree on which one they show."""
    if not words:
        return []
    if ("special", b"<") not in words:
        return [_address(words)]
    opened = words.index(("special", b"<"))
    if words[-1] != ("special", b">") or ("special", b">") in words[:-1]:
        raise UnreadableError
    name, inner = words[:opened], words[opened + 1 : -1]
    shown = [] if _is_phrase(name) else [_address(name)]
    return [*shown, _address(inner)]


def _is_phrase(words: list[tuple[str, bytes]]) -> bool:
    """Whether it is a display name (with the dots that RFC 5322 4.1 allows), or nothing."""
    return all(kind in {"atom", "quoted"} or octets == b"." for kind, octets in words)


def _address(words: list[tuple[str, bytes]]) -> bytes:
    """An addr-spec, white space and comments between its parts left out (RFC 5322 4.4). No two words in a row may
    stand in it: programs would disagree where it begins."""
    before = "special"
    for kind, octets in words:
        if (kind in _ADDRESS_KINDS and before in _ADDRESS_KINDS) or (kind == "special" and octets in b"<>"):
            raise UnreadableError
        before = kind
    try:
        return parse_address(b"".join(octets for _, octets in words))
    except AddressError:
        raise UnreadableError from None
