"""Text in header fields: folds and encoded words undone (RFC 5322 2.2.3, RFC 2047, RFC 2231 5), and made.

Theory: octets are read in one pass by ``_encoded_words.pyx``, which gives runs of one charset; ``charsets.py``
makes text of each. What is in no encoded word is UTF-8 (RFC 6532), or windows-1252 where it cannot be. Nothing
raises.

Bounds: at most ``VALUE_OCTETS`` of a value are looked at, and so many times the same at most: time is linear in
them.
"""

from __future__ import annotations

from typing import Final

from relay.mail import _encoded_words, charsets

VALUE_OCTETS: Final = 1 << 20
"""Octets of one value that are decoded; what is behind them is not seen. The same as of a header section for Sieve."""
LINE: Final = 76
"""Characters of a line with encoded words (RFC 2047 2)."""
_WORD: Final = 75
_MARKS: Final = len("=?utf-8?q??=")
_LONGEST_PLAIN: Final = 900
"""Characters of a word that may stand as it is: lines have at most 998 (RFC 5322 2.1.1)."""
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What the Q encoding leaves alone everywhere (RFC 2047 5, rule 3)."""
_Q: Final = [chr(octet) if octet in _PLAIN else "_" if octet == 32 else f"={octet:02X}" for octet in range(256)]
_HEX_OCTETS: Final = 45
"""Octets in one word of base64: 60 digits."""


def decode(value: bytes) -> str:
    """The value of a field, or any text with fields in it, as text."""
    if len(value) > VALUE_OCTETS:
        value = value[:VALUE_OCTETS]
    if b"\n" in value:
        value = _encoded_words.unfold(value)
    if b"=?" not in value:
        return charsets.readable(value)
    runs = _encoded_words.runs(value)
    return "".join(
        [charsets.readable(octets) if label is None else charsets.decode(octets, label) for octets, label in runs]
    )


def encode(text: str, used: int) -> str:
    """``text`` for a field, in lines that CRLF and a space join. ASCII stays as it is, folded at spaces; anything else
    is put into encoded words of UTF-8. ``used``: characters that stand on the first line before it."""
    if text.isascii() and all(len(word) <= _LONGEST_PLAIN for word in text.split(" ")):
        return _folded(text, used)
    octets = text.encode("utf-8", "replace")
    plain = sum(octet in _PLAIN or octet == 32 for octet in octets)
    words = _in_base64(text, used) if 3 * (len(octets) - plain) + plain > len(octets) * 4 / 3 else _in_q(text, used)
    return "\r\n ".join(words)


def _folded(text: str, used: int) -> str:
    lines: list[str] = []
    line: list[str] = []
    for word in text.split(" "):
        # A fold before an empty word would leave a line of white space.
        if line and word and used + 1 + len(word) > LINE and any(line):
            lines.append(" ".join(line))
            line, used = [], 0
        line.append(word)
        used += 1 + len(word)
    return "\r\n ".join([*lines, " ".join(line)])


def _in_q(text: str, used: int) -> list[str]:
    words: list[str] = []
    word: list[str] = []
    room = max(12, LINE - used - _MARKS)
    for character in text:
        coded = "".join([_Q[octet] for octet in character.encode("utf-8", "replace")])
        if len(coded) > room and word:
            words.append(f"=?utf-8?q?{''.join(word)}?=")
            word, room = [], _WORD - _MARKS
        word.append(coded)
        room -= len(coded)
    return [*words, f"=?utf-8?q?{''.join(word)}?="]


def _in_base64(text: str, used: int) -> list[str]:
    from binascii import b2a_base64

    words: list[str] = []
    word: list[bytes] = []
    room = max(9, (LINE - used - _MARKS) // 4 * 3)
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(octets) > room and word:
            words.append(f"=?utf-8?b?{b2a_base64(b''.join(word), newline=False).decode()}?=")
            word, room = [], _HEX_OCTETS
        word.append(octets)
        room -= len(octets)
    return [*words, f"=?utf-8?b?{b2a_base64(b''.join(word), newline=False).decode()}?="]
