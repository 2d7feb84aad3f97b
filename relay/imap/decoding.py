"""From octets of a message to text: transfer encodings, charsets, encoded words (RFC 2045 6, RFC 2047).

Pure. Nothing is refused: what cannot be decoded is taken as it is, since a search that fails at one broken message
would find nothing in the others.
"""

from __future__ import annotations

import binascii
import codecs
import html
import re
from typing import Final

from relay import _mime_values
from relay.mailbox.ports import View
from relay.mailbox.vocabulary import Part

TEXT_LIMIT: Final = 16 * 1024 * 1024
"""Octets of one text part that are decoded."""
_WORD: Final = re.compile(rb"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([BbQq])\?([^?\s]*)\?=")
_BETWEEN: Final = re.compile(rb"(\?=)[ \t\r\n]+(?==\?[^?\s]+\?[BbQq]\?)")
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")
_TAGS: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SPACES: Final = re.compile(r"\s+")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")


def body(octets: bytes, encoding: str) -> bytes:
    """The octets, their transfer encoding undone."""
    match encoding:
        case "base64":
            return _base64(octets)
        case "quoted-printable":
            return binascii.a2b_qp(octets)
    return octets


def text(octets: bytes, charset: str) -> str:
    """Octets as text; an unknown charset, or octets that are not in it, as UTF-8, else Latin-1."""
    for name in (charset, "utf-8"):
        try:
            return codecs.decode(octets, name)
        except (LookupError, UnicodeError, ValueError):
            continue
    return octets.decode("latin-1")


def is_charset(name: str) -> bool:
    """Whether ``text`` knows it."""
    try:
        return codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - there is no public way to ask
    except (LookupError, ValueError):
        return False


def header(octets: bytes) -> str:
    """A field's value with its encoded words decoded and its folds undone."""
    if b"=?" in octets:
        octets = _BETWEEN.sub(rb"\1", octets)
        pieces: list[str] = []
        at = 0
        for word in _WORD.finditer(octets):
            pieces += (text(octets[at : word.start()], "utf-8"), _encoded_word(word))
            at = word.end()
        pieces.append(text(octets[at:], "utf-8"))
        return _FOLD.sub("", "".join(pieces))
    return _FOLD.sub("", text(octets, "utf-8"))


def part_text(view: View, index: int, part: Part) -> str:
    """A text part of a message."""
    size = min(part.end - part.body_start, TEXT_LIMIT)
    with view.content(index) as content:
        octets = content.read(part.body_start, size)
    return text_of(octets, part)


def text_of(octets: bytes, part: Part) -> str:
    """The text of ``octets``, the body of ``part`` or its beginning."""
    _, parameters = _mime_values.parse_value(part.fields.get("content-type", b""))
    charset = dict(parameters).get(b"charset", b"utf-8").decode("latin-1")
    return text(body(octets, part.encoding), charset)


def preview(view: View, index: int, characters: int) -> str:
    """The beginning of what a person would read (RFC 8970)."""
    chosen = [part for part in view.parts(index) if part.kind == "text" and part.type.startswith(b"text/")]
    plain = next((part for part in chosen if part.type == b"text/plain"), chosen[0] if chosen else None)
    if plain is None:
        return ""
    found = part_text(view, index, plain)[:16384]
    if plain.type == b"text/html":
        found = html.unescape(_TAGS.sub(" ", found))
    return _SPACES.sub(" ", found.replace("\0", "")).strip()[:characters]


def _encoded_word(word: re.Match[bytes]) -> str:
    octets = _base64(word[3]) if word[2] in b"Bb" else binascii.a2b_qp(word[3].replace(b"_", b" "), header=True)
    return text(octets, word[1].decode("latin-1"))


def _base64(octets: bytes) -> bytes:
    wanted = _NOT_BASE64.sub(b"", octets)
    wanted = wanted[: len(wanted) - (len(wanted) % 4 == 1)]
    return binascii.a2b_base64(wanted + b"=" * (-len(wanted) % 4))
