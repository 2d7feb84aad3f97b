"""Slow, obvious twins of the compiled readers of relay/mail: character by character, by slicing, as the RFCs read."""

from __future__ import annotations

import binascii
import re

B64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def base64(octets: bytes) -> bytes:
    """Quantum by quantum: digits up to a padding sign or the end."""
    made = b""
    for quantum in octets.split(b"="):
        digits = bytes(octet for octet in quantum if octet in B64)
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        made += binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    return made


def unescaped(text: bytes) -> bytes:
    return re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text)


def quoted_printable(octets: bytes) -> bytes:
    """Line by line (RFC 2045 6.7)."""
    made = b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", octets):
        end = re.search(rb"(?:\r?\n)?\Z", line)[0]  # type: ignore[index]
        text = line[: len(line) - len(end)].rstrip(b" \t")
        made += unescaped(text[:-1]) if text.endswith(b"=") else unescaped(text) + end
    return made


def unfold(value: bytes) -> bytes:
    return re.sub(rb"\r?\n[ \t]", b" ", value)


WORD = re.compile(rb"=\?([!-)+->@-~]{1,63})(?:\*[!->@-~]*)?\?([BbQq])\?([^?]*)\?=")


def runs(value: bytes) -> list[tuple[bytes, bytes | None]]:
    made: list[tuple[bytes, bytes | None]] = []
    while value:
        found = WORD.search(value)
        while found and found.start(2) - 1 - found.start() - 2 >= 64:  # the label and its language are too long
            found = WORD.search(value, found.start() + 1)
        if found is None:
            return [*made, (value, None)]
        before = value[: found.start()]
        if before.strip(b" \t\r\n") or (before and not (made and made[-1][1] is not None)):
            made.append((before, None))
        octets = base64(found[3]) if found[2] in b"Bb" else unescaped(found[3].replace(b"_", b" "))
        if made and made[-1][1] is not None and made[-1][1].lower() == found[1].lower():
            made[-1] = (made[-1][0] + octets, found[1])
        else:
            made.append((octets, found[1]))
        value = value[found.end() :]
    return made
